//! Every way in which the agent refuses readings: the reason and its HTTP status.

use std::fmt;

/// Why readings are not taken; none of them is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A body that cannot be read, or a record of it; the message says which and why.
    BadReading,
    /// No token, one that nobody knows, or one that has expired; or no certificate.
    Unauthenticated,
    /// A good token, for other streams or other sensors.
    Forbidden,
    /// Nothing is at this path, or not for this method.
    NotFound,
    /// The sender paused for too long.
    TimedOut,
    /// A body beyond the limit, as it is or unpacked.
    TooLarge,
    /// A Content-Type or Content-Encoding that the agent does not read.
    UnsupportedMediaType,
    /// More is waiting for the disk than is kept in memory: send it again, a little later.
    Busy,
    /// The disk refuses to be written, or the agent is ending.
    Unavailable,
    /// The disk budget is used up by readings that no run has delivered yet.
    Full,
}

use Reason::{
    BadReading, Busy, Forbidden, Full, NotFound, TimedOut, TooLarge, Unauthenticated, Unavailable,
    UnsupportedMediaType,
};

/// All reasons, with the status of the answer.
pub const STATUS: [(Reason, u16); 10] = [
    (BadReading, 400),
    (Unauthenticated, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (TimedOut, 408),
    (TooLarge, 413),
    (UnsupportedMediaType, 415),
    (Busy, 429),
    (Unavailable, 503),
    (Full, 507),
];

impl Reason {
    /// The reason of this name.
    pub fn named(name: &str) -> Option<Self> {
        STATUS.iter().map(|&(reason, _)| reason).find(|reason| reason.to_string() == name)
    }

    /// The HTTP status.
    pub fn status(self) -> u16 {
        STATUS.iter().find(|(reason, _)| *reason == self).map_or(500, |&(_, status)| status)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// An answer that says no.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: Reason,
    pub message: String,
    /// Which record of the body, from 1, when it is one.
    pub record: Option<usize>,
}

impl Refusal {
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), record: None }
    }

    /// What is wrong with a body.
    pub fn bad(message: impl Into<String>) -> Self {
        Self::new(BadReading, message)
    }

    /// The same, of one record.
    pub fn of(self, record: usize) -> Self {
        Self { record: Some(record), ..self }
    }

    /// The answer's body.
    pub fn document(&self) -> String {
        let mut document = serde_json::json!({
            "reason": self.reason.to_string(),
            "message": self.message,
        });
        if let Some(record) = self.record {
            document["record"] = record.into();
        }
        format!("{document}\n")
    }
}
