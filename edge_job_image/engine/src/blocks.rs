//! A range of a file in blocks of whole lines.

use std::io::{self, Read};

use crate::cells::MAX_LINE;

/// Bytes that are read at once. Larger than any line that is taken for a reading.
pub const BLOCK: usize = 1 << 18;

/// A part of the range.
pub enum Part<'a> {
    /// Whole lines, each with its newline.
    Lines(&'a [u8]),
    /// The first bytes of a line that no block holds, and its size with its newline.
    TooLong(&'a [u8], u64),
}

/// Reads a range in blocks. A last line without a newline is given one.
pub struct Blocks<R> {
    file: R,
    position: u64,
    end: u64,
    buffer: Vec<u8>,
    /// What the buffer holds behind the last whole line that was given.
    rest: std::ops::Range<usize>,
    /// Whether the last byte of the range is a newline.
    pub ended: bool,
}

/// Why a range could not be read to its end.
#[derive(Debug)]
pub enum Unread {
    /// The file became shorter: where it ended, and where it did before.
    Shrunk {
        at: u64,
        end: u64,
    },
    Failed(io::Error),
}

impl<R: Read> Blocks<R> {
    /// Reads from a file that stands at `start`; `buffer` is memory to use.
    pub fn new(file: R, start: u64, end: u64, mut buffer: Vec<u8>) -> Self {
        buffer.resize(BLOCK, 0);
        Self { file, position: start, end, buffer, rest: 0..0, ended: true }
    }

    /// The file, and the memory for the next one.
    pub fn into_parts(self) -> (R, Vec<u8>) {
        (self.file, self.buffer)
    }

    /// The position behind what has been read so far.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The next part of the range, None at its end.
    pub fn read(&mut self) -> Result<Option<Part<'_>>, Unread> {
        self.buffer.truncate(BLOCK);
        self.buffer.copy_within(self.rest.clone(), 0);
        let mut filled = self.rest.len();
        self.rest = 0..0;
        while filled < BLOCK && self.position < self.end {
            filled += self.fill(filled)?;
        }
        if filled == 0 {
            return Ok(None);
        }
        let at_end = self.position == self.end;
        match self.buffer[..filled].iter().rposition(|&byte| byte == b'\n') {
            Some(last) if !at_end || last + 1 == filled => {
                self.rest = last + 1..filled;
                Ok(Some(Part::Lines(&self.buffer[..=last])))
            }
            None if !at_end => self.long_line(filled),
            _ => {
                self.ended = false;
                self.buffer.truncate(filled);
                self.buffer.push(b'\n');
                Ok(Some(Part::Lines(&self.buffer)))
            }
        }
    }

    /// Passes over the rest of a line of which the buffer holds a part.
    fn long_line(&mut self, filled: usize) -> Result<Option<Part<'_>>, Unread> {
        const KEPT: usize = MAX_LINE + 1;
        let mut size = filled as u64;
        while self.position < self.end {
            let read = self.fill(KEPT)?;
            let bytes = &self.buffer[KEPT..KEPT + read];
            if let Some(newline) = bytes.iter().position(|&byte| byte == b'\n') {
                self.rest = KEPT + newline + 1..KEPT + read;
                return Ok(Some(Part::TooLong(&self.buffer[..KEPT], size + newline as u64 + 1)));
            }
            size += read as u64;
        }
        self.ended = false;
        Ok(Some(Part::TooLong(&self.buffer[..KEPT], size)))
    }

    /// Reads behind the first bytes of the buffer.
    fn fill(&mut self, from: usize) -> Result<usize, Unread> {
        let room = (self.end - self.position).min((BLOCK - from) as u64) as usize;
        loop {
            match self.file.read(&mut self.buffer[from..from + room]) {
                Ok(0) => {
                    return Err(Unread::Shrunk { at: self.position, end: self.end });
                }
                Ok(read) => {
                    self.position += read as u64;
                    return Ok(read);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Unread::Failed(error)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(content: &[u8]) -> (Vec<u8>, Vec<u64>, bool) {
        let mut blocks = Blocks::new(content, 0, content.len() as u64, vec![]);
        let (mut lines, mut long) = (vec![], vec![]);
        while let Some(part) = blocks.read().unwrap() {
            match part {
                Part::Lines(block) => lines.extend_from_slice(block),
                Part::TooLong(line, size) => {
                    assert!(line.len() == MAX_LINE + 1);
                    long.push(size);
                }
            }
        }
        (lines, long, blocks.ended)
    }

    #[test]
    fn blocks_are_whole_lines() {
        let mut content = Vec::new();
        for number in 0..100_000 {
            content.extend_from_slice(format!("line {number}\n").as_bytes());
        }
        assert_eq!(parts(&content), (content.clone(), vec![], true));
        content.extend_from_slice(b"cut");
        let whole = [&content[..], b"\n"].concat();
        assert_eq!(parts(&content), (whole, vec![], false));
        assert_eq!(parts(b""), (vec![], vec![], true));
        assert_eq!(parts(b"a\nb"), (b"a\nb\n".to_vec(), vec![], false));
    }

    #[test]
    fn lines_beyond_a_block_are_passed_over() {
        let long = [&b"a\n"[..], &vec![b'x'; 3 * BLOCK], b"\nb\n"].concat();
        let size = 3 * BLOCK as u64 + 1;
        assert_eq!(parts(&long), (b"a\nb\n".to_vec(), vec![size], true));
        let open = [&b"a\n"[..], &vec![b'x'; 3 * BLOCK]].concat();
        assert_eq!(parts(&open), (b"a\n".to_vec(), vec![size - 1], false));
    }

    #[test]
    fn a_file_that_became_shorter_is_told() {
        let mut blocks = Blocks::new(&b"a\n"[..], 0, 5, vec![]);
        assert!(matches!(blocks.read(), Err(Unread::Shrunk { at: 2, end: 5 })));
    }
}
