//! Files of the source, opened as what they hold.

use std::error::Error;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use bzip2::read::MultiBzDecoder;
use flate2::read::MultiGzDecoder;
use lzma_rust2::XzReader;

use crate::content::Digesting;
use crate::engine::{Input, Refused};
use crate::plan::Dialect;
use crate::text::Text;

/// The largest window of zstd that is unpacked is 32 MiB.
const WINDOW_LOG: u32 = 25;
/// Compressed bytes that are read at once.
const PIECE: usize = 1 << 16;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    #[default]
    None,
    Gz,
    Zst,
    Bz2,
    Xz,
}

impl Compression {
    /// The compression of a name.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "" => Some(Self::None),
            "gz" => Some(Self::Gz),
            "zst" => Some(Self::Zst),
            "bz2" => Some(Self::Bz2),
            "xz" => Some(Self::Xz),
            _ => None,
        }
    }
}

/// A range of a file, read as UTF-8 with newlines.
pub enum Source {
    /// The bytes of the file are that, up to the `end` of the range and beyond.
    Plain(Digesting<Content>),
    /// Ends with the range.
    Other(Text<Range<Digesting<Content>>>),
}

impl Source {
    /// The digests of what was read.
    pub fn digests(self) -> Vec<u8> {
        match self {
            Self::Plain(content) => content.finish(),
            Self::Other(text) => text.into_inner().content.finish(),
        }
    }
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(content) => content.read(buffer),
            Self::Other(text) => text.read(buffer),
        }
    }
}

/// What a file holds.
pub enum Content {
    File(File),
    /// Unpacked from its start on, and how much of it has been read.
    Unpacked(Box<dyn Read + Send>, u64),
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Unpacked(content, position) => {
                let read = content.read(buffer)?;
                *position += read as u64;
                Ok(read)
            }
        }
    }
}

impl Content {
    /// Goes on at a position, in compressed files only ahead.
    pub fn go_to(&mut self, position: u64) -> io::Result<()> {
        let ahead = match self {
            Self::File(file) => return file.seek(SeekFrom::Start(position)).map(drop),
            Self::Unpacked(_, now) => position.saturating_sub(*now),
        };
        io::copy(&mut self.by_ref().take(ahead), &mut io::sink()).map(drop)
    }
}

/// The content ended before the range did.
#[derive(Debug)]
pub struct Ended {
    pub at: u64,
    pub end: u64,
}

impl fmt::Display for Ended {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "it ended at byte {}, {} were there before", self.at, self.end)
    }
}

impl Error for Ended {}

/// Opens a range of what a file holds; what is behind `digested` is digested.
pub fn open(
    input: &Input,
    (start, end): (u64, u64),
    digested: u64,
    dialect: &Dialect,
) -> Result<Source, Refused> {
    let file = open_regular(&input.path)?;
    let content = unpacked(file, input.compression)
        .and_then(|content| Digesting::open(content, digested, start))
        .map_err(|error| Refused::failed(&error))?;
    if input.compression == Compression::None && dialect.is_plain() {
        return Ok(Source::Plain(content));
    }
    let range = Range { content, at: start, end };
    Ok(Source::Other(Text::new(range, dialect.encoding, dialect.returns)))
}

fn unpacked(file: File, compression: Compression) -> io::Result<Content> {
    if compression == Compression::None {
        return Ok(Content::File(file));
    }
    let file = io::BufReader::with_capacity(PIECE, file);
    let content: Box<dyn Read + Send> = match compression {
        Compression::None | Compression::Gz => Box::new(MultiGzDecoder::new(file)),
        Compression::Bz2 => Box::new(MultiBzDecoder::new(file)),
        Compression::Xz => Box::new(XzReader::new(file, true)),
        Compression::Zst => {
            let mut content = zstd::Decoder::with_buffer(file)?;
            content.window_log_max(WINDOW_LOG)?;
            Box::new(content)
        }
    };
    Ok(Content::Unpacked(content, 0))
}

/// The bytes of a content up to an end that must be reached.
pub struct Range<R> {
    content: R,
    at: u64,
    end: u64,
}

impl<R: Read> Read for Range<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = buffer.len().min(usize::try_from(self.end - self.at).unwrap_or(usize::MAX));
        if room == 0 {
            return Ok(0);
        }
        let read = self.content.read(&mut buffer[..room])?;
        if read == 0 {
            return Err(io::Error::other(Ended { at: self.at, end: self.end }));
        }
        self.at += read as u64;
        Ok(read)
    }
}

/// Opens a file of the source: never through a link, never a pipe, which would block.
fn open_regular(path: &Path) -> Result<File, Refused> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| Refused::failed(&error))?;
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(file),
        Ok(_) => Err(Refused::NotRegular),
        Err(error) => Err(Refused::failed(&error)),
    }
}
