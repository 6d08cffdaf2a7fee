//! Cells of a line, found eight bytes at a time.

use crate::cells::trimmed;

const ONES: u64 = 0x0101_0101_0101_0101;
pub const HIGHS: u64 = 0x8080_8080_8080_8080;

/// A byte in each byte of a word.
pub const fn repeated(byte: u8) -> u64 {
    ONES * byte as u64
}

/// Sets the high bit of each byte of `word` that equals the byte repeated in `pattern`.
#[inline(always)]
const fn equal(word: u64, pattern: u64) -> u64 {
    let differing = word ^ pattern;
    !(((differing & !HIGHS) + !HIGHS) | differing | !HIGHS)
}

/// The high bit of the first byte of `word` that equals the byte repeated in `pattern`, and bits of
/// none before it; None when there is no such byte.
#[inline(always)]
pub const fn first_equal(word: u64, pattern: u64) -> Option<u64> {
    let differing = word ^ pattern;
    match differing.wrapping_sub(ONES) & !differing & HIGHS {
        0 => None,
        found => Some(found),
    }
}

/// The eight bytes at a position, the first one lowest; None near the block's end.
#[inline(always)]
pub fn word(block: &[u8], at: usize) -> Option<u64> {
    block.get(at..)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
}

/// A byte of a word, counted from the lowest.
#[inline(always)]
pub const fn byte(word: u64, at: u32) -> u8 {
    (word >> (8 * at)) as u8
}

/// Whether a block is UTF-8 without NUL bytes.
pub fn is_text(block: &[u8]) -> bool {
    let (seen, least) = block.iter().fold((0, u8::MAX), |(seen, least), &byte| {
        // Each of the two is one instruction for many bytes, which a search is not.
        (seen | byte, least.min(byte))
    });
    least > 0 && (seen < 0x80 || std::str::from_utf8(block).is_ok())
}

/// What ends a cell.
#[derive(Clone, Copy)]
pub struct Marks {
    delimiter: u8,
    delimiters: u64,
}

impl Marks {
    pub const fn new(delimiter: u8) -> Self {
        Self { delimiter, delimiters: repeated(delimiter) }
    }

    /// The cell at a position of a block that ends with a newline, without blanks at its ends, and
    /// the position of the delimiter or newline behind it. None for quotes that are not simply
    /// around the whole cell.
    #[inline(always)]
    pub fn cell<'a>(&self, block: &'a [u8], at: usize) -> Option<(&'a [u8], usize)> {
        let end = self.find(block, at);
        let cell = &block[at..end];
        match block[end] {
            b'"' => self.quoted(block, at),
            b'\n' => Some((trimmed(cell.strip_suffix(b"\r").unwrap_or(cell)), end)),
            _ => Some((trimmed(cell), end)),
        }
    }

    /// The position of the next delimiter, newline or quotation mark.
    #[inline(always)]
    fn find(&self, block: &[u8], mut at: usize) -> usize {
        while let Some(word) = word(block, at) {
            let marks = equal(word, self.delimiters)
                | equal(word, repeated(b'\n'))
                | equal(word, repeated(b'"'));
            if marks != 0 {
                return at + marks.trailing_zeros() as usize / 8;
            }
            at += 8;
        }
        let is_mark = |&byte: &u8| byte == self.delimiter || matches!(byte, b'\n' | b'"');
        at + block[at..].iter().position(is_mark).expect("a block ends with a newline")
    }

    #[inline(never)]
    fn quoted<'a>(&self, block: &'a [u8], at: usize) -> Option<(&'a [u8], usize)> {
        let content = block[at..].strip_prefix(b"\"")?;
        let length = content.iter().position(|byte| matches!(byte, b'"' | b'\n'))?;
        let behind = content[length..].strip_prefix(b"\"")?;
        let behind = behind.strip_prefix(b"\r").filter(|b| b[0] == b'\n').unwrap_or(behind);
        let is_end = behind[0] == self.delimiter || behind[0] == b'\n';
        is_end.then(|| (trimmed(&content[..length]), block.len() - behind.len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(block: &str) -> Option<(&str, usize)> {
        let (cell, end) = Marks::new(b';').cell(block.as_bytes(), 0)?;
        Some((std::str::from_utf8(cell).unwrap(), end))
    }

    #[test]
    fn cells_end_at_a_delimiter_or_newline() {
        for (block, expected) in [
            ("\n", ("", 0)),
            (";\n", ("", 0)),
            ("a;b\n", ("a", 1)),
            (" a b\t;\n", ("a b", 5)),
            ("long text without any mark;x\n", ("long text without any mark", 26)),
            ("12345678\n", ("12345678", 8)),
            ("1234567\r\n", ("1234567", 8)),
            ("a\r;\n", ("a\r", 2)),
            ("\"a;b \"\n", ("a;b", 6)),
            ("\"\";\n", ("", 2)),
            ("\"a\"\r\n", ("a", 4)),
        ] {
            assert_eq!(cell(block), Some(expected), "{block:?}");
        }
    }

    #[test]
    fn odd_quotes_are_left_to_others() {
        for block in [
            "\"a\n",
            "\"a\"b;\n",
            "\"a\"\"b\";\n",
            "5\";\n",
            " \"a\";\n",
            "\"a\" ;\n",
            "\"a\"\rb\n",
        ] {
            assert_eq!(cell(block), None, "{block:?}");
        }
    }

    #[test]
    fn text_is_utf_8_without_nul() {
        assert!(is_text("a\u{e9}\n".as_bytes()));
        assert!(!is_text(b"a\xe9\n"));
        assert!(!is_text(b"a\0\n"));
    }
}
