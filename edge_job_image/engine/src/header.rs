//! The header of a file: which column is which field, and what separates them.

use std::io::{self, BufRead};

use crate::cells::{MAX_LINE, split, text_of};
use crate::plan::Plan;
use crate::reason::{Quarantine, Reason, Rejection};
use crate::shown;

const BOM: &[u8] = b"\xef\xbb\xbf";
const DELIMITERS: [u8; 4] = [b';', b',', b'\t', b'|'];

/// The first line of a file that is not blank.
#[derive(Debug)]
pub struct Header {
    pub columns: Vec<String>,
    pub delimiter: u8,
    /// The offset behind it, in bytes.
    pub end: u64,
    /// Newlines before `end`.
    pub lines: u64,
}

/// Where a file has what the schema wants; None where it has no column.
pub struct Layout {
    pub timestamp: usize,
    pub fields: Vec<Option<usize>>,
}

type Repr<'a> = dyn Fn(&str) -> String + 'a;

/// Reads the header; None when the first `end` bytes of the file are blank.
pub fn read(
    file: &mut impl BufRead,
    end: u64,
    plan: &Plan,
    repr: &Repr<'_>,
) -> io::Result<Result<Option<Header>, Quarantine>> {
    let mut position = 0;
    let mut lines = 0;
    while position < end {
        let room = (MAX_LINE as u64 + 1).min(end - position);
        let mut line = Vec::new();
        io::Read::take(&mut *file, room).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Ok(Ok(None));
        }
        let first = position == 0;
        position += line.len() as u64;
        let ended = line.last() == Some(&b'\n');
        lines += u64::from(ended);
        let mut text = &line[..];
        if first {
            text = text.strip_prefix(BOM).unwrap_or(text);
        }
        let blank = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
        if !text.iter().all(blank) {
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            let header = columns(text, plan, repr).map(|(columns, delimiter)| {
                Some(Header { columns, delimiter, end: position, lines })
            });
            return Ok(header);
        }
    }
    Ok(Ok(None))
}

fn columns(line: &[u8], plan: &Plan, repr: &Repr<'_>) -> Result<(Vec<String>, u8), Quarantine> {
    let unreadable = |rejection: Rejection| {
        let reason = match rejection.reason {
            Reason::InvalidEncoding => Reason::NotText,
            reason => reason,
        };
        let message = format!("the header cannot be read: {}", rejection.detail);
        Quarantine { reason: reason.name(), message }
    };
    let text = text_of(line).map_err(unreadable)?;
    let delimiter = plan.delimiter.map_or_else(|| best(text, plan, repr), |given| given as u8);
    let columns: Vec<String> = split(text, delimiter, repr)
        .map_err(unreadable)?
        .into_iter()
        .map(|cell| String::from_utf8_lossy(&cell).into_owned())
        .collect();
    if columns.iter().all(String::is_empty) {
        let message = "the header names no column".to_owned();
        return Err(Quarantine { reason: "empty_header", message });
    }
    Ok((columns, delimiter))
}

/// The delimiter under which the header names most of what the schema looks for.
fn best(text: &[u8], plan: &Plan, repr: &Repr<'_>) -> u8 {
    let wanted: Vec<&String> =
        plan.timestamp.from.iter().chain(plan.fields.iter().flat_map(|f| &f.from)).collect();
    let fit = |delimiter: u8| {
        let Ok(columns) = split(text, delimiter, repr) else {
            return (-1, 0);
        };
        let mut names: Vec<&[u8]> = columns.iter().map(Vec::as_slice).collect();
        names.sort_unstable();
        names.dedup();
        let is_wanted = |name: &&&[u8]| wanted.iter().any(|wanted| wanted.as_bytes() == **name);
        (names.iter().filter(is_wanted).count() as i64, columns.len())
    };
    let mut best = DELIMITERS[0];
    for delimiter in &DELIMITERS[1..] {
        if fit(*delimiter) > fit(best) {
            best = *delimiter;
        }
    }
    best
}

/// Finds the schema's columns; a file that lacks what each row needs is quarantined.
pub fn lay_out(header: &Header, plan: &Plan, repr: &Repr<'_>) -> Result<Layout, Quarantine> {
    let timestamp = find("timestamp", &plan.timestamp.from, header, repr)?;
    let mut fields = Vec::with_capacity(plan.fields.len());
    for field in &plan.fields {
        fields.push(find(&field.name, &field.from, header, repr)?);
    }
    let mut missing = Vec::new();
    if timestamp.is_none() {
        missing.push(format!("timestamp ({})", listed(&plan.timestamp.from)));
    }
    for (field, position) in plan.fields.iter().zip(&fields) {
        if position.is_none() && field.missing.is_some() {
            missing.push(format!("{} ({})", field.name, listed(&field.from)));
        }
    }
    match timestamp {
        Some(timestamp) if missing.is_empty() => Ok(Layout { timestamp, fields }),
        _ => {
            let (missing, seen) = (missing.join(", "), listed(&header.columns));
            let message = format!("no column for {missing}; columns seen: {seen}");
            Err(Quarantine { reason: "missing_column", message })
        }
    }
}

fn find(
    field: &str,
    names: &[String],
    header: &Header,
    repr: &Repr<'_>,
) -> Result<Option<usize>, Quarantine> {
    for name in names {
        let mut found = (0..header.columns.len()).filter(|&at| header.columns[at] == *name);
        let first = found.next();
        if found.next().is_some() {
            let shown = shown::text(name.as_bytes(), repr);
            let message = format!("the header has the column {shown} of {field} more than once");
            return Err(Quarantine { reason: "duplicate_column", message });
        }
        if first.is_some() {
            return Ok(first);
        }
    }
    Ok(None)
}

fn listed(columns: &[String]) -> String {
    const SHOWN: usize = 30;
    const LENGTH: usize = 40;
    let names: Vec<String> = columns
        .iter()
        .take(SHOWN)
        .map(|name| match name.char_indices().nth(LENGTH) {
            Some((end, _)) => format!("{}…", &name[..end]),
            None => name.clone(),
        })
        .collect();
    let more = columns.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    names.join(", ") + &rest
}
