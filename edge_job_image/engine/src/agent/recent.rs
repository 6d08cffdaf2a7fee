//! The newest readings that say their own time: one that comes again is not stored again.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, Hasher, RandomState};

/// So many readings of all streams, each known by a hash of its line with a key of this process:
/// that one is taken for another is expected once in 10^14 readings.
#[derive(Debug)]
pub struct Recent {
    most: usize,
    state: RandomState,
    known: HashSet<u64>,
    /// The oldest first.
    order: VecDeque<u64>,
    /// How many of the last are not on the disk yet.
    unsure: usize,
}

impl Recent {
    /// Knows no reading yet; with `most` 0 it never will.
    pub fn new(most: usize) -> Self {
        let (state, known, order) = Default::default();
        Self { most, state, known, order, unsure: 0 }
    }

    /// Begins with readings that are stored together. Those before are on the disk, and the oldest
    /// are forgotten now, so that `forget` finds all as it was.
    pub fn begin(&mut self) {
        self.unsure = 0;
        let old = self.order.len().saturating_sub(self.most);
        for hash in self.order.drain(..old) {
            self.known.remove(&hash);
        }
    }

    /// Says whether a line is new, and knows it from now on.
    pub fn note(&mut self, stream: &str, line: &[u8]) -> bool {
        if self.most == 0 {
            return true;
        }
        let hash = self.hash(stream, line);
        let new = self.known.insert(hash);
        if new {
            self.order.push_back(hash);
            self.unsure += 1;
        }
        new
    }

    /// Forgets what came since `begin`: it could not be stored.
    pub fn forget(&mut self) {
        let durable = self.order.len() - std::mem::take(&mut self.unsure);
        for hash in self.order.drain(durable..) {
            self.known.remove(&hash);
        }
    }

    /// Learns the lines of a segment that is older than all that is known, the last one first; says
    /// whether there is room for still older ones.
    pub fn learn(&mut self, stream: &str, segment: &[u8]) -> bool {
        let lines = segment.strip_suffix(b"\n").unwrap_or(segment);
        let mut lines = lines.rsplit(|&byte| byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            if self.order.len() >= self.most {
                return false;
            }
            let hash = self.hash(stream, line);
            // The first line is the header.
            if lines.peek().is_some() && self.known.insert(hash) {
                self.order.push_front(hash);
            }
        }
        true
    }

    fn hash(&self, stream: &str, line: &[u8]) -> u64 {
        // Columns that are new since then are empty, and the last ones.
        let values = line.iter().rposition(|&byte| byte != b',').map_or(0, |last| last + 1);
        let mut hasher = self.state.build_hasher();
        hasher.write(stream.as_bytes());
        hasher.write_u8(b'\n');
        hasher.write(&line[..values]);
        hasher.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_known_and_what_was_not_stored_is_not() {
        let mut recent = Recent::new(2);
        recent.begin();
        assert!(recent.note("a", b"1,x"));
        assert!(!recent.note("a", b"1,x,,"));
        assert!(recent.note("b", b"1,x"));
        recent.begin();
        assert!(recent.note("a", b"2,x"));
        recent.forget();
        assert!(!recent.note("a", b"1,x"));
        assert!(recent.note("a", b"2,x"));
        recent.begin();
        assert!(recent.note("a", b"1,x"), "it is older than the two that are known");
    }

    #[test]
    fn a_segment_tells_its_last_lines() {
        let mut recent = Recent::new(3);
        assert!(recent.learn("a", b"timestamp,n\n3,c\n4,d\n"));
        assert!(!recent.learn("a", b"timestamp,n\n1,a\n2,b\n"));
        recent.begin();
        for (line, new) in [("1,a", true), ("2,b", false), ("3,c", false), ("4,d", false)] {
            assert_eq!(recent.note("a", line.as_bytes()), new, "{line}");
        }
        assert!(recent.note("a", b"timestamp,n"), "a header is no reading");
    }

    #[test]
    fn none_is_known_when_none_is_to_be() {
        let mut recent = Recent::new(0);
        assert!(!recent.learn("a", b"timestamp,n\n1,a\n"));
        recent.begin();
        assert!(recent.note("a", b"1,a"));
        assert!(recent.note("a", b"1,a"));
    }
}
