//! Who may send: bearer tokens, each maybe for some streams and sensors only.

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};

use super::batch::Batch;
use super::refusal::{Reason, Refusal};

/// One token.
#[derive(Debug)]
pub struct Token {
    /// Whose it is.
    pub name: String,
    /// The streams that it may write; None: all.
    pub streams: Option<HashSet<String>>,
    /// The values of `sensor_id` that it may send; None: all.
    pub sensors: Option<HashSet<String>>,
    /// Microseconds since 1970; None: never.
    pub expires: Option<i64>,
}

impl Token {
    /// Refuses readings that are not of its streams and sensors.
    pub fn permit(&self, stream: &str, batch: &Batch) -> Result<(), Refusal> {
        let name = &self.name;
        if self.streams.as_ref().is_some_and(|streams| !streams.contains(stream)) {
            let message = format!("the token of {name} is not for the stream {stream}");
            return Err(Refusal::new(Reason::Forbidden, message));
        }
        let Some(sensors) = &self.sensors else { return Ok(()) };
        for reading in 0..batch.len() {
            if !batch.get(reading, "sensor_id").is_some_and(|sensor| sensors.contains(sensor)) {
                let message =
                    format!("the token of {name} is not for the sensor_id of this reading");
                return Err(Refusal::new(Reason::Forbidden, message).of(reading + 1));
            }
        }
        Ok(())
    }
}

/// All tokens by their SHA-256, whose comparison tells nothing of the token.
pub type Tokens = HashMap<[u8; 32], Token>;

/// The token of an Authorization header.
pub fn authenticate<'a>(
    tokens: &'a Tokens,
    header: Option<&[u8]>,
    now: i64,
) -> Result<&'a Token, Refusal> {
    let refused = |message: String| Refusal::new(Reason::Unauthenticated, message);
    let header = header.unwrap_or_default();
    let space = header.iter().position(|&byte| byte == b' ').unwrap_or(header.len());
    let (scheme, given) = (&header[..space], header[space..].trim_ascii());
    // InfluxDB's clients say Token.
    let known = ["bearer", "token"].iter().any(|name| scheme.eq_ignore_ascii_case(name.as_bytes()));
    if !known || given.is_empty() {
        return Err(refused("send `Authorization: Bearer <token>`".to_owned()));
    }
    let digest: [u8; 32] = Sha256::digest(given).into();
    let token = tokens.get(&digest).ok_or_else(|| refused("nobody has this token".to_owned()))?;
    if token.expires.is_some_and(|expires| expires <= now) {
        return Err(refused(format!("the token of {} has expired", token.name)));
    }
    Ok(token)
}
