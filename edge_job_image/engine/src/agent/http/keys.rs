//! Idempotency keys.

use hyper::header::HeaderMap;
use sha2::{Digest, Sha256};

use super::super::refusal::Refusal;

const LONGEST: usize = 255;

/// The digest under which an idempotency key is remembered; another sender's key is another key.
pub fn key(
    headers: &HeaderMap,
    name: Option<&str>,
    stream: &str,
) -> Result<Option<String>, Refusal> {
    let Some(given) = headers.get("idempotency-key") else { return Ok(None) };
    let given = given.as_bytes();
    if !(1..=LONGEST).contains(&given.len()) || !given.iter().all(u8::is_ascii_graphic) {
        let message = format!("Idempotency-Key: 1 to {LONGEST} letters, digits and marks");
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
