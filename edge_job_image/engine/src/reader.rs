//! Rows of Parquet files that this engine has just written, read again.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use zstd::bulk::Decompressor;

use crate::pages::{read_delta, read_hybrid};
use crate::places::Pages;
use crate::sink::{Encoding, Page};
use crate::strings::NULL;
use crate::table::{Column, NULL_BOOLEAN, NULL_DOUBLE, Table};

/// Reads files one after the other, a page at a time: their columns have pages of the same rows.
pub struct Reader<'a> {
    files: VecDeque<(&'a PathBuf, Vec<Vec<Pages>>)>,
    file: Option<File>,
    group: usize,
    page: usize,
    decompressor: Decompressor<'static>,
    levels: Vec<u32>,
    numbers: Vec<u32>,
}

impl<'a> Reader<'a> {
    pub fn new(files: impl Iterator<Item = (&'a PathBuf, Vec<Vec<Pages>>)>) -> io::Result<Self> {
        Ok(Self {
            files: files.collect(),
            file: None,
            group: 0,
            page: 0,
            decompressor: Decompressor::new()?,
            levels: vec![],
            numbers: vec![],
        })
    }

    /// Appends the rows of the next page; none at the end of the last file.
    pub fn read(&mut self, table: &mut Table) -> io::Result<()> {
        while let Some((path, groups)) = self.files.pop_front() {
            let Some(group) = groups.get(self.group) else {
                (self.file, self.group, self.page) = (None, 0, 0);
                continue;
            };
            let file = match self.file.take() {
                Some(file) => file,
                None => File::open(path)?,
            };
            let page = self.page;
            self.page += 1;
            let is_there = page < group[0].data.len();
            if is_there {
                let times = self.page(&file, &group[0].data[page])?;
                read_delta(&times, &mut table.times);
                for (chunk, column) in group[1..].iter().zip(&mut table.columns) {
                    self.column(&file, chunk, page, column)?;
                }
            } else {
                (self.group, self.page) = (self.group + 1, 0);
            }
            self.file = Some(file);
            self.files.push_front((path, groups));
            if is_there {
                return Ok(());
            }
        }
        Ok(())
    }

    fn page(&mut self, file: &File, page: &Page) -> io::Result<Vec<u8>> {
        let mut compressed = vec![0; page.compressed];
        file.read_exact_at(&mut compressed, page.offset)?;
        self.decompressor.decompress(&compressed, page.size)
    }

    fn column(
        &mut self,
        file: &File,
        chunk: &Pages,
        number: usize,
        column: &mut Column,
    ) -> io::Result<()> {
        let page = &chunk.data[number];
        let content = self.page(file, page)?;
        let (length, rest) = content.split_at(4);
        let length = u32::from_le_bytes(array(length)) as usize;
        let (levels, values) = rest.split_at(length);
        self.levels.clear();
        read_hybrid(levels, page.values, 1, &mut self.levels);
        if let Column::Boolean(cells) = column {
            let mut bits = (0..values.len() * 8).map(|at| values[at / 8] >> (at % 8) & 1);
            let next = |&level: &u32| match level {
                1 => bits.next().unwrap_or(NULL_BOOLEAN),
                _ => NULL_BOOLEAN,
            };
            cells.extend(self.levels.iter().map(next));
            return Ok(());
        }
        let dictionary = match &chunk.dictionary {
            Some(page) => self.page(file, page)?,
            None => vec![],
        };
        // The values are those of the dictionary, by number, or stand in the page one by one.
        let source = if page.encoding == Encoding::Dictionary { &dictionary } else { values };
        let some = self.levels.iter().filter(|&&level| level == 1).count();
        self.numbers.clear();
        if page.encoding == Encoding::Dictionary {
            read_hybrid(&values[1..], some, u32::from(values[0]), &mut self.numbers);
        } else {
            self.numbers.extend(0..some as u32);
        }
        let mut numbers = self.numbers.iter();
        let next = |&level: &u32| if level == 1 { numbers.next() } else { None };
        let numbers = self.levels.iter().map(next);
        let word = |number: &u32| array(&source[*number as usize * 8..][..8]);
        match column {
            Column::Double(cells) => {
                let cell = |number: Option<&u32>| {
                    number.map_or(NULL_DOUBLE, |number| f64::from_le_bytes(word(number)))
                };
                cells.extend(numbers.map(cell));
            }
            Column::Long { values: cells, valid } => {
                for number in numbers {
                    valid.push(number.is_some());
                    cells.push(number.map_or(0, |number| i64::from_le_bytes(word(number))));
                }
            }
            Column::String { numbers: cells, dictionary } => {
                let texts = texts(source);
                let cell = |number: Option<&u32>| {
                    number.map_or(NULL, |number| dictionary.number(texts[*number as usize]))
                };
                cells.extend(numbers.map(cell));
            }
            Column::Boolean(_) => {}
        }
        Ok(())
    }
}

fn texts(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut texts = vec![];
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let (text, after) = rest.split_at(u32::from_le_bytes(*length) as usize);
        texts.push(text);
        bytes = after;
    }
    texts
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(bytes);
    array
}
