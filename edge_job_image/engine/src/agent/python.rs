//! What the agent's Python sees: the intake, and the parts of what has arrived.

mod part;
mod recent;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::body::Bytes;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use serde::Deserialize;
use tokio::sync::watch;

use super::body;
use super::http::question::{Answer, Content, Question, Responder};
use super::http::{Service, Settings, keys, listening};
use super::queue::{Limits, Outcome, Pending, Queue, Sender};
use super::refusal::{Refusal, STATUS};
use super::tls;
use super::tokens::{Token, Tokens};
use part::{Part, listed};
use recent::Recent;

/// A reading as Python sees it.
type Values = Vec<(String, String)>;
/// Name, SHA-256, streams, sensors, the microsecond since 1970 at which it expires.
type TokenTuple = (String, [u8; 32], Option<Vec<String>>, Option<Vec<String>>, Option<i64>);

/// Status, headers and body.
type Told = (u16, Vec<(String, String)>, Body);

/// Bytes, or the path of a file.
#[derive(FromPyObject)]
enum Body {
    Bytes(Vec<u8>),
    File(PathBuf),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Options {
    host: Option<String>,
    port: u16,
    max_body_bytes: usize,
    max_connections: usize,
    silence_seconds: u64,
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    client_ca_file: Option<PathBuf>,
}

struct Server {
    ending: watch::Sender<bool>,
    thread: JoinHandle<()>,
}

/// Where readings arrive.
#[pyclass(frozen)]
struct Intake {
    queue: Arc<Queue>,
    tokens: Arc<RwLock<Option<Arc<Tokens>>>>,
    server: Mutex<Option<Server>>,
}

#[pymethods]
impl Intake {
    /// So many readings may wait, and take so many bytes of memory.
    #[new]
    fn new(readings: usize, memory: usize) -> Self {
        let queue = Queue::new(Limits { readings, bytes: memory });
        Self { queue, tokens: Arc::default(), server: Mutex::default() }
    }

    /// Sets who may send; None: everybody.
    fn set_tokens(&self, tokens: Option<Vec<TokenTuple>>) {
        let token = |(name, digest, streams, sensors, expires): TokenTuple| {
            let streams = streams.map(|streams| streams.into_iter().collect());
            let sensors = sensors.map(|sensors| sensors.into_iter().collect());
            (digest, Token { name, streams, sensors, expires })
        };
        let tokens = tokens.map(|tokens| Arc::new(tokens.into_iter().map(token).collect()));
        *self.tokens.write().unwrap_or_else(PoisonError::into_inner) = tokens;
    }

