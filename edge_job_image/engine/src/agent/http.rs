//! The HTTP server: readings come in, and an answer goes out when they are on the disk.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{
    AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::batch::Batch;
use super::body;
use super::queue::{Outcome, Pending, Queue, Sender};
use super::refusal::{Reason, Refusal};
use super::tokens::{self, Tokens};

const LONGEST_KEY: usize = 255;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;
/// A connection on which nothing is asked for so long is closed.
const IDLE: Duration = Duration::from_secs(60);
/// What is sent behind a refused body is read for so long, so that the sender sees the answer.
const LINGER: Duration = Duration::from_secs(5);
/// Above this a body is decoded beside the connections and not between them.
const LARGE: usize = 64 << 10;
const STREAM: &str = "readings";

/// What the server is told.
#[derive(Debug, Clone)]
pub struct Settings {
    pub max_body_bytes: usize,
    pub max_connections: usize,
    /// After so long without a byte of the body a sender is told that it timed out.
    pub silence: Duration,
    /// Whether readings need a client's certificate.
    pub certificates: bool,
}

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
    pub body: Vec<u8>,
}

/// Who answers what is not for readings. It may take its time.
pub type Responder = Arc<dyn Fn(Question) -> Answer + Send + Sync>;

/// All that a request needs.
pub struct Service {
    pub settings: Settings,
    pub queue: Arc<Queue>,
    pub tokens: Arc<RwLock<Option<Arc<Tokens>>>>,
    pub responder: Responder,
}

type Reply = Response<Full<Bytes>>;

