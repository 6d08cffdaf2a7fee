//! Answers.

use std::fs::File;
use std::io::{self, Read};
use std::time::Duration;

use http_body_util::channel::{Channel, Sender};
use http_body_util::{Either, Full};
use hyper::body::Bytes;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use tokio::time::timeout;

use super::super::refusal::{Reason, Refusal};

/// A file is read and sent in parts of this size.
const PART: u64 = 64 << 10;

/// What is in memory, or a file that is sent as it is read.
pub type Reply = Response<Either<Full<Bytes>, Channel<Bytes, io::Error>>>;

/// Returns an answer with a body in memory.
pub fn plain(body: Bytes) -> Reply {
    Response::new(Either::Left(Full::new(body)))
}

/// Returns an answer with the content of a file; after so long without a byte that is taken, the
/// connection ends.
pub fn file(file: File, silence: Duration) -> io::Result<Reply> {
    let size = file.metadata()?.len();
    let (sender, body) = Channel::new(1);
    tokio::spawn(send(file, sender, silence));
    let mut response = Response::new(Either::Right(body));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(size));
    Ok(response)
}

async fn send(mut file: File, mut sender: Sender<Bytes, io::Error>, silence: Duration) {
    loop {
        let read = tokio::task::spawn_blocking(move || {
            let mut part = Vec::with_capacity(PART as usize);
            let done = (&file).take(PART).read_to_end(&mut part);
            done.map(|_| (file, part))
        });
        let part = match read.await {
            Ok(Ok((same, part))) => {
                file = same;
                part
            }
            // What was announced does not come: the connection breaks.
            Ok(Err(error)) => return sender.abort(error),
            Err(error) => return sender.abort(io::Error::other(error)),
        };
        if part.is_empty() {
            return;
        }
        match timeout(silence, sender.send_data(part.into())).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return, // who asked has gone away
            Err(_) => return sender.abort(io::ErrorKind::TimedOut.into()),
        }
    }
}

/// Returns a JSON document, or nothing, with a status.
pub fn reply(status: StatusCode, body: Bytes) -> Reply {
    let json = !body.is_empty();
    let mut response = plain(body);
    *response.status_mut() = status;
    if json {
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
    }
    response
}

/// Returns the answer that says no.
pub fn refused(refusal: &Refusal) -> Reply {
    let status = StatusCode::from_u16(refusal.reason.status());
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = reply(status, refusal.document().into());
    let extra = match refusal.reason {
        Reason::Busy => Some((RETRY_AFTER, "1")),
        Reason::Unauthenticated => Some((WWW_AUTHENTICATE, "Bearer")),
        // What is left of the body is not read.
        Reason::TooLarge | Reason::TimedOut => Some((CONNECTION, "close")),
        _ => None,
    };
    if let Some((name, value)) = extra {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
