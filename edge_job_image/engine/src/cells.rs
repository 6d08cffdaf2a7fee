//! The cells of a line.

use std::borrow::Cow;

use crate::reason::{Reason, Rejection};
use crate::shown;

/// A cell, as it stands in its line where that is possible.
pub type Cell<'a> = Cow<'a, [u8]>;

/// Bytes of a line; a longer one is no reading.
pub const MAX_LINE: usize = 65_536;

/// A cell without the blanks at its ends.
#[inline(always)]
pub fn trimmed(mut cell: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = cell {
        cell = rest;
    }
    cell
}

/// Whether a line holds nothing but blanks and delimiters.
pub fn is_blank(line: &[u8], delimiter: u8) -> bool {
    line.iter().all(|&byte| matches!(byte, b' ' | b'\t' | b'\r') || byte == delimiter)
}

/// A line without the `\r` of a CRLF, if it is text.
pub fn text_of(line: &[u8]) -> Result<&[u8], Rejection> {
    if line.len() > MAX_LINE {
        let detail = format!("the line has more than {MAX_LINE} bytes");
        return Err(Rejection::new(Reason::RowTooLong, detail));
    }
    if line.contains(&0) {
        let at = line.iter().take_while(|&&byte| byte != 0).count();
        let detail = format!("a NUL byte at byte {} of the line", at + 1);
        return Err(Rejection::new(Reason::NotText, detail));
    }
    if let Err(error) = std::str::from_utf8(line) {
        let start = error.valid_up_to();
        let end = error.error_len().map_or(line.len(), |length| start + length);
        let wrong: Vec<String> = line[start..end].iter().map(|b| format!("{b:02x}")).collect();
        let detail = format!("not UTF-8: {} at byte {} of the line", wrong.join(" "), start + 1);
        return Err(Rejection::new(Reason::InvalidEncoding, detail));
    }
    Ok(line.strip_suffix(b"\r").unwrap_or(line))
}

/// The first bytes of a rejected line, as they are shown.
pub fn raw(line: &[u8]) -> String {
    const KEPT: usize = 4096;
    shown(&line[..line.len().min(KEPT)])
}

/// Bytes as valid UTF-8: the others are written as `\xff`.
pub fn shown(bytes: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.to_owned();
    }
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// The cells of a line of text, without quotes and without blanks at their ends.
pub fn split<'a>(
    text: &'a [u8],
    delimiter: u8,
    repr: &dyn Fn(&str) -> String,
) -> Result<Vec<Cell<'a>>, Rejection> {
    /// So many cells most lines have.
    const FEW: usize = 16;
    if !text.contains(&b'"') {
        let mut cells = Vec::with_capacity(FEW);
        let each = text.split(|&byte| byte == delimiter);
        cells.extend(each.map(|cell| Cow::Borrowed(trimmed(cell))));
        return Ok(cells);
    }
    let mut cells = Vec::new();
    let mut rest = text;
    loop {
        rest = without_blanks(rest, delimiter);
        let more;
        let cell;
        if rest.first() == Some(&b'"') {
            let (content, behind) = quoted(rest, repr)?;
            rest = without_blanks(behind, delimiter);
            if rest.first().is_some_and(|&byte| byte != delimiter) {
                let (rest, cell) = (shown::text(rest, repr), shown::text(&content, repr));
                let detail = format!("{rest} stands behind the closing quote of {cell}");
                return Err(Rejection::new(Reason::MalformedQuote, detail));
            }
            more = !rest.is_empty();
            rest = rest.get(1..).unwrap_or_default();
            cell = Cow::Owned(trimmed(&content).to_vec());
        } else {
            let end = rest.iter().position(|&byte| byte == delimiter);
            more = end.is_some();
            let length = end.unwrap_or(rest.len());
            cell = Cow::Borrowed(trimmed(&rest[..length]));
            rest = rest.get(length + 1..).unwrap_or_default();
        }
        cells.push(cell);
        if !more {
            return Ok(cells);
        }
    }
}

fn without_blanks(mut text: &[u8], delimiter: u8) -> &[u8] {
    while let [first @ (b' ' | b'\t'), rest @ ..] = text
        && *first != delimiter
    {
        text = rest;
    }
    text
}

/// The content of the quoted cell that begins a text, and what stands behind it.
fn quoted<'a>(
    text: &'a [u8],
    repr: &dyn Fn(&str) -> String,
) -> Result<(Vec<u8>, &'a [u8]), Rejection> {
    let mut content = Vec::new();
    let mut begin = 1;
    while let Some(length) = text[begin..].iter().position(|&byte| byte == b'"') {
        let end = begin + length;
        content.extend_from_slice(&text[begin..end]);
        if text.get(end + 1) != Some(&b'"') {
            return Ok((content, &text[end + 1..]));
        }
        content.push(b'"');
        begin = end + 2;
    }
    let shown = shown::text(&text[1..], repr);
    let detail = format!("the quote before {shown} is not closed on its line");
    Err(Rejection::new(Reason::MalformedQuote, detail))
}
