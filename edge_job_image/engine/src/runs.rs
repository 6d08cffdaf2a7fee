//! Sorted rows that are set aside in files of the working directory, and their merging.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;

use crate::order::compare;
use crate::places::Places;
use crate::plan::Plan;
use crate::reader::Reader;
use crate::rows::Rows;
use crate::table::{Column, Table};

/// Rows that are written and read at once.
const CHUNK: usize = 2_048;

/// The input of rows that have been counted already.
pub const COUNTED: u32 = u32::MAX;

/// Sorted rows on the disk: a file with the number of each row's input, or Parquet files that had
/// been finished. They are removed with it.
pub struct Run {
    files: Vec<(PathBuf, Option<Places>)>,
}

impl Drop for Run {
    fn drop(&mut self) {
        for (path, _) in &self.files {
            // What is left in the working directory is garbage anyway.
            drop(fs::remove_file(path));
        }
    }
}

impl Run {
    /// Writes rows in an order, with the input of each in that order.
    pub fn write(
        path: PathBuf,
        rows: &Rows,
        order: &[u32],
        plan: &Plan,
        mut inputs: impl Iterator<Item = u32>,
    ) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(&path)?);
        let run = Self { files: vec![(path, None)] };
        let mut table = Table::new(plan.kinds());
        for some in order.chunks(CHUNK) {
            table.clear();
            rows.copy(some, &mut table);
            write_chunk(&mut file, &table, &mut inputs)?;
        }
        file.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(run)
    }

    /// Writes what a merge gives.
    pub fn merge(
        path: PathBuf,
        merge: &mut Merge<'_>,
        plan: &Plan,
        mut duplicate: impl FnMut(usize),
    ) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(&path)?);
        let run = Self { files: vec![(path, None)] };
        let mut table = Table::new(plan.kinds());
        let mut inputs = vec![];
        loop {
            table.clear();
            inputs.clear();
            merge.take(CHUNK, &mut table, &mut inputs, &mut duplicate)?;
            if table.is_empty() {
                file.into_inner().map_err(io::IntoInnerError::into_error)?;
                return Ok(run);
            }
            write_chunk(&mut file, &table, &mut inputs.iter().copied())?;
        }
    }

    /// Files of rows that had been finished, in the order of their days.
    pub fn finished(files: Vec<(PathBuf, Places)>) -> Self {
        Self { files: files.into_iter().map(|(path, places)| (path, Some(places))).collect() }
    }

    /// Opens the run for a merge.
    pub fn read(&self, plan: &Plan) -> io::Result<Source<'_>> {
        let from = match self.files.as_slice() {
            [(path, None)] => Origin::Own(BufReader::new(File::open(path)?)),
            files => {
                let groups = |places: &Option<Places>| places.as_ref().map(Places::groups);
                let files = files.iter().map(|(path, of)| (path, groups(of).unwrap_or_default()));
                Origin::Parquet(Reader::new(files)?)
            }
        };
        Source::new(from, plan)
    }
}

fn write_chunk(
    file: &mut impl Write,
    table: &Table,
    inputs: &mut impl Iterator<Item = u32>,
) -> io::Result<()> {
    file.write_all(&(table.len() as u32).to_le_bytes())?;
    for time in &table.times {
        file.write_all(&time.to_le_bytes())?;
    }
    for input in inputs.take(table.len()) {
        file.write_all(&input.to_le_bytes())?;
    }
    for column in &table.columns {
        match column {
            Column::Double(values) => {
                for value in values {
                    file.write_all(&value.to_le_bytes())?;
                }
            }
            Column::Long { values, valid } => {
                for (value, valid) in values.iter().zip(valid) {
                    file.write_all(&value.to_le_bytes())?;
                    file.write_all(&[u8::from(*valid)])?;
                }
            }
            Column::Boolean(values) => file.write_all(values)?,
            Column::String { numbers, dictionary } => {
                // The table was cleared before: all of its strings are of this chunk.
                file.write_all(&(dictionary.count() as u32).to_le_bytes())?;
                for number in 0..dictionary.count() as u32 {
                    let text = dictionary.get(number);
                    file.write_all(&(text.len() as u32).to_le_bytes())?;
                    file.write_all(text)?;
                }
                for number in numbers {
                    file.write_all(&number.to_le_bytes())?;
                }
            }
        }
    }
    Ok(())
}

/// Sorted rows that a merge reads, a chunk at a time.
pub struct Source<'a> {
    from: Origin<'a>,
    table: Table,
    inputs: Vec<u32>,
    at: usize,
}

