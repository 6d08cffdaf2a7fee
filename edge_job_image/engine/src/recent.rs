//! What cells have been read lately.
//!
//! A sensor has few different values, and writes each of them in one way: to know a cell again takes
//! a third of the instructions that it takes to read it.

use crate::scan::{first_equal, repeated, word};

const BITS: u32 = 11;

/// The values of cells of a column that were read last, each at a place that its bytes name.
pub struct Recent {
    /// The byte behind each cell, in each byte of a word.
    until: u64,
    /// A cell with the byte behind it, and its value; zeros are no cell.
    slots: Box<[(u64, f64); 1 << BITS]>,
}

impl Recent {
    /// No values, of cells that have a byte behind them.
    pub fn new(until: u8) -> Self {
        Self { until: repeated(until), slots: Box::new([(0, 0.0); 1 << BITS]) }
    }

    /// The value of the cell at a position of a block, and where the byte behind it stands.
    #[inline(always)]
    pub fn find(&self, block: &[u8], at: usize) -> Option<(f64, usize)> {
        let (cell, length) = self.cell(block, at)?;
        let (known, value) = self.slots[place(cell)];
        (known == cell).then_some((value, at + length))
    }

    /// Takes the value of the cell at a position; it is forgotten for another one at its place.
    pub fn put(&mut self, block: &[u8], at: usize, value: f64) {
        if let Some((cell, _)) = self.cell(block, at) {
            self.slots[place(cell)] = (cell, value);
        }
    }

    /// The bytes of a cell with the one behind it, and the length without; None when it is longer.
    #[inline(always)]
    fn cell(&self, block: &[u8], at: usize) -> Option<(u64, usize)> {
        let word = word(block, at)?;
        let end = first_equal(word, self.until)?;
        Some((word & (end ^ (end - 1)), end.trailing_zeros() as usize / 8))
    }
}

#[inline(always)]
const fn place(cell: u64) -> usize {
    (cell.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_known_again_by_all_its_bytes() {
        let mut recent = Recent::new(b';');
        recent.put(b"12.50;;;;;", 0, 12.5);
        recent.put(b"x;-3;later", 2, -3.0);
        assert_eq!(recent.find(b"ab;12.50;c;", 3), Some((12.5, 8)));
        assert_eq!(recent.find(b"-3;;;;;;", 0), Some((-3.0, 2)));
        for other in ["12.5;;;;;", "12.500;;;", "112.50;;;", "2.50;;;;;", "12.50,;;;", ";;;;;;;;;"]
        {
            assert_eq!(recent.find(other.as_bytes(), 0), None, "{other:?}");
        }
    }

    #[test]
    fn what_is_longer_than_a_word_is_never_known() {
        let mut recent = Recent::new(b';');
        for block in [&b"12345678;"[..], b"\0\0\0\0\0\0\0\0;", b"1.5;", b""] {
            recent.put(block, 0, 1.0);
            assert_eq!(recent.find(block, 0), None, "{block:?}");
        }
    }

    #[test]
    fn of_cells_at_one_place_the_last_one_is_known() {
        let mut recent = Recent::new(b';');
        let cells: Vec<_> = (0..10_000).map(|number| format!("{number};;;;;;;;")).collect();
        for (number, cell) in cells.iter().enumerate() {
            recent.put(cell.as_bytes(), 0, number as f64);
            let found = recent.find(cell.as_bytes(), 0);
            assert_eq!(found.map(|(value, _)| value), Some(number as f64));
        }
        let mut known = 0;
        for (number, cell) in cells.iter().enumerate() {
            if let Some((value, _)) = recent.find(cell.as_bytes(), 0) {
                assert_eq!(value, number as f64);
                known += 1;
            }
        }
        assert!((1 << BITS) / 2 < known && known <= 1 << BITS, "{known}");
    }
}
