//! Bodies as they arrive.

use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Body, Bytes, Incoming};
use tokio::time::timeout;

use super::super::body;
use super::super::refusal::{Reason, Refusal};
use super::Service;

/// What is sent behind a refused body is read for so long, so that the sender sees the answer.
const LINGER: Duration = Duration::from_secs(5);

impl Service {
    /// The body; `grow` is told how much has come.
    pub(super) async fn body(
        &self,
        incoming: &mut Incoming,
        mut grow: impl FnMut(usize) -> Result<(), Refusal>,
    ) -> Result<Bytes, Refusal> {
        let mut first: Option<Bytes> = None;
        let mut rest: Vec<u8> = Vec::new();
        let mut size = 0;
        loop {
            let frame = match timeout(self.settings.silence, incoming.frame()).await {
                Err(_) => {
                    let seconds = self.settings.silence.as_secs();
                    let message = format!("nothing of the body came for {seconds} s");
                    return Err(Refusal::new(Reason::TimedOut, message));
                }
                Ok(None) => break,
                Ok(Some(Err(error))) => {
                    return Err(Refusal::bad(format!("the body cannot be read: {error}")));
                }
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else { continue };
            size += data.len();
            let announced = incoming.size_hint().lower() + size as u64;
            let fits = announced <= self.settings.max_body_bytes as u64;
            let checked = if fits {
                grow(data.len())
            } else {
                Err(body::too_large(self.settings.max_body_bytes))
            };
            if let Err(refusal) = checked {
                linger(incoming).await;
                return Err(refusal);
            }
            match &first {
                None => first = Some(data),
                Some(begin) => {
                    if rest.is_empty() {
                        rest.extend_from_slice(begin);
                    }
                    rest.extend_from_slice(&data);
                }
            }
        }
        Ok(if rest.is_empty() { first.unwrap_or_default() } else { rest.into() })
    }
}

/// Reads what is still sent, for a while: who is cut off in the middle does not see why.
async fn linger(incoming: &mut Incoming) {
    let rest = async { while let Some(Ok(_)) = incoming.frame().await {} };
    let _ = timeout(LINGER, rest).await;
}
