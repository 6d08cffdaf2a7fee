//! The edge agent's own part: readings come in by HTTP or from the broker and wait, in groups, for
//! the one writer that makes them durable.

pub mod batch;
pub mod body;
pub mod http;
pub mod json;
pub mod moment;
#[cfg(feature = "python")]
pub mod python;
pub mod queue;
pub mod recent;
pub mod refusal;
pub mod text;
pub mod tls;
pub mod tokens;
