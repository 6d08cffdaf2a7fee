//! Bodies of requests and payloads of messages as readings.

use std::io::Read;

use flate2::read::MultiGzDecoder;

use super::batch::{Batch, Draft};
use super::refusal::{Reason, Refusal};
use super::{json, text};

type Decoder = fn(&[u8], &mut Batch) -> Result<(), Refusal>;

/// What is read, by its Content-Type.
pub const DECODERS: [(&str, Decoder); 5] = [
    ("application/json", json::document),
    ("application/vnd.influx.line-protocol", text::line_protocol),
    ("application/x-ndjson", json::lines),
    ("text/csv", text::csv),
    ("text/plain", text::line_protocol),
];

/// The readings of a body; a refusal says what is wrong with which record.
pub fn decode(content_type: &str, body: &[u8]) -> Result<Batch, Refusal> {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    let Some((_, decoder)) = DECODERS.iter().find(|(name, _)| kind.eq_ignore_ascii_case(name))
    else {
        let known: Vec<&str> = DECODERS.iter().map(|(name, _)| *name).collect();
        let shown: String = kind.chars().take(80).collect();
        let message =
            format!("Content-Type {shown:?} is not read; these are: {}", known.join(", "));
        return Err(Refusal::new(Reason::UnsupportedMediaType, message));
    };
    let mut batch = Batch::default();
    decoder(body, &mut batch)?;
    if batch.is_empty() {
        return Err(Refusal::bad("the body holds no reading"));
    }
    Ok(batch)
}

/// What a compressed body unpacks to.
pub fn unpack(body: &[u8], limit: usize) -> Result<Vec<u8>, Refusal> {
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(body)
        .take(limit as u64 + 1)
        .read_to_end(&mut unpacked)
        .map_err(|error| Refusal::bad(format!("the body cannot be unpacked: {error}")))?;
    if unpacked.len() > limit {
        return Err(too_large(limit));
    }
    Ok(unpacked)
}

pub fn too_large(limit: usize) -> Refusal {
    Refusal::new(Reason::TooLarge, format!("the body is larger than {limit} bytes"))
}

/// The reading of a message: a JSON object, or a value for the column `field`; what its topic says
/// (`columns`) counts, not what it claims.
pub fn message(
    payload: &[u8],
    field: Option<&str>,
    columns: &[(String, String)],
) -> Result<Batch, Refusal> {
    const VALUE: &str = "value";
    let payload = payload.trim_ascii();
    if payload.is_empty() {
        return Err(Refusal::bad("the payload is empty"));
    }
    let mut batch = Batch::default();
    let mut draft = Draft::new(&mut batch)?;
    let read = match (json::parse(payload), field) {
        (Ok(raw), Some(field)) if !raw.get().starts_with('{') => {
            json::scalar(field, raw, &mut draft)
        }
        (Ok(raw), Some(field)) => json::named(field, raw, &mut draft),
        (Ok(raw), None) if raw.get().starts_with('{') => {
            if raw.get()[1..].trim_start() == "}" {
                return Err(Refusal::bad("the payload holds no value"));
            }
            json::object(raw, &mut draft)
        }
        (Ok(raw), None) => json::scalar(VALUE, raw, &mut draft),
        (Err(refusal), _) if matches!(payload[0], b'{' | b'[') => return Err(refusal),
        (Err(_), _) => match str::from_utf8(payload) {
            // Many sensors send plain text.
            Ok(text) => draft.put(field.unwrap_or(VALUE), text),
            Err(_) => return Err(Refusal::bad("the payload is neither JSON nor text")),
        },
    };
    let columns = columns.iter().map(|(name, value)| draft.put(name, value));
    read.and_then(|()| columns.collect::<Result<(), _>>()).map_err(Refusal::bad)?;
    draft.end().map_err(Refusal::bad)?;
    Ok(batch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_noticed_before_it_is_whole() {
        use flate2::{Compression, write::GzEncoder};
        use std::io::Write;
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&[b' '; 100_000]).unwrap();
        let packed = packed.finish().unwrap();
        assert_eq!(unpack(&packed, 99_999).unwrap_err().reason, Reason::TooLarge);
        assert_eq!(unpack(&packed, 100_000).unwrap().len(), 100_000);
    }
}
