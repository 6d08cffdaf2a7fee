//! JSON objects as readings. Numbers are kept as the sender wrote them.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::batch::{Batch, Draft};
use super::refusal::Refusal;

const DEEPEST: usize = 4;
const NO_OBJECT: &str = "a reading is a JSON object with a field for each value";

/// Reads an object, or an array of objects.
pub fn document(body: &[u8], batch: &mut Batch) -> Result<(), Refusal> {
    let document = parse(body)?;
    if !document.get().starts_with('[') {
        return reading(document, batch).map_err(Refusal::bad);
    }
    let records: Vec<&RawValue> = serde_json::from_str(document.get()).map_err(no_json)?;
    for (number, record) in records.into_iter().enumerate() {
        reading(record, batch).map_err(|error| Refusal::bad(error).of(number + 1))?;
    }
    Ok(())
}

/// Reads an object on each line.
pub fn lines(body: &[u8], batch: &mut Batch) -> Result<(), Refusal> {
    for (number, line) in body.split(|&byte| byte == b'\n').enumerate() {
        if !line.trim_ascii().is_empty() {
            let read = parse(line).and_then(|raw| reading(raw, batch).map_err(Refusal::bad));
            read.map_err(|refusal| refusal.of(number + 1))?;
        }
    }
    Ok(())
}

/// Any JSON value.
pub fn parse(body: &[u8]) -> Result<&RawValue, Refusal> {
    serde_json::from_slice(body).map_err(no_json)
}

fn no_json(error: serde_json::Error) -> Refusal {
    Refusal::bad(format!("this is not JSON: {error}"))
}

fn reading(raw: &RawValue, batch: &mut Batch) -> Result<(), String> {
    let mut draft = Draft::new(batch).map_err(|refusal| refusal.message)?;
    object(raw, &mut draft)?;
    draft.end()
}

/// Gives each value of an object to a reading.
pub fn object(raw: &RawValue, draft: &mut Draft<'_>) -> Result<(), String> {
    if !raw.get().starts_with('{') {
        return Err(NO_OBJECT.to_owned());
    }
    flatten(raw, "", DEEPEST, draft)
}

/// Gives a reading the values of an object whose columns begin with a name.
pub fn named(name: &str, raw: &RawValue, draft: &mut Draft<'_>) -> Result<(), String> {
    flatten(raw, name, DEEPEST, draft)
}

/// Objects within an object become columns with joined names; what is null is left out.
fn flatten(raw: &RawValue, above: &str, depth: usize, draft: &mut Draft<'_>) -> Result<(), String> {
    let Object(entries) =
        serde_json::from_str(raw.get()).map_err(|error| format!("this is not JSON: {error}"))?;
    for (Text(key), value) in entries {
        let name = if above.is_empty() { key } else { Cow::Owned(format!("{above}_{key}")) };
        if value.get().starts_with('{') {
            if depth == 0 {
                return Err(format!("{name}: objects lie too deep in one another"));
            }
            flatten(value, &name, depth - 1, draft)?;
        } else {
            scalar(&name, value, draft)?;
        }
    }
    Ok(())
}

/// Gives a column of a reading a value that is no object.
pub fn scalar(name: &str, raw: &RawValue, draft: &mut Draft<'_>) -> Result<(), String> {
    match raw.get().as_bytes()[0] {
        b'n' => Ok(()),
        b'"' => {
            let Text(text) =
                serde_json::from_str(raw.get()).map_err(|error| format!("{name}: {error}"))?;
            draft.put(name, &text)
        }
        b'[' => Err(format!("{name}: lists are not taken, send text or numbers")),
        b'{' => Err(format!("{name}: an object is not taken here")),
        _ => draft.put(name, raw.get()),
    }
}

/// Text, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The entries of an object, in their order.
struct Object<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Object<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::with_capacity(8);
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Object(entries))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}
