//! Where in a file the rejected rows are, for the day on which another rule may accept them.

use std::slice;

/// Ranges of a file that are kept apart; to remember more costs more than to read what is between.
const MOST: usize = 200;

/// Whole lines of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    pub start: u64,
    pub end: u64,
    /// Newlines before `start`.
    pub lines: u64,
    /// Whether rows that were not rejected are between them.
    pub mixed: bool,
}

/// The ranges of one file, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Lines>);

impl Ranges {
    /// Adds a range behind all others; one that follows the last directly becomes its part.
    pub fn add(&mut self, range: Lines) {
        let full = self.0.len() == MOST;
        match self.0.last_mut() {
            Some(last) if full || last.end == range.start => {
                last.mixed |= last.end < range.start;
                last.end = range.end;
            }
            _ => self.0.push(range),
        }
    }

    pub fn iter(&self) -> slice::Iter<'_, Lines> {
        self.0.iter()
    }

    /// The ranges as MessagePack, each as its three numbers, and true if it is mixed; empty when
    /// there is none.
    pub fn packed(&self) -> Vec<u8> {
        let mut bytes = vec![];
        if !self.0.is_empty() {
            match self.0.len() {
                few @ 0..16 => bytes.push(0x90 | few as u8),
                many => {
                    bytes.push(0xdc);
                    bytes.extend_from_slice(&(many as u16).to_be_bytes());
                }
            }
        }
        for range in &self.0 {
            bytes.push(0x93 + u8::from(range.mixed));
            for number in [range.start, range.end, range.lines] {
                pack(&mut bytes, number);
            }
            if range.mixed {
                bytes.push(0xc3);
            }
        }
        bytes
    }
}

fn pack(bytes: &mut Vec<u8>, number: u64) {
    match number {
        0..0x80 => bytes.push(number as u8),
        0x80..0x100 => bytes.extend_from_slice(&[0xcc, number as u8]),
        0x100..0x1_0000 => {
            bytes.push(0xcd);
            bytes.extend_from_slice(&(number as u16).to_be_bytes());
        }
        0x1_0000..0x1_0000_0000 => {
            bytes.push(0xce);
            bytes.extend_from_slice(&(number as u32).to_be_bytes());
        }
        _ => {
            bytes.push(0xcf);
            bytes.extend_from_slice(&number.to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(of: impl IntoIterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
        let mut ranges = Ranges::default();
        for (start, end) in of {
            ranges.add(Lines { start, end, lines: start, mixed: false });
        }
        ranges.iter().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn neighbours_are_one_range() {
        assert_eq!(ranges([(0, 2), (2, 5), (6, 7)]), [(0, 5), (6, 7)]);
    }

    #[test]
    fn the_last_of_too_many_goes_on_to_the_end() {
        let found = ranges((0..2000).map(|start| (10 * start, 10 * start + 1)));
        assert_eq!(found.len(), MOST);
        assert_eq!(found[MOST - 2..], [(1980, 1981), (1990, 19_991)]);
    }
}
