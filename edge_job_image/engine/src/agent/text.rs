//! CSV and InfluxDB's line protocol as readings.

use std::collections::HashSet;

use csv::{ReaderBuilder, StringRecord};

use super::batch::{Batch, Draft};
use super::refusal::Refusal;

/// Reads a header and rows, separated by commas; no cell has a line break.
pub fn csv(body: &[u8], batch: &mut Batch) -> Result<(), Refusal> {
    let mut rows =
        ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text(body)?.as_bytes());
    let broken = |error| Refusal::bad(format!("this is not CSV: {error}"));
    let (mut header, mut row) = (StringRecord::new(), StringRecord::new());
    rows.read_record(&mut header).map_err(broken)?;
    header.trim();
    if header.iter().collect::<HashSet<_>>().len() < header.len() {
        return Err(Refusal::bad("a column is named twice in the header"));
    }
    let mut number = 0;
    while rows.read_record(&mut row).map_err(broken)? {
        number += 1;
        reading_of(&row, &header, batch).map_err(|error| Refusal::bad(error).of(number))?;
    }
    Ok(())
}

fn reading_of(row: &StringRecord, header: &StringRecord, batch: &mut Batch) -> Result<(), String> {
    if row.len() != header.len() {
        return Err(format!("{} fields, {} in the header", row.len(), header.len()));
    }
    let mut draft = Draft::new(batch).map_err(|refusal| refusal.message)?;
    for (name, cell) in header.iter().zip(row) {
        if !cell.is_empty() {
            draft.put(name, cell)?;
        }
    }
    draft.end()
}

/// Reads points (docs.influxdata.com/influxdb/v2/reference/syntax/line-protocol).
pub fn line_protocol(body: &[u8], batch: &mut Batch) -> Result<(), Refusal> {
    for (number, line) in text(body)?.split('\n').enumerate() {
        let line = line.trim();
        if !line.is_empty() && !line.starts_with('#') {
            point(line, batch).map_err(|error| {
                Refusal::bad(format!("this is no line protocol: {error}")).of(number + 1)
            })?;
        }
    }
    Ok(())
}

fn point(line: &str, batch: &mut Batch) -> Result<(), String> {
    const EXPECTED: &str = "expected `measurement,tag=value field=value timestamp`";
    let (series, fields, time) = match parts(line, ' ')?[..] {
        [series, fields] => (series, fields, None),
        [series, fields, time] => (series, fields, Some(time)),
        _ => return Err(EXPECTED.to_owned()),
    };
    let mut draft = Draft::new(batch).map_err(|refusal| refusal.message)?;
    let series = parts(series, ',')?;
    let (measurement, tags) = series.split_first().ok_or(EXPECTED)?;
    draft.put("measurement", &plain(measurement))?;
    for tag in tags {
        let (key, value) = pair(tag)?;
        draft.put(&key, &plain(value))?;
    }
    for field in parts(fields, ',')? {
        let (key, value) = pair(field)?;
        draft.put(&key, &field_value(value)?)?;
    }
    if let Some(time) = time {
        let nanoseconds: i64 =
            time.parse().map_err(|_| format!("{time:?} is no time in nanoseconds"))?;
        draft.put("timestamp", &nanoseconds.to_string())?;
    }
    draft.end()
}

/// The parts between marks that are neither escaped nor quoted; none is empty.
fn parts(line: &str, mark: char) -> Result<Vec<&str>, String> {
    let mut found = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, char) in line.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            _ if char == mark && !quoted => {
                found.push(&line[start..at]);
                start = at + mark.len_utf8();
            }
            _ => {}
        }
    }
    found.push(&line[start..]);
    if quoted {
        return Err("a text has no end".to_owned());
    }
    if found.iter().any(|part| part.is_empty()) {
        return Err(format!("nothing stands between two {mark:?}"));
    }
    Ok(found)
}

fn pair(part: &str) -> Result<(String, &str), String> {
    let mut escaped = false;
    for (at, char) in part.char_indices() {
        match char {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '=' if at > 0 && at + 1 < part.len() => {
                return Ok((plain(&part[..at]), &part[at + 1..]));
            }
            '=' => break,
            _ => {}
        }
    }
    Err(format!("{:?} has no value", part.chars().take(80).collect::<String>()))
}

fn field_value(value: &str) -> Result<String, String> {
    if let Some(quoted) = value.strip_prefix('"') {
        let text = quoted.strip_suffix('"').ok_or("a text has no end")?;
        return Ok(plain(text));
    }
    match value {
        "t" | "T" | "true" | "True" | "TRUE" => return Ok("true".to_owned()),
        "f" | "F" | "false" | "False" | "FALSE" => return Ok("false".to_owned()),
        _ => {}
    }
    let number = value.strip_suffix(['i', 'u']);
    let fine = match number {
        Some(whole) => whole.parse::<i128>().is_ok(),
        None => value.parse::<f64>().is_ok(),
    };
    if fine {
        Ok(number.unwrap_or(value).to_owned())
    } else {
        Err(format!("{value:?} is no value"))
    }
}

/// The text without the marks that escape commas, blanks, equals signs and quotation marks.
fn plain(value: &str) -> String {
    let mut found = String::with_capacity(value.len());
    let mut chars = value.chars().peekable();
    while let Some(char) = chars.next() {
        let escapes = char == '\\'
            && chars.peek().is_some_and(|next| matches!(next, ',' | ' ' | '=' | '"' | '\\'));
        found.push(if escapes { chars.next().unwrap_or(char) } else { char });
    }
    found
}

fn text(body: &[u8]) -> Result<&str, Refusal> {
    let text = str::from_utf8(body)
        .map_err(|error| Refusal::bad(format!("byte {} is not UTF-8", error.valid_up_to())))?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}
