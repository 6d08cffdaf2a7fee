//! A column of a row group: its values as pages.

use std::io;
use std::ops::Range;

use crate::pages::{width_of, write_delta, write_hybrid, write_run};
use crate::sink::{Encoding, Page, Press, Sink};
use crate::strings::{Dictionary, NULL, mix};
use crate::table::{Column, NULL_BOOLEAN, View};

/// Rows of a page, the same in all columns.
pub const PAGE: usize = 32_768;
/// Slots of a table up to which most of them stay free: a second one that has to be looked at costs
/// more than a table that is a little beyond the nearest cache.
const SPARSE: usize = 32_768;
/// Distinct values from which on a dictionary does not help.
const MOST_DISTINCT: usize = 65_536;

/// What the footer says of a column of a row group, and where its pages are.
pub struct Chunk {
    pub dictionary: Option<Page>,
    pub pages: Vec<Page>,
    /// Where the header of the first page is, and of the first one that is no dictionary.
    pub begin: u64,
    pub data: u64,
    pub end: u64,
    /// Bytes of the pages without compression, headers left out.
    pub size: u64,
    pub nulls: u64,
    /// The least and the greatest value, as PLAIN has them.
    pub range: Option<(Vec<u8>, Vec<u8>)>,
}

/// Memory that is kept from column to column.
#[derive(Default)]
pub struct Scratch {
    numbers: Vec<u32>,
    some: Vec<u32>,
    levels: Vec<u32>,
    content: Vec<u8>,
    distinct: Distinct,
}

/// Writes the pages of one column.
struct Pages<'a> {
    sink: &'a mut Sink,
    press: &'a mut Press,
    chunk: Chunk,
}

impl<'a> Pages<'a> {
    fn new(sink: &'a mut Sink, press: &'a mut Press) -> Self {
        let begin = sink.position;
        let chunk = Chunk {
            dictionary: None,
            pages: vec![],
            begin,
            data: begin,
            end: begin,
            size: 0,
            nulls: 0,
            range: None,
        };
        Self { sink, press, chunk }
    }

    fn dictionary(&mut self, content: &[u8], values: usize) -> io::Result<()> {
        let (page, _) = self.sink.write_page(self.press, content, values, Encoding::Plain, true)?;
        self.chunk.dictionary = Some(page);
        self.chunk.size += content.len() as u64;
        self.chunk.data = self.sink.position;
        Ok(())
    }

    fn data(&mut self, content: &[u8], rows: usize, encoding: Encoding) -> io::Result<()> {
        let (page, _) = self.sink.write_page(self.press, content, rows, encoding, false)?;
        self.chunk.pages.push(page);
        self.chunk.size += content.len() as u64;
        Ok(())
    }

    fn finish(mut self) -> Chunk {
        self.chunk.end = self.sink.position;
        self.chunk
    }
}

/// Writes times, the earliest first; they have no nulls.
pub fn write_times(
    sink: &mut Sink,
    press: &mut Press,
    times: &[i64],
    scratch: &mut Scratch,
) -> io::Result<Chunk> {
    debug_assert!(times.is_sorted());
    let mut pages = Pages::new(sink, press);
    for times in times.chunks(PAGE) {
        scratch.content.clear();
        write_delta(&mut scratch.content, times);
        pages.data(&scratch.content, times.len(), Encoding::Delta)?;
    }
    let plain = |time: &i64| time.to_le_bytes().to_vec();
    pages.chunk.range = times.first().map(plain).zip(times.last().map(plain));
    Ok(pages.finish())
}

/// Where the values of a column come from, a page at a time: those of all rows are in memory once.
pub trait Source {
    /// The values of some rows.
    fn view(&mut self, rows: Range<usize>) -> View<'_>;
}

impl Source for &Column {
    fn view(&mut self, rows: Range<usize>) -> View<'_> {
        Column::view(self).rows(rows)
    }
}

/// Writes the values that a column has in so many rows.
pub fn write(
    sink: &mut Sink,
    press: &mut Press,
    mut source: impl Source,
    count: usize,
    scratch: &mut Scratch,
) -> io::Result<Chunk> {
    let mut pages = Pages::new(sink, press);
    let source = &mut source;
    match source.view(0..0) {
        View::Double(_) => {
            write_words(&mut pages, scratch, source, count)?;
            let values = scratch.distinct.values.iter().map(|&bits| f64::from_bits(bits));
            let least = values.clone().reduce(f64::min);
            let most = values.reduce(f64::max);
            // Zeros of either sign are within a range that ends with a zero.
            let least = least.map(|value| if value == 0.0 { -0.0 } else { value });
            let most = most.map(|value| value + 0.0);
            let range = scratch.distinct.complete.then(|| least.zip(most)).flatten();
            let plain = |value: f64| value.to_le_bytes().to_vec();
            pages.chunk.range = range.map(|(least, most)| (plain(least), plain(most)));
        }
        View::Long(..) => {
            write_words(&mut pages, scratch, source, count)?;
            let values = scratch.distinct.values.iter().map(|&bits| bits as i64);
            let range = values.clone().min().zip(values.max());
            let range = range.filter(|_| scratch.distinct.complete);
            let plain = |value: i64| value.to_le_bytes().to_vec();
            pages.chunk.range = range.map(|(least, most)| (plain(least), plain(most)));
        }
        View::Boolean(_) => write_booleans(&mut pages, scratch, source, count)?,
        View::String(..) => write_strings(&mut pages, scratch, source, count)?,
    }
    Ok(pages.finish())
}

