//! Requests that are not for readings: Python answers them.

use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use hyper::header::{HeaderName, HeaderValue};
use hyper::http::request::Parts;

use super::super::refusal::{Reason, Refusal};
use super::Service;
use super::reply::{self, Reply};

/// A request that is not for readings, and whose it is.
pub struct Question {
    pub method: String,
    pub path: String,
    pub query: String,
    /// The name of the token; None where everybody may ask.
    pub caller: Option<String>,
    pub body: Bytes,
}

/// The answer to it.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub content: Content,
}

/// The body of an answer.
pub enum Content {
    Bytes(Vec<u8>),
    /// A file, which may be larger than the memory.
    File(PathBuf),
}

/// Who answers what is not for readings. It may take its time.
pub type Responder = Arc<dyn Fn(Question) -> Answer + Send + Sync>;

/// Content that is there.
enum Opened {
    Bytes(Vec<u8>),
    File(File),
}

impl Service {
    pub(super) async fn question(
        &self,
        head: &Parts,
        incoming: &mut Incoming,
        proven: bool,
    ) -> Result<Reply, Refusal> {
        let path = head.uri.path().to_owned();
        let tokens = self.tokens();
        let guarded = path.starts_with("/v1/");
        let token = if guarded {
            self.authenticate(tokens.as_deref(), &head.headers, proven)?
        } else {
            None
        };
        let mut room = self.queue.room();
        let body = self.body(incoming, |bytes| room.grow(bytes)).await?;
        let question = Question {
            method: head.method.to_string(),
            path,
            query: head.uri.query().unwrap_or_default().to_owned(),
            caller: token.map(|token| token.name.clone()),
            body,
        };
        let responder = Arc::clone(&self.responder);
        let answered = tokio::task::spawn_blocking(move || {
            let Answer { status, headers, content } = responder(question);
            let opened = match content {
                Content::Bytes(bytes) => Opened::Bytes(bytes),
                Content::File(path) => Opened::File(File::open(path)?),
            };
            Ok::<_, std::io::Error>((status, headers, opened))
        });
        let answered =
            answered.await.map_err(|_| Refusal::new(Reason::Unavailable, "the agent is ending"))?;
        let (status, headers, opened) = answered.map_err(unreadable)?;
        let mut response = match opened {
            Opened::Bytes(bytes) => reply::plain(bytes.into()),
            Opened::File(file) => reply::file(file, self.settings.silence).map_err(unreadable)?,
        };
        *response.status_mut() =
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                response.headers_mut().insert(name, value);
            }
        }
        Ok(response)
    }
}

fn unreadable(error: std::io::Error) -> Refusal {
    Refusal::new(Reason::Unavailable, format!("the file cannot be read: {error}"))
}
