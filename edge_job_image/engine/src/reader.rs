//! Rows of Parquet files that this engine has written, read again.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;

use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_typed_column_reader};
use parquet::data_type::{BoolType, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};

use crate::delivered::wrong;
use crate::strings::NULL;
use crate::table::{Column, NULL_BOOLEAN, NULL_DOUBLE, Table};

/// Reads files one after the other, some rows at a time.
pub struct Reader {
    paths: VecDeque<PathBuf>,
    file: Option<SerializedFileReader<File>>,
    group: usize,
    columns: Vec<Cells>,
}

/// A column of a row group: its time, or a field by its kind.
enum Cells {
    Longs(ColumnReaderImpl<Int64Type>),
    Doubles(ColumnReaderImpl<DoubleType>),
    Booleans(ColumnReaderImpl<BoolType>),
    Strings(ColumnReaderImpl<ByteArrayType>),
}

impl Reader {
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths: paths.into(), file: None, group: 0, columns: vec![] }
    }

    /// Appends up to `most` rows; none at the end of the last file.
    pub fn read(&mut self, most: usize, table: &mut Table) -> io::Result<()> {
        let before = table.len();
        loop {
            self.read_some(most, table).map_err(wrong)?;
            if table.len() > before || !self.next_group()? {
                return Ok(());
            }
        }
    }

    fn next_group(&mut self) -> io::Result<bool> {
        loop {
            if let Some(file) = &self.file
                && self.group < file.num_row_groups()
            {
                let group = file.get_row_group(self.group).map_err(wrong)?;
                self.group += 1;
                let columns = 0..group.num_columns();
                let columns = columns.map(|at| group.get_column_reader(at).map(Cells::new));
                self.columns = columns.collect::<Result<_, _>>().map_err(wrong)?;
                return Ok(true);
            }
            let Some(path) = self.paths.pop_front() else { return Ok(false) };
            self.file = Some(SerializedFileReader::new(File::open(path)?).map_err(wrong)?);
            self.group = 0;
        }
    }

    fn read_some(&mut self, most: usize, table: &mut Table) -> Result<(), ParquetError> {
        let Some((times, fields)) = self.columns.split_first_mut() else { return Ok(()) };
        if let Cells::Longs(times) = times {
            times.read_records(most, None, None, &mut table.times)?;
        }
        for (cells, column) in fields.iter_mut().zip(&mut table.columns) {
            cells.read(most, column)?;
        }
        Ok(())
    }
}

impl Cells {
    fn new(reader: ColumnReader) -> Self {
        match reader {
            ColumnReader::DoubleColumnReader(reader) => Self::Doubles(reader),
            ColumnReader::BoolColumnReader(reader) => Self::Booleans(reader),
            ColumnReader::ByteArrayColumnReader(reader) => Self::Strings(reader),
            other => Self::Longs(get_typed_column_reader(other)),
        }
    }

    fn read(&mut self, most: usize, column: &mut Column) -> Result<(), ParquetError> {
        match (self, column) {
            (Self::Doubles(reader), Column::Double(values)) => {
                read(reader, most, |value| values.push(value.copied().unwrap_or(NULL_DOUBLE)))
            }
            (Self::Longs(reader), Column::Long { values, valid }) => read(reader, most, |value| {
                values.push(value.copied().unwrap_or_default());
                valid.push(value.is_some());
            }),
            (Self::Booleans(reader), Column::Boolean(values)) => read(reader, most, |value| {
                values.push(value.map_or(NULL_BOOLEAN, |&value| u8::from(value)));
            }),
            (Self::Strings(reader), Column::String { numbers, dictionary }) => {
                read(reader, most, |value| {
                    numbers.push(value.map_or(NULL, |text| dictionary.number(text.data())));
                })
            }
            _ => unreachable!("the file has the kinds of the plan"),
        }
    }
}

fn read<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    most: usize,
    mut take: impl FnMut(Option<&T::T>),
) -> Result<(), ParquetError> {
    let (mut levels, mut values) = (vec![], vec![]);
    reader.read_records(most, Some(&mut levels), None, &mut values)?;
    let mut values = values.iter();
    for level in levels {
        take(if level == 1 { values.next() } else { None });
    }
    Ok(())
}
