//! Pages on their way to a file: compressed, counted, digested.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use rustix::fs::{Advice, fadvise};
use sha2::{Digest, Sha256};
use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, ParamSwitch, compress_bound};

use crate::thrift::Struct;

/// What is written is packed to the bit already: level 3 makes files 3 % smaller in twice the time.
const LEVEL: i32 = 1;
/// Nor is every repetition looked for: this takes a quarter of the time away, and adds 3 %.
const HASTE: [CParameter; 3] = [
    CParameter::MinMatch(7),
    CParameter::TargetLength(2),
    // Who is in haste would leave it out otherwise.
    CParameter::LiteralCompressionMode(ParamSwitch::Enable),
];

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Plain = 0,
    Rle = 3,
    Delta = 5,
    Dictionary = 8,
}

/// Where a page is in its file: behind its header.
#[derive(Clone, Copy)]
pub struct Page {
    pub offset: u64,
    pub compressed: usize,
    pub size: usize,
    pub values: usize,
    pub encoding: Encoding,
}

/// What compresses; kept from file to file, since to make it costs as much as a small file.
pub struct Press {
    compressor: Compressor<'static>,
    compressed: Vec<u8>,
}

impl Press {
    pub fn new() -> io::Result<Self> {
        let mut compressor = Compressor::new(LEVEL)?;
        HASTE.iter().try_for_each(|&parameter| compressor.set_parameter(parameter))?;
        Ok(Self { compressor, compressed: vec![] })
    }
}

/// A file that knows the digest of what was written to it.
pub struct Sink {
    file: File,
    digest: Sha256,
    pub position: u64,
    buffer: Vec<u8>,
}

impl Sink {
    pub fn create(path: &Path) -> io::Result<Self> {
        let file = File::create(path)?;
        let mut sink = Self { file, digest: Sha256::new(), position: 0, buffer: vec![] };
        sink.write(b"PAR1")?;
        Ok(sink)
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.digest.update(bytes);
        self.position += bytes.len() as u64;
        Ok(())
    }

    /// Writes a page; returns where it is, and where its header begins.
    pub fn write_page(
        &mut self,
        press: &mut Press,
        content: &[u8],
        values: usize,
        encoding: Encoding,
        of_dictionary: bool,
    ) -> io::Result<(Page, u64)> {
        let begin = self.position;
        let Press { compressor, compressed } = press;
        compressed.clear();
        compressed.reserve(compress_bound(content.len()));
        compressor.compress_to_buffer(content, compressed)?;
        let header = Struct::default()
            .i32(1, if of_dictionary { 2 } else { 0 })
            .i32(2, content.len() as i32)
            .i32(3, compressed.len() as i32);
        let own = Struct::default().i32(1, values as i32).i32(2, encoding as i32);
        let header = if of_dictionary {
            header.nested(7, own.bool(3, false))
        } else {
            let levels = Encoding::Rle as i32;
            header.nested(5, own.i32(3, levels).i32(4, levels))
        };
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        buffer.extend_from_slice(&header.finish());
        let offset = begin + buffer.len() as u64;
        buffer.extend_from_slice(compressed);
        self.write(&buffer)?;
        let page =
            Page { offset, compressed: compressed.len(), size: content.len(), values, encoding };
        self.buffer = buffer;
        Ok((page, begin))
    }

    /// The SHA-256 of the file, in hexadecimal digits.
    pub fn finish(self) -> String {
        // The disk begins to write it: who waits for it to be durable waits less. It is only advice.
        _ = fadvise(&self.file, 0, None, Advice::DontNeed);
        hexadecimal(self.digest.finalize().as_slice())
    }
}

/// Bytes as people write digests.
pub fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