impl Service {
    /// Serves until told to end, then finishes what is under way.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        tls: Option<TlsAcceptor>,
        mut ending: watch::Receiver<bool>,
    ) {
        if let Some(mut answers) = self.queue.answers() {
            tokio::spawn(async move {
                while let Some(answers) = answers.recv().await {
                    for (sender, outcome) in answers {
                        drop(sender.send(outcome)); // who asked may have gone away
                    }
                }
            });
        }
        let places = Arc::new(Semaphore::new(self.settings.max_connections));
        loop {
            let place = Arc::clone(&places).acquire_owned().await;
            let Ok(place) = place else { break };
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = told(&mut ending) => break,
            };
            match accepted {
                Ok((stream, _)) => {
                    let connection =
                        Arc::clone(&self).connection(stream, tls.clone(), ending.clone(), place);
                    tokio::spawn(connection);
                }
                // Out of file descriptors, or a connection that is gone already.
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        drop(listener);
        // All connections give their places back when they end.
        let all = u32::try_from(self.settings.max_connections).unwrap_or(u32::MAX);
        let _ = timeout(self.settings.silence, places.acquire_many(all)).await;
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        tls: Option<TlsAcceptor>,
        ending: watch::Receiver<bool>,
        _place: OwnedSemaphorePermit,
    ) {
        let _ = stream.set_nodelay(true);
        match tls {
            None => self.requests(stream, false, ending).await,
            Some(tls) => {
                let Ok(Ok(stream)) = timeout(IDLE, tls.accept(stream)).await else { return };
                let proven = stream.get_ref().1.peer_certificates().is_some();
                self.requests(stream, proven, ending).await;
            }
        }
    }

    async fn requests<S>(
        self: Arc<Self>,
        stream: S,
        proven: bool,
        mut ending: watch::Receiver<bool>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        let service = service_fn(move |request| {
            let service = Arc::clone(&self);
            async move { Ok::<_, Infallible>(service.answer(request, proven).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(IDLE)
            .max_buf_size(64 << 10)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => {}
            () = told(&mut ending) => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
            }
        }
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>, proven: bool) -> Reply {
        let line_protocol = matches!(request.uri().path(), "/write" | "/api/v2/write");
        let readings = line_protocol || request.uri().path() == "/v1/readings";
        let (head, mut incoming) = request.into_parts();
        let answered = if readings && head.method == Method::POST {
            self.readings(&head, &mut incoming, proven, line_protocol).await
        } else {
            self.question(&head, &mut incoming, proven).await
        };
        answered.unwrap_or_else(|refusal| {
            self.queue.count(refusal.reason);
            refused(&refusal)
        })
    }

    async fn readings(
        &self,
        head: &hyper::http::request::Parts,
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
        self.queue.put(Pending { stream, batch, key, again: true, sender, room });
        match receiver.await {
            Ok(Outcome::Refused(refusal)) => Ok(refused(&refusal)), // counted already
            Ok(_) if line_protocol => Ok(reply(StatusCode::NO_CONTENT, Bytes::new())),
            Ok(outcome) => {
                let duplicate = matches!(outcome, Outcome::Duplicate);
                let accepted = if duplicate { 0 } else { count };
                let text = format!("{{\"accepted\":{accepted},\"duplicate\":{duplicate}}}\n");
                Ok(reply(StatusCode::OK, text.into()))
            }
            Err(_) => Err(Refusal::new(Reason::Unavailable, "the agent is ending")),
        }
    }

    async fn question(
        &self,
        head: &hyper::http::request::Parts,
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
        let answer = tokio::task::spawn_blocking(move || responder(question)).await;
        let answer =
            answer.map_err(|_| Refusal::new(Reason::Unavailable, "the agent is ending"))?;
        let mut response = Response::new(Full::new(Bytes::from(answer.body)));
        *response.status_mut() =
            StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        for (name, value) in answer.headers {
            if let (Ok(name), Ok(value)) =
                (HeaderName::try_from(name), HeaderValue::try_from(value))
            {
                response.headers_mut().insert(name, value);
            }
        }
        Ok(response)
    }

    fn tokens(&self) -> Option<Arc<Tokens>> {
        self.tokens.read().map(|tokens| tokens.clone()).unwrap_or_default()
    }

    fn authenticate<'a>(
        &self,
        tokens: Option<&'a Tokens>,
        headers: &HeaderMap,
        proven: bool,
    ) -> Result<Option<&'a tokens::Token>, Refusal> {
        if self.settings.certificates && !proven {
            let message = "show a client certificate of this agent's authority";
            return Err(Refusal::new(Reason::Unauthenticated, message));
        }
        let header = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(now.as_micros()).unwrap_or(i64::MAX);
        tokens.map(|tokens| tokens::authenticate(tokens, header, now)).transpose()
    }

    /// The body; `grow` is told how much has come.
    async fn body(
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

/// Returns when all is to end.
async fn told(ending: &mut watch::Receiver<bool>) {
    let _ = ending.wait_for(|ending| *ending).await;
}

/// Reads what is still sent, for a while: who is cut off in the middle does not see why.
async fn linger(incoming: &mut Incoming) {
    let rest = async { while let Some(Ok(_)) = incoming.frame().await {} };
    let _ = timeout(LINGER, rest).await;
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

/// The digest under which an idempotency key is remembered; another sender's key is another key.
fn key(headers: &HeaderMap, name: Option<&str>, stream: &str) -> Result<Option<String>, Refusal> {
    let Some(given) = headers.get("idempotency-key") else { return Ok(None) };
    let given = given.as_bytes();
    if !(1..=LONGEST_KEY).contains(&given.len()) || !given.iter().all(u8::is_ascii_graphic) {
        let message = format!("Idempotency-Key: 1 to {LONGEST_KEY} letters, digits and marks");
        return Err(Refusal::bad(message));
    }
    Ok(Some(digest(&[stream.as_bytes(), name.unwrap_or_default().as_bytes(), given])))
}

/// What stands for a key in the log of commits: 64 bits in hexadecimal.
pub fn digest(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
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
pub fn check_stream(name: &str) -> Result<(), Refusal> {
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

fn reply(status: StatusCode, body: Bytes) -> Reply {
    let json = !body.is_empty();
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    if json {
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
    }
    response
}

fn refused(refusal: &Refusal) -> Reply {
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

/// Listens on a port of one address, or of all; to be called within the runtime.
pub fn listen(host: Option<&str>, port: u16) -> io::Result<TcpListener> {
    let Some(host) = host else {
        // Where there is no IPv6, all addresses are those of IPv4.
        return bound(SocketAddr::from(([0_u16; 8], port)))
            .or_else(|_| bound(SocketAddr::from(([0_u8; 4], port))));
    };
    let address = (host, port).to_socket_addrs()?.next();
    bound(address.ok_or_else(|| io::Error::from(io::ErrorKind::AddrNotAvailable))?)
}

fn bound(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
