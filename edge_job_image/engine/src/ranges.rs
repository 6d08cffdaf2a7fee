//! Where in a file the rejected rows are, for the day on which another rule may accept them.

use std::slice;

/// Ranges of a file that are kept apart; to remember more costs more than to read what is between.
const MOST: usize = 1000;

/// Whole lines of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lines {
    pub start: u64,
    pub end: u64,
    /// Newlines before `start`.
    pub lines: u64,
}

/// The ranges of one file, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Lines>);

impl Ranges {
    /// Adds a range behind all others; one that follows the last directly becomes its part.
    pub fn add(&mut self, range: Lines) {
        let full = self.0.len() == MOST;
        match self.0.last_mut() {
            Some(last) if full || last.end == range.start => last.end = range.end,
            _ => self.0.push(range),
        }
    }

    pub fn iter(&self) -> slice::Iter<'_, Lines> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranges(of: impl IntoIterator<Item = (u64, u64)>) -> Vec<(u64, u64)> {
        let mut ranges = Ranges::default();
        for (start, end) in of {
            ranges.add(Lines { start, end, lines: start });
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
        assert_eq!(found[MOST - 2..], [(9980, 9981), (9990, 19_991)]);
    }
}