enum Origin<'a> {
    /// Rows, those that are left of their order, and the inputs of all in that order.
    Memory(&'a Rows, &'a [u32], Box<dyn Iterator<Item = u32> + 'a>),
    Own(BufReader<File>),
    Parquet(Reader<'a>),
}

impl<'a> Source<'a> {
    /// Rows in an order, with the input of each in that order.
    pub fn of_rows(
        rows: &'a Rows,
        order: &'a [u32],
        inputs: impl Iterator<Item = u32> + 'a,
        plan: &Plan,
    ) -> io::Result<Self> {
        Self::new(Origin::Memory(rows, order, Box::new(inputs)), plan)
    }

    fn new(from: Origin<'a>, plan: &Plan) -> io::Result<Self> {
        let mut source = Self { from, table: Table::new(plan.kinds()), inputs: vec![], at: 0 };
        source.next_chunk()?;
        Ok(source)
    }

    const fn is_at_end(&self) -> bool {
        self.at >= self.table.len()
    }

    fn advance(&mut self) -> io::Result<()> {
        self.at += 1;
        if self.is_at_end() { self.next_chunk() } else { Ok(()) }
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        self.at = 0;
        self.inputs.clear();
        self.table.clear();
        match &mut self.from {
            Origin::Memory(rows, order, inputs) => {
                let (chunk, rest) = order.split_at(order.len().min(CHUNK));
                *order = rest;
                rows.copy(chunk, &mut self.table);
                self.inputs.extend(inputs.take(chunk.len()));
            }
            Origin::Own(file) => read_chunk(file, &mut self.table, &mut self.inputs)?,
            Origin::Parquet(reader) => {
                reader.read(&mut self.table)?;
                self.inputs.resize(self.table.len(), COUNTED);
            }
        }
        Ok(())
    }
}

fn read_chunk(file: &mut impl Read, table: &mut Table, inputs: &mut Vec<u32>) -> io::Result<()> {
    let mut length = [0; 4];
    match file.read_exact(&mut length) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
        result => result?,
    }
    let rows = u32::from_le_bytes(length);
    for _ in 0..rows {
        table.times.push(i64::from_le_bytes(bytes(file)?));
    }
    for _ in 0..rows {
        inputs.push(u32::from_le_bytes(bytes(file)?));
    }
    for column in &mut table.columns {
        read_column(file, column, rows)?;
    }
    Ok(())
}

fn read_column(file: &mut impl Read, column: &mut Column, rows: u32) -> io::Result<()> {
    match column {
        Column::Double(values) => {
            for _ in 0..rows {
                values.push(f64::from_le_bytes(bytes(file)?));
            }
        }
        Column::Long { values, valid } => {
            for _ in 0..rows {
                values.push(i64::from_le_bytes(bytes(file)?));
                valid.push(bytes::<1>(file)? == [1]);
            }
        }
        Column::Boolean(values) => {
            for _ in 0..rows {
                values.extend(bytes::<1>(file)?);
            }
        }
        Column::String { numbers, dictionary } => {
            let mut text = vec![];
            for _ in 0..u32::from_le_bytes(bytes(file)?) {
                text.resize(u32::from_le_bytes(bytes(file)?) as usize, 0);
                file.read_exact(&mut text)?;
                dictionary.number(&text);
            }
            for _ in 0..rows {
                numbers.push(u32::from_le_bytes(bytes(file)?));
            }
        }
    }
    Ok(())
}

#[inline]
fn bytes<const N: usize>(file: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Sorted rows of several sources as one; of equal keys the one of the first source stays.
pub struct Merge<'a> {
    sources: Vec<Source<'a>>,
    key: &'a [usize],
}

impl<'a> Merge<'a> {
    /// The sources in the order in which their rows were read.
    pub fn new(sources: Vec<Source<'a>>, key: &'a [usize]) -> Self {
        Self { sources, key }
    }

    /// Appends up to `most` rows and their inputs; tells the input of each duplicate.
    pub fn take(
        &mut self,
        most: usize,
        table: &mut Table,
        inputs: &mut Vec<u32>,
        mut duplicate: impl FnMut(usize),
    ) -> io::Result<()> {
        while table.len() < most {
            self.sources.retain(|source| !source.is_at_end());
            let Some(first) = self.first() else {
                return Ok(());
            };
            let source = &self.sources[first];
            table.push(&source.table, source.at);
            inputs.push(source.inputs[source.at]);
            // Each source has a key once: the same one elsewhere stands first there, too.
            for other in first + 1..self.sources.len() {
                let (source, same) = (&self.sources[first], &self.sources[other]);
                if self.order(source, same).is_eq() {
                    duplicate(same.inputs[same.at] as usize);
                    self.sources[other].advance()?;
                }
            }
            self.sources[first].advance()?;
        }
        Ok(())
    }

    fn first(&self) -> Option<usize> {
        // `min_by` keeps the first of equal ones.
        (0..self.sources.len()).min_by(|&a, &b| self.order(&self.sources[a], &self.sources[b]))
    }

    fn order(&self, a: &Source<'_>, b: &Source<'_>) -> std::cmp::Ordering {
        let times = a.table.times[a.at].cmp(&b.table.times[b.at]);
        times.then_with(|| compare(&a.table, a.at, &b.table, b.at, self.key))
    }
}
