//! Where fields and records end in a block of bytes.
//!
//! A newline always ends a record, also inside quotes: an open quote may spoil its own line and
//! never the next one. So a block can be indexed without any state, eight bytes at a time.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Sets the high bit of each byte of `word` that equals the byte repeated in `pattern`.
#[inline(always)]
const fn equal(word: u64, pattern: u64) -> u64 {
    let differing = word ^ pattern;
    !(((differing & !HIGHS) + !HIGHS) | differing | !HIGHS)
}

#[inline(always)]
const fn repeated(byte: u8) -> u64 {
    ONES * byte as u64
}

/// The ends of the fields and records of a block. Buffers are kept from block to block.
#[derive(Default)]
pub struct Index {
    marks: Vec<u32>,
    ends: Vec<u32>,
    quotes: Vec<u32>,
    ascii: bool,
    nul: bool,
}

/// One record of an indexed block.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// Position of the record's first byte in the block.
    pub start: u32,
    /// Positions of the delimiters in the record and of the newline that ends it.
    pub marks: &'a [u32],
}

impl Record<'_> {
    /// Position of the newline that ends it.
    #[inline(always)]
    pub fn end(&self) -> usize {
        self.marks[self.marks.len() - 1] as usize
    }
}

impl Index {
    /// Indexes a block; it must end with a newline and be shorter than 4 GiB.
    pub fn build(&mut self, block: &[u8], delimiter: u8) {
        debug_assert!(block.last().is_none_or(|&last| last == b'\n'));
        self.ends.clear();
        self.quotes.clear();
        // Marks are written two at a time without asking how many a word has: room for that.
        if self.marks.len() < block.len() + 8 {
            self.marks.resize(block.len() + 8, 0);
        }
        let (delimiters, newlines, quotes) = (repeated(delimiter), repeated(b'\n'), repeated(b'"'));
        let mut count = 0;
        let mut seen = 0;
        let mut nuls = 0;
        let (words, rest) = block.as_chunks::<8>();
        let mut tail = [b' '; 8];
        tail[..rest.len()].copy_from_slice(rest);
        for (number, bytes) in words.iter().chain(std::iter::once(&tail)).enumerate() {
            let word = u64::from_le_bytes(*bytes);
            let base = (number * 8) as u32;
            seen |= word;
            // Finds whether there is a zero byte, not which one.
            nuls |= word.wrapping_sub(ONES) & !word & HIGHS;
            let newline = equal(word, newlines);
            let mut marks = newline | equal(word, delimiters);
            let mut quote = equal(word, quotes);
            while quote != 0 {
                self.quotes.push(base + quote.trailing_zeros() / 8);
                quote &= quote - 1;
            }
            let mut line = newline;
            while line != 0 {
                let before = marks & (line - 1) & !line;
                self.ends.push(count + byte_count(before));
                line &= line - 1;
            }
            let found = byte_count(marks);
            let mut at = count as usize;
            self.marks[at] = base + marks.trailing_zeros() / 8;
            marks &= marks.wrapping_sub(1);
            self.marks[at + 1] = base + marks.trailing_zeros() / 8;
            marks &= marks.wrapping_sub(1);
            at += 2;
            while marks != 0 {
                self.marks[at] = base + marks.trailing_zeros() / 8;
                marks &= marks - 1;
                at += 1;
            }
            count += found;
        }
        self.ascii = seen & HIGHS == 0;
        self.nul = nuls != 0;
    }

    /// Whether the whole block is ASCII.
    pub const fn is_ascii(&self) -> bool {
        self.ascii
    }

    /// Whether the block has a NUL byte.
    pub const fn has_nul(&self) -> bool {
        self.nul
    }

    /// Positions of the quotation marks, ascending.
    pub fn quotes(&self) -> &[u32] {
        &self.quotes
    }

    /// The number of records.
    pub const fn count(&self) -> usize {
        self.ends.len()
    }

    /// The record of a number below `len`.
    #[inline(always)]
    pub fn record(&self, number: usize) -> Record<'_> {
        let end = self.ends[number] as usize;
        let (begin, start) = match number.checked_sub(1) {
            None => (0, 0),
            Some(previous) => {
                let previous = self.ends[previous] as usize;
                (previous + 1, self.marks[previous] + 1)
            }
        };
        Record { start, marks: &self.marks[begin..=end] }
    }
}

/// How many bytes of a word have their high bit set, if no other bit is.
#[inline(always)]
const fn byte_count(mask: u64) -> u32 {
    ((mask >> 7).wrapping_mul(ONES) >> 56) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(block: &str, delimiter: u8) -> Vec<Vec<&str>> {
        let mut index = Index::default();
        index.build(block.as_bytes(), delimiter);
        (0..index.count())
            .map(|number| {
                let record = index.record(number);
                let mut start = record.start as usize;
                let cut = |&mark: &u32| {
                    let field = &block[start..mark as usize];
                    start = mark as usize + 1;
                    field
                };
                record.marks.iter().map(cut).collect()
            })
            .collect()
    }

    #[test]
    fn records_are_cut_at_every_newline_and_delimiter() {
        assert_eq!(fields("", b';'), Vec::<Vec<&str>>::new());
        assert_eq!(fields("\n", b';'), [[""]]);
        assert_eq!(fields("a;b\n;;\n", b';'), [vec!["a", "b"], vec!["", "", ""]]);
        let dense = ";".repeat(40) + "\n" + "long text without any mark in it at all;x\n\n\n";
        let rows = fields(&dense, b';');
        assert_eq!(rows[0], vec![""; 41]);
        assert_eq!(rows[1], ["long text without any mark in it at all", "x"]);
        assert_eq!((rows[2].len(), rows[3].len(), rows.len()), (1, 1, 4));
    }

    #[test]
    fn quotes_and_other_than_ascii_are_noted() {
        let mut index = Index::default();
        index.build("a\"b\"\u{e9}\n".as_bytes(), b',');
        assert_eq!(index.quotes(), [1, 3]);
        assert!(!index.is_ascii());
    }
}
