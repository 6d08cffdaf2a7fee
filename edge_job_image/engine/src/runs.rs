//! Sorted rows that are set aside in files of the working directory, and their merging.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::PathBuf;

use crate::delivered::Group;
use crate::order::compare;
use crate::plan::Plan;
use crate::reader::Reader;
use crate::strings::Dictionary;
use crate::table::{Column, Table};

/// Rows that are written and read at once.
const CHUNK: usize = 2_048;

/// The input of rows that have been counted already.
pub const COUNTED: u32 = u32::MAX;

/// Sorted rows on the disk: a file with the number of each row's input, or Parquet files that had
/// been finished. They are removed with it.
pub struct Run {
    files: Vec<(PathBuf, Vec<Group>)>,
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
    /// Writes rows of a table in an order, with the input of each in that order.
    pub fn write(
        path: PathBuf,
        table: &Table,
        order: &[u32],
        mut inputs: impl Iterator<Item = u32>,
    ) -> io::Result<Self> {
        let mut file = BufWriter::new(File::create(&path)?);
        let run = Self { files: vec![(path, vec![])] };
        for rows in order.chunks(CHUNK) {
            write_chunk(&mut file, table, rows, &mut inputs)?;
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
        let run = Self { files: vec![(path, vec![])] };
        let mut table = Table::new(plan.kinds());
        let mut inputs = vec![];
        let all: Vec<u32> = (0..CHUNK as u32).collect();
        loop {
            table.clear();
            inputs.clear();
            merge.take(CHUNK, &mut table, &mut inputs, &mut duplicate)?;
            if table.is_empty() {
                file.into_inner().map_err(io::IntoInnerError::into_error)?;
                return Ok(run);
            }
            write_chunk(&mut file, &table, &all[..table.len()], &mut inputs.iter().copied())?;
        }
    }

    /// Files of rows that had been finished, in the order of their days.
    pub const fn finished(files: Vec<(PathBuf, Vec<Group>)>) -> Self {
        Self { files }
    }

    /// Opens the run for a merge.
    pub fn read(&self, plan: &Plan) -> io::Result<Source<'_>> {
        let from = match self.files.as_slice() {
            [(path, groups)] if groups.is_empty() => Origin::Own(BufReader::new(File::open(path)?)),
            files => {
                let files = files.iter().map(|(path, groups)| (path, groups.as_slice()));
                Origin::Parquet(Reader::new(files)?)
            }
        };
        let table = Table::new(plan.kinds());
        let mut source = Source { from, table, order: vec![], inputs: vec![], at: 0 };
        source.next_chunk()?;
        Ok(source)
    }
}

fn write_chunk(
    file: &mut impl Write,
    table: &Table,
    rows: &[u32],
    inputs: &mut impl Iterator<Item = u32>,
) -> io::Result<()> {
    file.write_all(&(rows.len() as u32).to_le_bytes())?;
    for &row in rows {
        file.write_all(&table.times[row as usize].to_le_bytes())?;
    }
    for input in inputs.take(rows.len()) {
        file.write_all(&input.to_le_bytes())?;
    }
    for column in &table.columns {
        match column {
            Column::Double(values) => {
                for &row in rows {
                    file.write_all(&values[row as usize].to_le_bytes())?;
                }
            }
            Column::Long { values, valid } => {
                for &row in rows {
                    file.write_all(&values[row as usize].to_le_bytes())?;
                    file.write_all(&[u8::from(valid[row as usize])])?;
                }
            }
            Column::Boolean(values) => {
                for &row in rows {
                    file.write_all(&[values[row as usize]])?;
                }
            }
            Column::String { numbers, dictionary } => {
                // The chunk has a dictionary of its own, of the strings that are in it.
                let mut own = Dictionary::default();
                let mut renumbered = Vec::with_capacity(rows.len());
                for &row in rows {
                    renumbered.push(match numbers[row as usize] {
                        crate::strings::NULL => crate::strings::NULL,
                        number => own.number(dictionary.get(number)),
                    });
                }
                file.write_all(&(own.count() as u32).to_le_bytes())?;
                for number in 0..own.count() as u32 {
                    let text = own.get(number);
                    file.write_all(&(text.len() as u32).to_le_bytes())?;
                    file.write_all(text)?;
                }
                for number in renumbered {
                    file.write_all(&number.to_le_bytes())?;
                }
            }
        }
    }
    Ok(())
}

/// Sorted rows that a merge reads: a run, or a table in memory.
pub struct Source<'a> {
    from: Origin<'a>,
    table: Table,
    order: Vec<u32>,
    inputs: Vec<u32>,
    at: usize,
}

enum Origin<'a> {
    Memory,
    Own(BufReader<File>),
    Parquet(Reader<'a>),
}

impl Source<'_> {
    /// Rows of a table in an order, with the input of each in that order.
    pub const fn of_table(table: Table, order: Vec<u32>, inputs: Vec<u32>) -> Self {
        Self { from: Origin::Memory, table, order, inputs, at: 0 }
    }

    const fn is_at_end(&self) -> bool {
        self.at >= self.order.len()
    }

    fn row(&self) -> usize {
        self.order[self.at] as usize
    }

    fn advance(&mut self) -> io::Result<()> {
        self.at += 1;
        if self.is_at_end() { self.next_chunk() } else { Ok(()) }
    }

    fn next_chunk(&mut self) -> io::Result<()> {
        self.at = 0;
        self.order.clear();
        self.inputs.clear();
        self.table.clear();
        match &mut self.from {
            Origin::Memory => {}
            Origin::Own(file) => read_chunk(file, &mut self.table, &mut self.inputs)?,
            Origin::Parquet(reader) => {
                reader.read(&mut self.table)?;
                self.inputs.resize(self.table.len(), COUNTED);
            }
        }
        self.order.extend(0..self.table.len() as u32);
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
            let (source, row) = (&self.sources[first], self.sources[first].row());
            table.extend(&source.table, row..row + 1);
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
        let (row_a, row_b) = (a.row(), b.row());
        let times = a.table.times[row_a].cmp(&b.table.times[row_b]);
        times.then_with(|| compare(&a.table, row_a, &b.table, row_b, self.key))
    }
}
