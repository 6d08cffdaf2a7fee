//! The blocks of a file, which whoever is to clean one reads as well: it is in that core's cache
//! then, and nobody has to be woken for it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::blocks::{Block, Blocks, Part};
use crate::engine::Refused;
use crate::source::Source;

/// How the reading of a file ended.
pub struct End {
    /// Why it could not be read to its end.
    pub refused: Option<Refused>,
    /// Whether its last line has no newline.
    pub is_cut: bool,
    pub content: Vec<u8>,
}

/// What somebody has read.
pub struct Taken {
    /// How many were taken before.
    pub number: usize,
    /// None behind the end.
    pub part: Option<Part>,
    /// What is known when nothing comes after it.
    pub end: Option<End>,
}

/// A file that several threads read, one after the other.
pub struct Chain {
    next: Mutex<(usize, Option<Blocks<Source>>)>,
    /// The position behind what has been read so far.
    position: AtomicU64,
    is_over: AtomicBool,
}

impl Chain {
    pub const fn new(blocks: Blocks<Source>) -> Self {
        let position = AtomicU64::new(blocks.position());
        let next = Mutex::new((0, Some(blocks)));
        Self { next, position, is_over: AtomicBool::new(false) }
    }

    pub fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    /// Whether all has been read.
    pub fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Reads the next block.
    pub fn take(&self, block: &mut Block) -> Taken {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let (number, rest) = &mut *next;
        *number += 1;
        let mut taken = Taken { number: *number - 1, part: None, end: None };
        let Some(mut blocks) = rest.take() else { return taken };
        let refused = match blocks.read(block) {
            Ok(part) => {
                taken.part = part;
                None
            }
            Err(unread) => Some(Refused::from(unread)),
        };
        self.position.store(blocks.position(), Ordering::Relaxed);
        if refused.is_some() || taken.part.is_none() || blocks.is_done() {
            self.is_over.store(true, Ordering::Relaxed);
            let is_cut = !blocks.ended;
            taken.end = Some(End { refused, is_cut, content: blocks.into_file().digests() });
        } else {
            *rest = Some(blocks);
        }
        taken
    }
}
