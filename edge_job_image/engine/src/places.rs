//! Where the pages of a finished file of rows are, in case that more rows come for its day.
//!
//! It is kept for each day that was written, so it is kept small: some hundred bytes.

use crate::column::Chunk;
use crate::delivered::Group;
use crate::pages::read_varint;
use crate::sink::{Encoding, Page};
use crate::thrift::varint;

/// The pages of all columns of all row groups of a file, packed.
pub struct Places(Box<[u8]>);

/// The pages of a column of a row group.
pub struct Pages {
    pub dictionary: Option<Page>,
    pub data: Vec<Page>,
}

impl Places {
    pub fn of(groups: &[Group]) -> Self {
        let mut bytes = vec![];
        for group in groups {
            varint(&mut bytes, group.columns.len() as u64);
            for Chunk { dictionary, pages, .. } in &group.columns {
                varint(&mut bytes, (pages.len() as u64) << 1 | u64::from(dictionary.is_some()));
                dictionary.iter().chain(pages).for_each(|page| write(&mut bytes, page));
            }
        }
        Self(bytes.into())
    }

    /// The row groups in their order, each with its columns.
    pub fn groups(&self) -> Vec<Vec<Pages>> {
        let mut bytes = &*self.0;
        let mut groups = vec![];
        while !bytes.is_empty() {
            groups.push((0..next(&mut bytes)).map(|_| column(&mut bytes)).collect());
        }
        groups
    }
}

fn column(bytes: &mut &[u8]) -> Pages {
    let counted = next(bytes);
    let dictionary = (counted & 1 == 1).then(|| read(bytes));
    Pages { dictionary, data: (0..counted >> 1).map(|_| read(bytes)).collect() }
}

fn write(bytes: &mut Vec<u8>, page: &Page) {
    for number in [page.offset, page.compressed as u64, page.size as u64, page.values as u64] {
        varint(bytes, number);
    }
    bytes.push(page.encoding as u8);
}

fn read(bytes: &mut &[u8]) -> Page {
    let [offset, compressed, size, values] = std::array::from_fn(|_| next(bytes));
    let encoding = match next(bytes) {
        0 => Encoding::Plain,
        3 => Encoding::Rle,
        5 => Encoding::Delta,
        _ => Encoding::Dictionary,
    };
    let (compressed, size, values) = (compressed as usize, size as usize, values as usize);
    Page { offset, compressed, size, values, encoding }
}

fn next(bytes: &mut &[u8]) -> u64 {
    let (number, rest) = read_varint(bytes);
    *bytes = rest;
    number
}
