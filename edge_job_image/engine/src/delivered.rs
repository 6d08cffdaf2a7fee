//! Parquet files: rows of a day, features of a day, rejected rows.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use parquet::basic::{
    Compression, Encoding, LogicalType, Repetition, TimeUnit, Type as Physical, ZstdLevel,
};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::{ColumnPath, Type, TypePtr};
use sha2::{Digest, Sha256};

use crate::strings::NULL;
use crate::table::{Column, Kind, NULL_BOOLEAN, Table};
use crate::timestamp::{DAY, date};

/// A finished file: what the manifest says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub name: String,
    pub rows: u64,
    pub bytes: u64,
    pub sha256: String,
}

/// A column of a Parquet file.
pub struct Header {
    pub name: String,
    pub kind: HeaderKind,
    pub required: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum HeaderKind {
    Time,
    Of(Kind),
}

/// A Parquet file that is being written; its digest is known when it ends.
pub struct Writer {
    name: String,
    inner: SerializedFileWriter<Hashed>,
    rows: u64,
}

impl Writer {
    pub fn create(folder: &Path, name: &str, headers: &[Header]) -> io::Result<Self> {
        let file = File::create(folder.join(name))?;
        let sink = Hashed { file, digest: Sha256::new(), bytes: 0 };
        let inner =
            SerializedFileWriter::new(sink, schema(headers), properties(headers)).map_err(wrong)?;
        Ok(Self { name: name.to_owned(), inner, rows: 0 })
    }

    /// Writes rows of a table in an order as one row group; `timed` when the file has a time.
    pub fn write(&mut self, table: &Table, order: &[u32], timed: bool) -> io::Result<()> {
        if order.is_empty() {
            return Ok(());
        }
        let mut group = self.inner.next_row_group().map_err(wrong)?;
        if timed {
            write_times(&mut group, &table.times, order).map_err(wrong)?;
        }
        for column in &table.columns {
            write_column(&mut group, column, order).map_err(wrong)?;
        }
        group.close().map_err(wrong)?;
        self.rows += order.len() as u64;
        Ok(())
    }

    /// Ends the file.
    pub fn finish(self) -> io::Result<Delivered> {
        // Writes the footer too.
        let sink = self.inner.into_inner().map_err(wrong)?;
        Ok(Delivered {
            name: self.name,
            rows: self.rows,
            bytes: sink.bytes,
            sha256: hexadecimal(&sink.digest.finalize()),
        })
    }
}

/// A file that knows the digest of what was written to it.
struct Hashed {
    file: File,
    digest: Sha256,
    bytes: u64,
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.digest.update(&bytes[..written]);
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The operating system's error if there is one behind what the Parquet writer says.
pub fn wrong(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast::<io::Error>() {
            Ok(error) => *error,
            Err(other) => io::Error::other(other),
        },
        other => io::Error::other(other),
    }
}

fn schema(headers: &[Header]) -> TypePtr {
    let columns = headers.iter().map(|header| {
        let (physical, logical) = match header.kind {
            HeaderKind::Time => {
                (Physical::INT64, Some(LogicalType::timestamp(true, TimeUnit::MICROS)))
            }
            HeaderKind::Of(Kind::String) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
            HeaderKind::Of(Kind::Double) => (Physical::DOUBLE, None),
            HeaderKind::Of(Kind::Long) => (Physical::INT64, None),
            HeaderKind::Of(Kind::Boolean) => (Physical::BOOLEAN, None),
        };
        let repetition = if header.required { Repetition::REQUIRED } else { Repetition::OPTIONAL };
        let column = Type::primitive_type_builder(&header.name, physical)
            .with_repetition(repetition)
            .with_logical_type(logical)
            .build();
        Arc::new(column.expect("a flat column is valid"))
    });
    let root = Type::group_type_builder("schema").with_fields(columns.collect()).build();
    Arc::new(root.expect("a flat schema is valid"))
}

fn properties(headers: &[Header]) -> WriterPropertiesPtr {
    let level = ZstdLevel::try_new(3).expect("zstd has a level 3");
    let mut properties = WriterProperties::builder()
        .set_created_by("pi-edge-spark".to_owned())
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
        .set_write_batch_size(4096)
        .set_max_row_group_row_count(None);
    for header in headers.iter().filter(|header| header.kind == HeaderKind::Time) {
        let path = ColumnPath::from(header.name.as_str());
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    Arc::new(properties.build())
}

/// Rows that are gathered at once.
const GATHERED: usize = 8_192;

fn write_times<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    times: &[i64],
    order: &[u32],
) -> Result<(), ParquetError> {
    let mut gathered = Vec::with_capacity(GATHERED);
    let mut column = group.next_column()?.expect("the file has a time");
    for rows in order.chunks(GATHERED) {
        gathered.clear();
        gathered.extend(rows.iter().map(|&row| times[row as usize]));
        column.typed::<Int64Type>().write_batch(&gathered, None, None)?;
    }
    column.close()
}

fn write_column<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    column: &Column,
    order: &[u32],
) -> Result<(), ParquetError> {
    match column {
        Column::Double(values) => put::<DoubleType, W>(group, order, |row| {
            let value = values[row];
            (!value.is_nan()).then_some(value)
        }),
        Column::Long { values, valid } => {
            put::<Int64Type, W>(group, order, |row| valid[row].then(|| values[row]))
        }
        Column::Boolean(values) => put::<BoolType, W>(group, order, |row| {
            (values[row] != NULL_BOOLEAN).then(|| values[row] == 1)
        }),
        Column::String { numbers, dictionary } => {
            let texts: Vec<ByteArray> = (0..dictionary.count() as u32)
                .map(|number| ByteArray::from(dictionary.get(number).to_vec()))
                .collect();
            put::<ByteArrayType, W>(group, order, |row| {
                (numbers[row] != NULL).then(|| texts[numbers[row] as usize].clone())
            })
        }
    }
}

