//! The content of a file as UTF-8 with newlines, whatever it is written in.

use std::io::{self, Read};

use crate::plan::Encoding;

const PIECE: usize = 1 << 16;
/// Of windows-1252, the characters of the bytes 80 to 9F as browsers read them (WHATWG,
/// "windows-1252"): those that have none are the control characters.
const WINDOWS: [u16; 32] = [
    0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021, 0x2c6, 0x2030, 0x160, 0x2039,
    0x152, 0x8d, 0x17d, 0x8f, 0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x2dc,
    0x2122, 0x161, 0x203a, 0x153, 0x9d, 0x17e, 0x178,
];

/// Reads what another reader gives, as UTF-8 with newlines.
///
/// What is not valid in its encoding becomes bytes that are not valid UTF-8 either, so that its row
/// is rejected: half a surrogate pair as three of them, a last odd byte as `ff`.
pub struct Text<R> {
    inner: R,
    encoding: Encoding,
    returns: bool,
    raw: Vec<u8>,
    /// How many bytes of `raw` wait for those behind them.
    waiting: usize,
    decoded: Vec<u8>,
    /// How many of the decoded bytes have been given.
    given: usize,
}

impl<R: Read> Text<R> {
    /// `returns`: lines end with carriage returns.
    pub fn new(inner: R, encoding: Encoding, returns: bool) -> Self {
        let raw = vec![0; PIECE];
        Self { inner, encoding, returns, raw, waiting: 0, decoded: vec![], given: 0 }
    }

    /// What it reads from.
    pub fn into_inner(self) -> R {
        self.inner
    }

    fn refill(&mut self) -> io::Result<()> {
        self.decoded.clear();
        self.given = 0;
        let read = self.inner.read(&mut self.raw[self.waiting..])?;
        let filled = self.waiting + read;
        let raw = &self.raw[..filled];
        let used = match self.encoding {
            Encoding::Utf8 => {
                self.decoded.extend_from_slice(raw);
                filled
            }
            Encoding::Windows1252 | Encoding::Latin1 => {
                let windows = self.encoding == Encoding::Windows1252;
                raw.iter().for_each(|&byte| single(byte, windows, &mut self.decoded));
                filled
            }
            Encoding::Utf16Le => utf_16(raw, u16::from_le_bytes, read == 0, &mut self.decoded),
            Encoding::Utf16Be => utf_16(raw, u16::from_be_bytes, read == 0, &mut self.decoded),
        };
        self.raw.copy_within(used..filled, 0);
        self.waiting = filled - used;
        if self.returns {
            self.decoded.iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
        }
        Ok(())
    }
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.given == self.decoded.len() {
            let waiting = self.waiting;
            self.refill()?;
            if self.decoded.is_empty() && self.waiting == waiting {
                return Ok(0);
            }
        }
        let ready = &self.decoded[self.given..];
        let count = ready.len().min(buffer.len());
        buffer[..count].copy_from_slice(&ready[..count]);
        self.given += count;
        Ok(count)
    }
}

fn single(byte: u8, windows: bool, text: &mut Vec<u8>) {
    let character = match byte {
        0x80..=0x9f if windows => WINDOWS[usize::from(byte - 0x80)],
        _ => u16::from(byte),
    };
    push(u32::from(character), text);
}

/// Decodes whole units, and returns how many bytes they are; at the end all of them.
fn utf_16(raw: &[u8], unit: fn([u8; 2]) -> u16, is_end: bool, text: &mut Vec<u8>) -> usize {
    let (pairs, odd) = raw.as_chunks::<2>();
    let mut at = 0;
    while at < pairs.len() {
        let first = u32::from(unit(pairs[at]));
        if (0xd800..0xdc00).contains(&first) {
            let second = pairs.get(at + 1).map(|&pair| u32::from(unit(pair)));
            match second {
                Some(second @ 0xdc00..0xe000) => {
                    push(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00), text);
                    at += 2;
                    continue;
                }
                None if !is_end => break,
                _ => {}
            }
        }
        push(first, text);
        at += 1;
    }
    if is_end && !odd.is_empty() {
        text.push(0xff);
        return raw.len();
    }
    2 * at
}

/// The UTF-8 of a character; also of half a surrogate pair, which is not valid.
fn push(character: u32, text: &mut Vec<u8>) {
    let tail = |shift: u32| 0x80 | (character >> shift & 0x3f) as u8;
    match character {
        0..0x80 => text.push(character as u8),
        0x80..0x800 => text.extend([0xc0 | (character >> 6) as u8, tail(0)]),
        0x800..0x1_0000 => text.extend([0xe0 | (character >> 12) as u8, tail(6), tail(0)]),
        _ => text.extend([0xf0 | (character >> 18) as u8, tail(12), tail(6), tail(0)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time.
    struct Drip<'a>(&'a [u8]);

    impl Read for Drip<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(buffer.len()).min(1);
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    fn text(raw: &[u8], encoding: Encoding) -> Vec<u8> {
        let mut whole = vec![];
        Text::new(raw, encoding, false).read_to_end(&mut whole).unwrap();
        let mut dripped = vec![];
        Text::new(Drip(raw), encoding, false).read_to_end(&mut dripped).unwrap();
        assert_eq!(whole, dripped);
        whole
    }

    #[test]
    fn utf_16_is_read_in_both_orders() {
        let content = "timestamp;\u{e4}\u{20ac}\u{1f321}\r\n";
        let units: Vec<u16> = content.encode_utf16().collect();
        let little: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
        let big: Vec<u8> = units.iter().flat_map(|unit| unit.to_be_bytes()).collect();
        assert_eq!(text(&little, Encoding::Utf16Le), content.as_bytes());
        assert_eq!(text(&big, Encoding::Utf16Be), content.as_bytes());
        assert_eq!(Encoding::Utf16Le.size(content.as_bytes()), little.len() as u64);
    }

    #[test]
    fn what_is_no_utf_16_is_no_utf_8_either() {
        assert_eq!(text(b"\x3d\xd8a\0", Encoding::Utf16Le), b"\xed\xa0\xbda");
        assert_eq!(text(b"\x3d\xd8", Encoding::Utf16Le), b"\xed\xa0\xbd");
        assert_eq!(text(b"a\0\x3d", Encoding::Utf16Le), b"a\xff");
    }

    #[test]
    fn single_bytes_are_characters() {
        assert_eq!(text(b"K\xf6ln \x80\x81", Encoding::Windows1252), "Köln €\u{81}".as_bytes());
        assert_eq!(text(b"K\xf6ln \x80", Encoding::Latin1), "Köln \u{80}".as_bytes());
        assert_eq!(Encoding::Latin1.size("Köln".as_bytes()), 4);
    }

    #[test]
    fn carriage_returns_can_end_lines() {
        let mut read = vec![];
        Text::new(&b"a\rb\r"[..], Encoding::Utf8, true).read_to_end(&mut read).unwrap();
        assert_eq!(read, b"a\nb\n");
    }
}
