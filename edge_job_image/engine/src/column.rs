//! A column of a row group: its values as pages.

use std::io;

use crate::pages::{width_of, write_delta, write_hybrid};
use crate::sink::{Encoding, Page, Press, Sink};
use crate::strings::{Dictionary, NULL, mix};
use crate::table::{Column, NULL_BOOLEAN};

/// Rows of a page, the same in all columns.
pub const PAGE: usize = 32_768;
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

/// Writes the times of rows in an order; they have no nulls.
pub fn write_times(
    sink: &mut Sink,
    press: &mut Press,
    times: &[i64],
    order: &[u32],
    scratch: &mut Scratch,
) -> io::Result<Chunk> {
    let mut pages = Pages::new(sink, press);
    let mut gathered = Vec::with_capacity(order.len().min(PAGE));
    let mut range: Option<(i64, i64)> = None;
    for rows in order.chunks(PAGE) {
        gathered.clear();
        gathered.extend(rows.iter().map(|&row| times[row as usize]));
        for &time in &gathered {
            range = Some(range.map_or((time, time), |(a, b)| (a.min(time), b.max(time))));
        }
        scratch.content.clear();
        write_delta(&mut scratch.content, &gathered);
        pages.data(&scratch.content, rows.len(), Encoding::Delta)?;
    }
    pages.chunk.range = range.map(|(a, b)| (a.to_le_bytes().to_vec(), b.to_le_bytes().to_vec()));
    Ok(pages.finish())
}