    /// Serves HTTP in a thread of its own as the options (JSON) say; returns the port. What is not
    /// for readings, `respond(method, path, query, caller, body)` answers with the status, the
    /// headers and the body. Raises OSError.
    fn listen(&self, options: &str, respond: Py<PyAny>) -> PyResult<u16> {
        let options: Options = serde_json::from_str(options)
            .map_err(|error| PyValueError::new_err(error.to_string()))?;
        let acceptor = match (&options.certificate_file, &options.key_file) {
            (Some(certificate), Some(key)) => {
                Some(tls::acceptor(certificate, key, options.client_ca_file.as_deref()))
            }
            _ => None,
        };
        let acceptor = acceptor.transpose()?;
        let service = Arc::new(Service {
            settings: Settings {
                max_body_bytes: options.max_body_bytes,
                max_connections: options.max_connections,
                silence: Duration::from_secs(options.silence_seconds),
                certificates: options.client_ca_file.is_some(),
            },
            queue: Arc::clone(&self.queue),
            tokens: Arc::clone(&self.tokens),
            responder: responder(respond),
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(2)
            .build()?;
        let listener = {
            let _inside = runtime.enter();
            listening::listen(options.host.as_deref(), options.port)?
        };
        let port = listener.local_addr()?.port();
        let (ending, ended) = watch::channel(false);
        let thread = std::thread::Builder::new().name("http".to_owned()).spawn(move || {
            runtime.block_on(service.serve(listener, acceptor, ended));
        })?;
        *self.server() = Some(Server { ending, thread });
        Ok(port)
    }

    /// Takes a message of the broker: the value of the column `field`, or an object, and what its
    /// topic says. `settled` tells what became of the ticket. Raises ValueError with the reason
    /// and what is wrong.
    #[allow(clippy::too_many_arguments)]
    fn put(
        &self,
        stream: String,
        columns: Values,
        field: Option<&str>,
        payload: &[u8],
        key: Option<&str>,
        again: bool,
        ticket: u64,
    ) -> PyResult<()> {
        let batch = body::message(payload, field, &columns).map_err(raised)?;
        let room = self.queue.room().hold(&batch).map_err(raised)?;
        let key = key.map(|key| keys::digest(&[stream.as_bytes(), key.as_bytes()]));
        let sender = Sender::Message(ticket);
        self.queue.put(Pending { stream, batch, key, again, sender, repeated: 0, room });
        Ok(())
    }

    /// The messages that are settled since the last call: the ticket, and, if they were refused,
    /// the reason and what is wrong.
    fn settled(&self) -> Vec<(u64, Option<(String, String)>)> {
        let told = |(ticket, outcome)| match outcome {
            Outcome::Refused(refusal) => {
                (ticket, Some((refusal.reason.to_string(), refusal.message)))
            }
            Outcome::Stored(_) => (ticket, None),
        };
        self.queue.settled().into_iter().map(told).collect()
    }

    /// What has arrived, stream by stream; when there is nothing, waits so long at most.
    fn take(&self, py: Python<'_>, seconds: f64) -> Vec<Part> {
        let longest = Duration::from_secs_f64(seconds);
        let waiting = py.detach(|| self.queue.take(longest));
        let mut parts: Vec<Part> = Vec::new();
        for pending in waiting {
            match parts.iter_mut().find(|part| part.stream == pending.stream) {
                Some(part) => part.waiting.push(Some(pending)),
                None => parts.push(Part {
                    stream: pending.stream.clone(),
                    queue: Arc::clone(&self.queue),
                    waiting: vec![Some(pending)],
                }),
            }
        }
        parts
    }

    /// How often each reason was given.
    fn refusals(&self) -> HashMap<String, u64> {
        let refusals = self.queue.refusals().into_iter();
        refusals.map(|(reason, count)| (reason.to_string(), count)).collect()
    }

    /// Takes no new connections; those there are end with their request. Nothing more waits.
    fn end(&self) {
        if let Some(server) = &*self.server() {
            server.ending.send_replace(true);
        }
        self.queue.end();
    }

    /// Whether everybody has been answered after `end`.
    fn ended(&self) -> bool {
        let served = self.server().as_ref().is_none_or(|server| server.thread.is_finished());
        served && self.queue.is_empty()
    }
}

impl Intake {
    fn server(&self) -> std::sync::MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The readings of a body, each with its time and values. Raises ValueError with the reason, what
/// is wrong, and in which record.
#[pyfunction]
fn readings(content_type: &str, body: &[u8]) -> PyResult<Vec<(Option<i64>, Values)>> {
    body::decode(content_type, body).map(|batch| listed(&batch)).map_err(raised)
}

/// The reading of a broker's message, as `Intake.put` understands it.
#[pyfunction]
fn message(
    columns: Values,
    field: Option<&str>,
    payload: &[u8],
) -> PyResult<Vec<(Option<i64>, Values)>> {
    body::message(payload, field, &columns).map(|batch| listed(&batch)).map_err(raised)
}

fn raised(refusal: Refusal) -> PyErr {
    PyValueError::new_err((refusal.reason.to_string(), refusal.message, refusal.record))
}

fn responder(respond: Py<PyAny>) -> Responder {
    Arc::new(move |question: Question| {
        let asked: PyResult<Told> = Python::attach(|py| {
            let Question { method, path, query, caller, body } = question;
            let body: &Bytes = &body;
            let arguments = (method, path, query, caller, PyBytes::new(py, body));
            respond.call1(py, arguments)?.extract(py)
        });
        match asked {
            Ok((status, headers, Body::Bytes(bytes))) => {
                Answer { status, headers, content: Content::Bytes(bytes) }
            }
            Ok((status, headers, Body::File(path))) => {
                Answer { status, headers, content: Content::File(path) }
            }
            Err(error) => {
                Python::attach(|py| error.print(py));
                Answer { status: 500, headers: Vec::new(), content: Content::Bytes(Vec::new()) }
            }
        }
    })
}

/// Adds the agent's part to the module.
pub fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Intake>()?;
    module.add_class::<Part>()?;
    module.add_class::<Recent>()?;
    let status = PyDict::new(module.py());
    for (reason, number) in STATUS {
        status.set_item(reason.to_string(), number)?;
    }
    module.add("STATUS", status)?;
    module.add_function(wrap_pyfunction!(readings, module)?)?;
    module.add_function(wrap_pyfunction!(message, module)?)
}
