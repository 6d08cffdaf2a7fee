//! A range of a file in blocks of whole lines.

use std::io::{self, Read};

use crate::cells::MAX_LINE;
use crate::plan::Encoding;

/// Bytes that are read at once. Larger than any line that is taken for a reading.
pub const BLOCK: usize = 1 << 18;

/// Memory for a part of the range.
#[derive(Default)]
pub struct Block {
    bytes: Vec<u8>,
    length: usize,
}

impl Block {
    /// What was read.
    pub fn lines(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// What a block holds of the range.
#[derive(Clone, Copy)]
pub enum Part {
    /// Whole lines, each with its newline.
    Lines,
    /// The first bytes of a line that no block holds, and its size in the file with its newline.
    TooLong(u64),
}

/// Reads a range in blocks. A last line without a newline is given one.
pub struct Blocks<R> {
    file: R,
    position: u64,
    /// None while it is not known: where the file's reader says that there is no more.
    end: Option<u64>,
    encoding: Encoding,
    /// What was read behind the last whole line that was given.
    rest: Vec<u8>,
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
    /// Reads from a file that stands at `start`.
    pub const fn new(file: R, start: u64, end: u64) -> Self {
        Self::of(file, start, Some(end), Encoding::Utf8)
    }

    /// Reads all that a reader gives, which is UTF-8 and was of another encoding in the file.
    pub const fn all(file: R, start: u64, encoding: Encoding) -> Self {
        Self::of(file, start, None, encoding)
    }

    const fn of(file: R, start: u64, end: Option<u64>, encoding: Encoding) -> Self {
        Self { file, position: start, end, encoding, rest: vec![], ended: true }
    }

    pub fn into_file(self) -> R {
        self.file
    }

    /// The position behind what has been read so far.
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// Whether it is known that there is no more.
    pub fn is_done(&self) -> bool {
        self.is_at_end() && self.rest.is_empty()
    }

    /// Reads the next part of the range, None at its end. What `block` held is lost.
    pub fn read(&mut self, block: &mut Block) -> Result<Option<Part>, Unread> {
        block.bytes.resize(BLOCK + 1, 0);
        let mut filled = self.rest.len();
        block.bytes[..filled].copy_from_slice(&self.rest);
        self.rest.clear();
        while filled < BLOCK && !self.is_at_end() {
            filled += self.fill(&mut block.bytes[filled..BLOCK])?;
        }
        if filled == 0 {
            return Ok(None);
        }
        let at_end = self.is_at_end();
        match block.bytes[..filled].iter().rposition(|&byte| byte == b'\n') {
            Some(last) if !at_end || last + 1 == filled => {
                self.rest.extend_from_slice(&block.bytes[last + 1..filled]);
                block.length = last + 1;
            }
            None if !at_end => return self.long_line(block, filled).map(Some),
            _ => {
                self.ended = false;
                block.bytes[filled] = b'\n';
                block.length = filled + 1;
            }
        }
        Ok(Some(Part::Lines))
    }

    /// Passes over the rest of a line of which the block holds a part.
    fn long_line(&mut self, block: &mut Block, filled: usize) -> Result<Part, Unread> {
        const KEPT: usize = MAX_LINE + 1;
        let mut size = self.encoding.size(&block.bytes[..filled]);
        block.length = KEPT;
        while !self.is_at_end() {
            let read = self.fill(&mut block.bytes[KEPT..BLOCK])?;
            let bytes = &block.bytes[KEPT..KEPT + read];
            if let Some(newline) = bytes.iter().position(|&byte| byte == b'\n') {
                self.rest.extend_from_slice(&bytes[newline + 1..]);
                size += self.encoding.size(&bytes[..=newline]);
                return Ok(Part::TooLong(size));
            }
            size += self.encoding.size(bytes);
        }
        self.ended = false;
        Ok(Part::TooLong(size))
    }

    fn is_at_end(&self) -> bool {
        self.end == Some(self.position)
    }

    /// Reads some bytes of the range.
    fn fill(&mut self, into: &mut [u8]) -> Result<usize, Unread> {
        let left = self.end.map_or(u64::MAX, |end| end - self.position);
        let room = left.min(into.len() as u64) as usize;
        loop {
            match self.file.read(&mut into[..room]) {
                Ok(0) => match self.end {
                    Some(end) => return Err(Unread::Shrunk { at: self.position, end }),
                    None => {
                        self.end = Some(self.position);
                        return Ok(0);
                    }
                },
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
        let mut blocks = Blocks::new(content, 0, content.len() as u64);
        let (mut lines, mut long) = (vec![], vec![]);
        let mut block = Block::default();
        while let Some(part) = blocks.read(&mut block).unwrap() {
            match part {
                Part::Lines => lines.extend_from_slice(block.lines()),
                Part::TooLong(size) => {
                    assert!(block.lines().len() == MAX_LINE + 1);
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
        let mut blocks = Blocks::new(&b"a\n"[..], 0, 5);
        assert!(matches!(
            blocks.read(&mut Block::default()),
            Err(Unread::Shrunk { at: 2, end: 5 })
        ));
    }
}
