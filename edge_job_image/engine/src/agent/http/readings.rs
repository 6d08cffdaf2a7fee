//! Requests with readings.

use hyper::StatusCode;
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName};
use hyper::http::request::Parts;
use tokio::sync::oneshot;

use super::super::batch::Batch;
use super::super::body;
use super::super::queue::{Outcome, Pending, Sender};
use super::super::refusal::{Reason, Refusal};
use super::Service;
use super::keys::key;
use super::reply::{Reply, refused, reply};

/// Above this a body is decoded beside the connections and not between them.
const LARGE: usize = 64 << 10;
const STREAM: &str = "readings";

impl Service {
    pub(super) async fn readings(
        &self,
        head: &Parts,
        incoming: &mut Incoming,
        proven: bool,
        line_protocol: bool,
    ) -> Result<Reply, Refusal> {
        let tokens = self.tokens();
        let token = self.authenticate(tokens.as_deref(), &head.headers, proven)?;
        let stream = stream(head.uri.query().unwrap_or_default(), line_protocol)?;
        let key = key(&head.headers, token.map(|token| &*token.name), &stream)?;
        let kind = if line_protocol { "text/plain" } else { header(&head.headers, CONTENT_TYPE) };
        let gzip = packed(&head.headers)?;
        let mut room = self.queue.room();
        let body = self.body(incoming, |bytes| room.grow(bytes)).await?;
        let batch = self.decoded(kind, body, gzip).await?;
        if let Some(token) = token {
            token.permit(&stream, &batch)?;
        }
        let count = batch.len();
        let room = room.hold(&batch)?;
        let (sender, receiver) = oneshot::channel();
        let sender = Sender::Request(sender);
        self.queue.put(Pending { stream, batch, key, again: true, sender, repeated: 0, room });
        match receiver.await {
            Ok(Outcome::Refused(refusal)) => Ok(refused(&refusal)), // counted already
            Ok(_) if line_protocol => Ok(reply(StatusCode::NO_CONTENT, Bytes::new())),
            Ok(Outcome::Stored(accepted)) => {
                let duplicate = accepted == 0 && count > 0;
                let text = format!("{{\"accepted\":{accepted},\"duplicate\":{duplicate}}}\n");
                Ok(reply(StatusCode::OK, text.into()))
            }
            Err(_) => Err(Refusal::new(Reason::Unavailable, "the agent is ending")),
        }
    }

    async fn decoded(&self, kind: &str, body: Bytes, gzip: bool) -> Result<Batch, Refusal> {
        if body.len() < LARGE && !gzip {
            return body::decode(kind, &body);
        }
        let limit = self.settings.max_body_bytes;
        let kind = kind.to_owned();
        let decoded = tokio::task::spawn_blocking(move || {
            let body = if gzip { body::unpack(&body, limit)?.into() } else { body };
            body::decode(&kind, &body)
        });
        decoded.await.unwrap_or_else(|_| Err(Refusal::bad("the body cannot be read")))
    }
}

fn header(headers: &HeaderMap, name: HeaderName) -> &str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn packed(headers: &HeaderMap) -> Result<bool, Refusal> {
    match header(headers, CONTENT_ENCODING).trim() {
        "" | "identity" => Ok(false),
        coding if coding.eq_ignore_ascii_case("gzip") => Ok(true),
        coding => {
            let message = format!("Content-Encoding {coding:?} is not read; gzip is");
            Err(Refusal::new(Reason::UnsupportedMediaType, message))
        }
    }
}

/// The stream that a request names.
fn stream(query: &str, line_protocol: bool) -> Result<String, Refusal> {
    let names: &[&str] = if line_protocol { &["bucket", "db"] } else { &["stream"] };
    let named = names.iter().find_map(|name| parameter(query, name));
    let name = named.as_deref().unwrap_or(STREAM);
    check_stream(name)?;
    Ok(name.to_owned())
}

/// Refuses what cannot be a folder's name.
fn check_stream(name: &str) -> Result<(), Refusal> {
    let fine = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-';
    let bytes = name.as_bytes();
    if (1..=63).contains(&bytes.len())
        && bytes.iter().all(fine)
        && bytes[0] != b'-'
        && bytes[bytes.len() - 1] != b'-'
    {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    let message = format!("{shown:?} is no stream: lower-case letters, digits and -, at most 63");
    Err(Refusal::bad(message))
}

/// A parameter of a query; what is escaped there is no name of a stream in any case.
fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| value.to_owned()).next()
}
