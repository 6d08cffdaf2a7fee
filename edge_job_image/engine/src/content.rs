//! What a file holds, as digests: one for each whole MiB and one for the rest, by which the ledger
//! knows it again. They are made of what the engine reads anyway: to read a file twice costs a Pi's
//! disk more than all else.
//!
//! XXH3 with 128 bits: it tells files apart that are not made to deceive. Who could make such files
//! writes the readings in them, too.

use std::io::{self, Read};

use twox_hash::xxhash3_128::Hasher;

use crate::source::Content;

/// Bytes of a digest's content.
const BLOCK: u64 = 1 << 20;

/// A file that digests what is read of it.
pub struct Digesting<R> {
    file: R,
    position: u64,
    /// What is before this is digested already: a multiple of a block.
    from: u64,
    hasher: Hasher,
    digests: Vec<u8>,
}

impl Digesting<Content> {
    /// Reads a file up to `start`, and stands there; what is behind `from` is digested.
    pub fn open(mut file: Content, from: u64, start: u64) -> io::Result<Self> {
        let position = from.min(start);
        file.go_to(position)?;
        let mut this = Self { file, position, from, hasher: Hasher::new(), digests: vec![] };
        // That the file became shorter is for the next read to find.
        io::copy(&mut (&mut this).take(start - position), &mut io::sink())?;
        this.file.go_to(start)?;
        Ok(this)
    }
}

impl<R> Digesting<R> {
    fn digest(&mut self, mut bytes: &[u8]) {
        let known = self.from.saturating_sub(self.position).min(bytes.len() as u64);
        self.position += known;
        bytes = &bytes[known as usize..];
        while !bytes.is_empty() {
            let room = BLOCK - self.position % BLOCK;
            let (some, rest) = bytes.split_at((bytes.len() as u64).min(room) as usize);
            self.hasher.write(some);
            self.position += some.len() as u64;
            if self.position.is_multiple_of(BLOCK) {
                self.end_block();
            }
            bytes = rest;
        }
    }

    fn end_block(&mut self) {
        self.digests.extend_from_slice(&self.hasher.finish_128().to_be_bytes());
        self.hasher = Hasher::new();
    }

    /// The digests.
    pub fn finish(mut self) -> Vec<u8> {
        if self.position > self.from && !self.position.is_multiple_of(BLOCK) {
            self.end_block();
        }
        self.digests
    }
}

impl<R: Read> Read for Digesting<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.digest(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn unpacked(content: &[u8]) -> Content {
        Content::Unpacked(Box::new(Cursor::new(content.to_vec())), 0)
    }

    fn digests(content: &[u8], from: u64, start: u64, piece: usize) -> Vec<u8> {
        let mut file = Digesting::open(unpacked(content), from, start).unwrap();
        let mut buffer = vec![0; piece];
        let mut rest = vec![];
        while let read @ 1.. = file.read(&mut buffer).unwrap() {
            rest.extend_from_slice(&buffer[..read]);
        }
        assert!(rest == content[start as usize..]);
        file.finish()
    }

    #[test]
    fn each_block_and_the_rest_have_a_digest() {
        let size = 2 * BLOCK as usize + 5;
        let content: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let all = digests(&content, 0, 0, 1 << 18);
        assert_eq!(all.len(), 3 * 16);
        assert_eq!(all, digests(&content, 0, 3_000, 777));
        assert_eq!(all, digests(&content, 0, size as u64, 777));
        // From the second block on, though lines before it are read again.
        assert_eq!(all[16..], digests(&content, BLOCK, BLOCK - 10, 777));
        assert_eq!(all[16..], digests(&content, BLOCK, BLOCK + 10, 777));
        assert_eq!(digests(&content[..2 * BLOCK as usize], 0, 0, 4096), all[..32]);
        assert!(digests(&[], 0, 0, 1).is_empty());
        // The same as Python's xxhash makes of it.
        let abc = digests(b"abc", 0, 0, 9);
        assert_eq!(abc, 0x06b0_5ab6_733a_6185_78af_5f94_892f_3950_u128.to_be_bytes());
    }
}
