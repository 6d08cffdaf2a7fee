//! Where in a file the rejected rows are, for the day on which another rule may accept them.

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

/// The ranges of one file, in their order: all but the last in the form in which the ledger has
/// them, since there may be many files.
#[derive(Clone, Debug, Default)]
pub struct Ranges {
    packed: Vec<u8>,
    count: usize,
    last: Option<Lines>,
}

impl Ranges {
    /// Adds a range behind all others; one that follows the last directly becomes its part.
    pub fn add(&mut self, range: Lines) {
        match &mut self.last {
            Some(last) if self.count == MOST || last.end == range.start => {
                last.mixed |= last.end < range.start;
                last.end = range.end;
            }
            last => {
                last.replace(range).iter().for_each(|last| pack_lines(&mut self.packed, last));
                self.count += 1;
            }
        }
    }

    /// The ranges as MessagePack, each as its three numbers, and true if it is mixed; empty when
    /// there is none.
    pub fn packed(&self) -> Vec<u8> {
        let Some(last) = &self.last else { return vec![] };
        let mut bytes = match self.count {
            few @ 0..16 => vec![0x90 | few as u8],
            many => [&[0xdc], &(many as u16).to_be_bytes()[..]].concat(),
        };
        bytes.extend_from_slice(&self.packed);
        pack_lines(&mut bytes, last);
        bytes
    }
}

fn pack_lines(bytes: &mut Vec<u8>, range: &Lines) {
    bytes.push(0x93 + u8::from(range.mixed));
    for number in [range.start, range.end, range.lines] {
        pack(bytes, number);
    }
    if range.mixed {
        bytes.push(0xc3);
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

    fn packed(of: impl IntoIterator<Item = (u64, u64)>) -> Vec<u8> {
        let mut ranges = Ranges::default();
        for (start, end) in of {
            ranges.add(Lines { start, end, lines: start, mixed: false });
        }
        ranges.packed()
    }

    #[test]
    fn neighbours_are_one_range() {
        assert!(packed([]).is_empty());
        let two = [0x92, 0x93, 0, 5, 0, 0x93, 6, 0xcc, 200, 6];
        assert_eq!(packed([(0, 2), (2, 5), (6, 200)]), two);
    }

    #[test]
    fn the_last_of_too_many_goes_on_to_the_end() {
        let found = packed((0..2000).map(|start| (10 * start, 10 * start + 1)));
        assert_eq!(found[..3], [0xdc, 0, MOST as u8]);
        // From 1980 to 1981, and from 1990 to 19991, mixed.
        let last_two = [
            [0x93, 0xcd, 0x07, 0xbc, 0xcd, 0x07, 0xbd, 0xcd, 0x07, 0xbc].as_slice(),
            &[0x94, 0xcd, 0x07, 0xc6, 0xcd, 0x4e, 0x17, 0xcd, 0x07, 0xc6, 0xc3],
        ];
        assert!(found.ends_with(&last_two.concat()), "{found:02x?}");
    }
}
