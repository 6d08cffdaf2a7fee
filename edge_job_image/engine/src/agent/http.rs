//! The HTTP server: readings come in, and an answer goes out when they are on the disk.

mod arriving;
pub mod keys;
pub mod listening;
pub mod question;
mod readings;
mod reply;

use std::convert::Infallible;
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::queue::Queue;
use super::refusal::{Reason, Refusal};
use super::tokens::{self, Tokens};
use question::Responder;
use reply::{Reply, refused};

/// A connection on which nothing is asked for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

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

/// All that a request needs.
pub struct Service {
    pub settings: Settings,
    pub queue: Arc<Queue>,
    pub tokens: Arc<RwLock<Option<Arc<Tokens>>>>,
    pub responder: Responder,
}

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
}

/// Returns when all is to end.
async fn told(ending: &mut watch::Receiver<bool>) {
    let _ = ending.wait_for(|ending| *ending).await;
}