/// Writes the values of a column of rows in an order.
pub fn write(
    sink: &mut Sink,
    press: &mut Press,
    column: &Column,
    order: &[u32],
    scratch: &mut Scratch,
) -> io::Result<Chunk> {
    let mut pages = Pages::new(sink, press);
    match column {
        Column::Double(values) => {
            write_words(&mut pages, order, scratch, |row| {
                let value = values[row];
                (!value.is_nan()).then(|| value.to_bits())
            })?;
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
        Column::Long { values, valid } => {
            write_words(&mut pages, order, scratch, |row| valid[row].then(|| values[row] as u64))?;
            let values = scratch.distinct.values.iter().map(|&bits| bits as i64);
            let range = values.clone().min().zip(values.max());
            let range = range.filter(|_| scratch.distinct.complete);
            let plain = |value: i64| value.to_le_bytes().to_vec();
            pages.chunk.range = range.map(|(least, most)| (plain(least), plain(most)));
        }
        Column::Boolean(values) => write_booleans(&mut pages, order, scratch, values)?,
        Column::String { numbers, dictionary } => {
            write_strings(&mut pages, order, scratch, numbers, dictionary)?;
        }
    }
    Ok(pages.finish())
}

/// Writes 64-bit values: by a dictionary, if that is smaller.
fn write_words(
    pages: &mut Pages<'_>,
    order: &[u32],
    scratch: &mut Scratch,
    value: impl Fn(usize) -> Option<u64>,
) -> io::Result<()> {
    let Scratch { numbers, distinct, content, .. } = scratch;
    numbers.clear();
    distinct.clear();
    // Where three of four values are new, the dictionary is most of what it would save.
    let most = MOST_DISTINCT.min(order.len() / 4 * 3 + 16);
    for &row in order {
        numbers.push(value(row as usize).map_or(NULL, |bits| distinct.number(bits)));
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
    for rows in order.chunks(PAGE) {
        let Scratch { levels, content, .. } = &mut *scratch;
        levels.clear();
        levels.extend(rows.iter().map(|&row| u32::from(value(row as usize).is_some())));
        begin_page(content, levels, &mut pages.chunk.nulls);
        let words = rows.iter().filter_map(|&row| value(row as usize));
        content.extend(words.flat_map(u64::to_le_bytes));
        pages.data(content, rows.len(), Encoding::Plain)?;
    }
    Ok(())
}

/// Writes the definition levels of a page: 1 for a value, 0 for a null.
fn begin_page(content: &mut Vec<u8>, levels: &[u32], nulls: &mut u64) {
    content.clear();
    content.extend_from_slice(&[0; 4]);
    write_hybrid(content, levels, 1);
    let length = content.len() as u32 - 4;
    content[..4].copy_from_slice(&length.to_le_bytes());
    *nulls += levels.iter().filter(|&&level| level == 0).count() as u64;
}

/// Writes the dictionary numbers of all rows.
fn write_numbers(pages: &mut Pages<'_>, scratch: &mut Scratch, count: usize) -> io::Result<()> {
    let width = width_of(count.saturating_sub(1) as u64);
    let Scratch { numbers, some, levels, content, .. } = scratch;
    for numbers in numbers.chunks(PAGE) {
        levels.clear();
        levels.extend(numbers.iter().map(|&number| u32::from(number != NULL)));
        begin_page(content, levels, &mut pages.chunk.nulls);
        some.clear();
        some.extend(numbers.iter().filter(|&&number| number != NULL));
        content.push(width as u8);
        write_hybrid(content, some, width);
        pages.data(content, numbers.len(), Encoding::Dictionary)?;
    }
    Ok(())
}

fn write_booleans(
    pages: &mut Pages<'_>,
    order: &[u32],
    scratch: &mut Scratch,
    values: &[u8],
) -> io::Result<()> {
    let Scratch { levels, content, .. } = scratch;
    for rows in order.chunks(PAGE) {
        levels.clear();
        levels.extend(rows.iter().map(|&row| u32::from(values[row as usize] != NULL_BOOLEAN)));
        begin_page(content, levels, &mut pages.chunk.nulls);
        let start = content.len();
        let some = rows.iter().map(|&row| values[row as usize]).filter(|&v| v != NULL_BOOLEAN);
        for (at, value) in some.enumerate() {
            if at % 8 == 0 {
                content.push(0);
            }
            content[start + at / 8] |= value << (at % 8);
        }
        pages.data(content, rows.len(), Encoding::Plain)?;
    }
    Ok(())
}

fn write_strings(
    pages: &mut Pages<'_>,
    order: &[u32],
    scratch: &mut Scratch,
    numbers: &[u32],
    dictionary: &Dictionary,
) -> io::Result<()> {
    // The table's dictionary has strings of other rows too: those of these rows are numbered anew.
    let mut known = vec![NULL; dictionary.count()];
    let mut used = vec![];
    scratch.numbers.clear();
    for &row in order {
        let number = numbers[row as usize];
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
    pages.chunk.range = text_range(dictionary, &used);
    let write = |content: &mut Vec<u8>, number: u32| {
        let text = dictionary.get(number);
        content.extend_from_slice(&(text.len() as u32).to_le_bytes());
        content.extend_from_slice(text);
    };
    if used.len() <= MOST_DISTINCT.min(order.len() / 4 * 3 + 16) {
        scratch.content.clear();
        used.iter().for_each(|&number| write(&mut scratch.content, number));
        pages.dictionary(&scratch.content, used.len())?;
        return write_numbers(pages, scratch, used.len());
    }
    for rows in order.chunks(PAGE) {
        let Scratch { levels, content, .. } = &mut *scratch;
        let of_rows = rows.iter().map(|&row| numbers[row as usize]);
        levels.clear();
        levels.extend(of_rows.clone().map(|number| u32::from(number != NULL)));
        begin_page(content, levels, &mut pages.chunk.nulls);
        of_rows.filter(|&number| number != NULL).for_each(|number| write(content, number));
        pages.data(content, rows.len(), Encoding::Plain)?;
    }
    Ok(())
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

    #[inline]
    fn number(&mut self, bits: u64) -> u32 {
        let mask = self.slots.len() - 1;
        let mut place = mix(bits, 0x9e37_79b9_7f4a_7c15) as usize & mask;
        loop {
            match self.slots[place] {
                0 => break,
                number if self.values[number as usize - 1] == bits => return number - 1,
                _ => place = (place + 1) & mask,
            }
        }
        self.values.push(bits);
        self.slots[place] = self.values.len() as u32;
        if self.values.len() * 2 > self.slots.len() {
            self.grow();
        }
        self.values.len() as u32 - 1
    }

    #[cold]
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