/// Writes a column: the values that are not null, and a level of 1 for each of them, 0 for others.
fn put<T: DataType, W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    order: &[u32],
    value: impl Fn(usize) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let mut levels = Vec::with_capacity(GATHERED);
    let mut values = Vec::with_capacity(GATHERED);
    let mut column = group.next_column()?.expect("as many columns as the schema has");
    for rows in order.chunks(GATHERED) {
        levels.clear();
        values.clear();
        for &row in rows {
            let value = value(row as usize);
            levels.push(i16::from(value.is_some()));
            values.extend(value);
        }
        column.typed::<T>().write_batch(&values, Some(&levels), None)?;
    }
    column.close()
}

/// The columns of a file: its time, if it has one, and those of a table.
pub fn headers<'a>(
    time: Option<&str>,
    columns: impl IntoIterator<Item = (&'a str, Kind)>,
) -> Vec<Header> {
    let column = |(name, kind): (&str, Kind)| Header {
        name: name.to_owned(),
        kind: HeaderKind::Of(kind),
        required: false,
    };
    let time =
        time.map(|name| Header { name: name.to_owned(), kind: HeaderKind::Time, required: true });
    time.into_iter().chain(columns.into_iter().map(column)).collect()
}

/// Files of one kind, one for each UTC day; the days come in their order.
pub struct Daily<'a> {
    folder: &'a Path,
    kind: &'static str,
    headers: Vec<Header>,
    open: Option<(i64, Writer)>,
    pub delivered: Vec<(i64, Delivered)>,
}

impl<'a> Daily<'a> {
    pub const fn new(folder: &'a Path, kind: &'static str, headers: Vec<Header>) -> Self {
        Self { folder, kind, headers, open: None, delivered: vec![] }
    }

    /// Writes rows of a table in the order of time.
    pub fn write(&mut self, table: &Table, order: &[u32]) -> io::Result<()> {
        let mut rest = order;
        while let Some(&first) = rest.first() {
            let day = table.times[first as usize].div_euclid(DAY);
            let end = (day + 1) * DAY;
            let length = rest.partition_point(|&row| table.times[row as usize] < end);
            let (of_day, after) = rest.split_at(length);
            rest = after;
            self.writer(day)?.write(table, of_day, true)?;
        }
        Ok(())
    }

    fn writer(&mut self, day: i64) -> io::Result<&mut Writer> {
        if self.open.as_ref().is_none_or(|(open, _)| *open != day) {
            self.end_day()?;
            let name = format!("{}-{}.parquet", self.kind, date(day));
            self.open = Some((day, Writer::create(self.folder, &name, &self.headers)?));
        }
        Ok(&mut self.open.as_mut().expect("it has just been opened").1)
    }

    /// Ends the file of the open day.
    pub fn end_day(&mut self) -> io::Result<()> {
        if let Some((day, writer)) = self.open.take() {
            self.delivered.push((day, writer.finish()?));
        }
        Ok(())
    }
}