/// The rows of each page of so many.
fn pages_of(rows: usize) -> impl Iterator<Item = Range<usize>> {
    (0..rows).step_by(PAGE).map(move |start| start..rows.min(start + PAGE))
}

/// Writes 64-bit values: by a dictionary, if that is smaller.
fn write_words(
    pages: &mut Pages<'_>,
    scratch: &mut Scratch,
    source: &mut impl Source,
    count: usize,
) -> io::Result<()> {
    let Scratch { numbers, distinct, content, .. } = scratch;
    numbers.clear();
    distinct.clear();
    // Where three of four values are new, the dictionary is most of what it would save.
    let most = MOST_DISTINCT.min(count / 4 * 3 + 16);
    for rows in pages_of(count) {
        let mut number = |bits: Option<u64>| bits.map_or(NULL, |bits| distinct.number(bits));
        match source.view(rows) {
            View::Double(values) => numbers.extend(
                values.iter().map(|value| number((!value.is_nan()).then(|| value.to_bits()))),
            ),
            View::Long(values, valid) => numbers.extend(
                values
                    .iter()
                    .zip(valid)
                    .map(|(&value, valid)| number(valid.then_some(value as u64))),
            ),
            _ => unreachable!("these are no words"),
        }
        if distinct.values.len() > most {
            distinct.complete = false;
            break;
        }
    }
    if distinct.complete {
        content.clear();
        content.extend(distinct.values.iter().flat_map(|bits| bits.to_le_bytes()));
        let count = distinct.values.len();
        pages.dictionary(content, count)?;
        return write_numbers(pages, scratch, count);
    }
    let Scratch { levels, content, .. } = scratch;
    for rows in pages_of(count) {
        let length = rows.len();
        pages.chunk.nulls += match source.view(rows) {
            View::Double(values) => {
                let is_there = |value: &&f64| !value.is_nan();
                let nulls =
                    begin_page(content, levels, values.iter().map(|value| is_there(&value)));
                content
                    .extend(values.iter().filter(is_there).flat_map(|value| value.to_le_bytes()));
                nulls
            }
            View::Long(values, valid) => {
                let nulls = begin_page(content, levels, valid.iter().copied());
                let some = values.iter().zip(valid).filter(|(_, valid)| **valid);
                content.extend(some.flat_map(|(value, _)| value.to_le_bytes()));
                nulls
            }
            _ => unreachable!("these are no words"),
        };
        pages.data(content, length, Encoding::Plain)?;
    }
    Ok(())
}

/// Writes the definition levels of a page: 1 where there is a value, 0 for a null; returns how many
/// nulls there are.
fn begin_page(
    content: &mut Vec<u8>,
    levels: &mut Vec<u32>,
    are_there: impl ExactSizeIterator<Item = bool> + Clone,
) -> u64 {
    content.clear();
    content.extend_from_slice(&[0; 4]);
    let nulls = are_there.clone().filter(|is_there| !is_there).count();
    if nulls == 0 {
        write_run(content, are_there.len(), 1, 1);
    } else {
        levels.clear();
        levels.extend(are_there.map(u32::from));
        write_hybrid(content, levels, 1);
    }
    let length = content.len() as u32 - 4;
    content[..4].copy_from_slice(&length.to_le_bytes());
    nulls as u64
}

/// Writes the dictionary numbers of all rows.
fn write_numbers(pages: &mut Pages<'_>, scratch: &mut Scratch, count: usize) -> io::Result<()> {
    let width = width_of(count.saturating_sub(1) as u64);
    let Scratch { numbers, some, levels, content, .. } = scratch;
    for numbers in numbers.chunks(PAGE) {
        let nulls = begin_page(content, levels, numbers.iter().map(|&number| number != NULL));
        pages.chunk.nulls += nulls;
        some.clear();
        let values = if nulls == 0 {
            numbers
        } else {
            some.extend(numbers.iter().filter(|&&number| number != NULL));
            &*some
        };
        content.push(width as u8);
        write_hybrid(content, values, width);
        pages.data(content, numbers.len(), Encoding::Dictionary)?;
    }
    Ok(())
}

fn write_booleans(
    pages: &mut Pages<'_>,
    scratch: &mut Scratch,
    source: &mut impl Source,
    count: usize,
) -> io::Result<()> {
    let Scratch { levels, content, .. } = scratch;
    for rows in pages_of(count) {
        let View::Boolean(values) = source.view(rows) else { unreachable!("these are booleans") };
        let are_there = values.iter().map(|&value| value != NULL_BOOLEAN);
        pages.chunk.nulls += begin_page(content, levels, are_there);
        let start = content.len();
        let some = values.iter().copied().filter(|&value| value != NULL_BOOLEAN);
        for (at, value) in some.enumerate() {
            if at % 8 == 0 {
                content.push(0);
            }
            content[start + at / 8] |= value << (at % 8);
        }
        pages.data(content, values.len(), Encoding::Plain)?;
    }
    Ok(())
}

fn write_strings(
    pages: &mut Pages<'_>,
    scratch: &mut Scratch,
    source: &mut impl Source,
    count: usize,
) -> io::Result<()> {
    // The dictionary has strings of other rows too: those of these rows are numbered anew.
    let mut known = vec![];
    let mut used = vec![];
    scratch.numbers.clear();
    for rows in pages_of(count) {
        let (numbers, dictionary) = strings(source, rows);
        known.resize(dictionary.count(), NULL);
        for &number in numbers {
            let own = if number == NULL {
                NULL
            } else {
                let own = &mut known[number as usize];
                if *own == NULL {
                    *own = used.len() as u32;
                    used.push(number);
                }
                *own
            };
            scratch.numbers.push(own);
        }
    }
    let (_, dictionary) = strings(source, 0..0);
    pages.chunk.range = text_range(dictionary, &used);
    let write = |content: &mut Vec<u8>, dictionary: &Dictionary, number: u32| {
        let text = dictionary.get(number);
        content.extend_from_slice(&(text.len() as u32).to_le_bytes());
        content.extend_from_slice(text);
    };
    if used.len() <= MOST_DISTINCT.min(scratch.numbers.len() / 4 * 3 + 16) {
        scratch.content.clear();
        used.iter().for_each(|&number| write(&mut scratch.content, dictionary, number));
        pages.dictionary(&scratch.content, used.len())?;
        return write_numbers(pages, scratch, used.len());
    }
    let Scratch { levels, content, .. } = scratch;
    for rows in pages_of(count) {
        let (numbers, dictionary) = strings(source, rows);
        let are_there = numbers.iter().map(|&number| number != NULL);
        pages.chunk.nulls += begin_page(content, levels, are_there);
        let some = numbers.iter().filter(|&&number| number != NULL);
        some.for_each(|&number| write(content, dictionary, number));
        pages.data(content, numbers.len(), Encoding::Plain)?;
    }
    Ok(())
}

fn strings(source: &mut impl Source, rows: Range<usize>) -> (&[u32], &Dictionary) {
    match source.view(rows) {
        View::String(numbers, dictionary) => (numbers, dictionary),
        _ => unreachable!("these are strings"),
    }
}

/// The least and the greatest text; none where one is long, since nobody looks for such.
fn text_range(dictionary: &Dictionary, used: &[u32]) -> Option<(Vec<u8>, Vec<u8>)> {
    const LONG: usize = 64;
    let texts = used.iter().map(|&number| dictionary.get(number));
    let (least, most) = (texts.clone().min()?, texts.max()?);
    (least.len() <= LONG && most.len() <= LONG).then(|| (least.to_vec(), most.to_vec()))
}

/// Distinct 64-bit values, numbered in the order in which they first came.
struct Distinct {
    values: Vec<u64>,
    /// One more than the number of a value, at a place that its bits name; 0 is free.
    slots: Vec<u32>,
    /// Whether all values of the column are here.
    complete: bool,
}

impl Default for Distinct {
    fn default() -> Self {
        Self { values: vec![], slots: vec![0; 1024], complete: true }
    }
}

impl Distinct {
    fn clear(&mut self) {
        self.values.clear();
        self.slots.fill(0);
        self.complete = true;
    }

    #[inline(always)]
    fn number(&mut self, bits: u64) -> u32 {
        let mask = self.slots.len() - 1;
        let mut place = mix(bits, 0x9e37_79b9_7f4a_7c15) as usize & mask;
        loop {
            match self.slots[place] {
                0 => return self.add(bits, place),
                number if self.values[number as usize - 1] == bits => return number - 1,
                _ => place = (place + 1) & mask,
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn add(&mut self, bits: u64, place: usize) -> u32 {
        self.values.push(bits);
        self.slots[place] = self.values.len() as u32;
        let free = if self.slots.len() < SPARSE { 8 } else { 2 };
        if self.values.len() * free > self.slots.len() {
            self.grow();
        }
        self.values.len() as u32 - 1
    }

    fn grow(&mut self) {
        let length = self.slots.len() * 2;
        self.slots.clear();
        self.slots.resize(length, 0);
        for (number, &bits) in self.values.iter().enumerate() {
            let mut place = mix(bits, 0x9e37_79b9_7f4a_7c15) as usize & (length - 1);
            while self.slots[place] != 0 {
                place = (place + 1) & (length - 1);
            }
            self.slots[place] = number as u32 + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distinct_values_keep_their_numbers_while_their_table_grows() {
        let mut distinct = Distinct::default();
        for _ in 0..2 {
            for number in 0..100_000 {
                let bits = f64::from(number).to_bits();
                assert_eq!(distinct.number(bits), number);
                assert_eq!(distinct.number(0), 0);
            }
            distinct.clear();
        }
    }
}
