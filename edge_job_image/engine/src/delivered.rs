//! Parquet files: rows of a day, features of a day, rejected rows.
//!
//! They are written here rather than by a library because strings come with their dictionary
//! numbers already, memory is known to the byte, and nothing has to be compiled for it that takes
//! longer than all the rest.

use std::io;
use std::ops::Range;
use std::path::Path;

use crate::column::{self, Chunk, Scratch};
use crate::places::Places;
use crate::rows::{Gathered, Pool, Rows};
use crate::sink::{Encoding, Press, Sink};
use crate::table::{Kind, Table, View};
use crate::thrift::{self, Struct, varint};
use crate::timestamp::{DAY, date};

const ZSTD: i32 = 6;
/// As readers parse it: those that cannot, Spark's among them, warn of each file.
const CREATOR: &str =
    concat!("edge-etl-engine version ", env!("CARGO_PKG_VERSION"), " (build pi-edge-spark)");

/// A finished file: what the manifest says of it, and what reads it again.
pub struct Delivered {
    pub name: String,
    pub rows: u64,
    pub bytes: u64,
    pub sha256: String,
    pub places: Places,
}

/// A row group that was written.
pub struct Group {
    pub rows: usize,
    pub columns: Vec<Chunk>,
}

/// A column of a Parquet file.
struct Header {
    name: String,
    kind: HeaderKind,
}

#[derive(Clone, Copy)]
enum HeaderKind {
    Time,
    Of(Kind),
}

impl HeaderKind {
    /// Parquet's number of the physical type.
    const fn physical(self) -> i32 {
        match self {
            Self::Of(Kind::Boolean) => 0,
            Self::Time | Self::Of(Kind::Long | Kind::Time) => 2,
            Self::Of(Kind::Double) => 5,
            Self::Of(Kind::String | Kind::Binary) => 6,
        }
    }
}

/// The columns of a file: its time, if it has one, and those of a table.
pub struct Headers(Vec<Header>);

impl Headers {
    pub fn new(
        time: Option<&str>,
        columns: impl IntoIterator<Item = (impl Into<String>, Kind)>,
    ) -> Self {
        let time = time.map(|name| Header { name: name.to_owned(), kind: HeaderKind::Time });
        let columns = columns.into_iter();
        let columns =
            columns.map(|(name, kind)| Header { name: name.into(), kind: HeaderKind::Of(kind) });
        Self(time.into_iter().chain(columns).collect())
    }
}

/// The values of a field of some rows.
struct Sorted<'a> {
    rows: &'a Rows,
    field: usize,
    order: &'a [u32],
    gathered: &'a mut Gathered,
}

impl column::Source for Sorted<'_> {
    fn view(&mut self, rows: Range<usize>) -> View<'_> {
        self.rows.gather(self.field, &self.order[rows], self.gathered)
    }
}

/// What writing needs and keeps from file to file.
pub struct Kit {
    press: Press,
    scratch: Scratch,
    gathered: Gathered,
}

impl Kit {
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            press: Press::new()?,
            scratch: Scratch::default(),
            gathered: Gathered::default(),
        })
    }
}

/// A Parquet file that is being written; its digest is known when it ends.
pub struct Writer {
    name: String,
    sink: Sink,
    groups: Vec<Group>,
}

impl Writer {
    pub fn create(folder: &Path, name: &str) -> io::Result<Self> {
        let sink = Sink::create(&folder.join(name))?;
        Ok(Self { name: name.to_owned(), sink, groups: vec![] })
    }

    /// Writes the columns of a table as one row group, and its times if the file has some.
    pub fn write(&mut self, has_times: bool, table: &Table, kit: &mut Kit) -> io::Result<()> {
        let Kit { press, scratch, .. } = kit;
        let Self { sink, .. } = self;
        let mut columns = vec![];
        if has_times {
            columns.push(column::write_times(sink, press, &table.times, scratch)?);
        }
        for column in &table.columns {
            columns.push(column::write(sink, press, column, table.len(), scratch)?);
        }
        self.groups.push(Group { rows: table.len(), columns });
        Ok(())
    }

    /// Writes rows in an order as one row group.
    pub fn write_rows(
        &mut self,
        fields: usize,
        rows: &Rows,
        order: &[u32],
        kit: &mut Kit,
    ) -> io::Result<()> {
        let Kit { press, scratch, gathered } = kit;
        let Self { sink, .. } = self;
        let mut columns = Vec::with_capacity(1 + fields);
        let times = rows.gather_times(order, gathered);
        columns.push(column::write_times(sink, press, times, scratch)?);
        for field in 0..fields {
            let sorted = Sorted { rows, field, order, gathered };
            columns.push(column::write(sink, press, sorted, order.len(), scratch)?);
        }
        self.groups.push(Group { rows: order.len(), columns });
        Ok(())
    }

    /// Ends the file.
    pub fn finish(mut self, headers: &Headers) -> io::Result<Delivered> {
        let rows = self.groups.iter().map(|group| group.rows as u64).sum();
        let mut footer = footer(headers, &self.groups, rows);
        let length = footer.len() as u32;
        footer.extend_from_slice(&length.to_le_bytes());
        footer.extend_from_slice(b"PAR1");
        self.sink.write(&footer)?;
        let bytes = self.sink.position;
        let sha256 = self.sink.finish();
        Ok(Delivered { name: self.name, rows, bytes, sha256, places: Places::of(&self.groups) })
    }
}

/// The FileMetaData of parquet.thrift.
fn footer(headers: &Headers, groups: &[Group], rows: u64) -> Vec<u8> {
    let Headers(columns) = headers;
    let root = Struct::default().binary(4, b"schema").i32(5, columns.len() as i32);
    let elements: Vec<Vec<u8>> = std::iter::once(root.finish())
        .chain(columns.iter().map(|header| element(header).finish()))
        .collect();
    let append = |bytes: &mut Vec<u8>, one: &Vec<u8>| bytes.extend_from_slice(one);
    // Without the orders readers do not trust the least and the greatest values.
    let order = Struct::default().nested(1, Struct::default()).finish();
    let orders = vec![order; columns.len()];
    Struct::default()
        .i32(1, 1)
        .list(2, thrift::Kind::Struct, &elements, append)
        .i64(3, rows as i64)
        .list(4, thrift::Kind::Struct, groups, |bytes, group| {
            bytes.extend(row_group(columns, group).finish());
        })
        .binary(6, CREATOR.as_bytes())
        .list(7, thrift::Kind::Struct, &orders, append)
        .finish()
}

fn element(header: &Header) -> Struct {
    let required = matches!(header.kind, HeaderKind::Time);
    let element = Struct::default()
        .i32(1, header.kind.physical())
        .i32(3, i32::from(!required))
        .binary(4, header.name.as_bytes());
    match header.kind {
        HeaderKind::Time | HeaderKind::Of(Kind::Time) => {
            let micros = Struct::default().nested(2, Struct::default());
            let timestamp = Struct::default().bool(1, true).nested(2, micros);
            element.i32(6, 10).nested(10, Struct::default().nested(8, timestamp))
        }
        HeaderKind::Of(Kind::String) => {
            element.i32(6, 0).nested(10, Struct::default().nested(1, Struct::default()))
        }
        HeaderKind::Of(_) => element,
    }
}

fn row_group(headers: &[Header], group: &Group) -> Struct {
    let chunks: Vec<Vec<u8>> = headers
        .iter()
        .zip(&group.columns)
        .map(|(header, chunk)| {
            let metadata = metadata(header, chunk, group.rows);
            Struct::default().i64(2, chunk.begin as i64).nested(3, metadata).finish()
        })
        .collect();
    let size: u64 = group.columns.iter().map(uncompressed).sum();
    Struct::default()
        .list(1, thrift::Kind::Struct, &chunks, |bytes, chunk| bytes.extend_from_slice(chunk))
        .i64(2, size as i64)
        .i64(3, group.rows as i64)
}

/// The bytes of a chunk as if its pages were not compressed; their headers count.
fn uncompressed(chunk: &Chunk) -> u64 {
    let pages = chunk.pages.iter().chain(&chunk.dictionary);
    let compressed: u64 = pages.map(|page| page.compressed as u64).sum();
    chunk.end - chunk.begin - compressed + chunk.size
}

fn metadata(header: &Header, chunk: &Chunk, rows: usize) -> Struct {
    let mut encodings = vec![Encoding::Rle];
    encodings.extend(chunk.dictionary.iter().map(|page| page.encoding));
    encodings.extend(chunk.pages.first().map(|page| page.encoding));
    let metadata = Struct::default()
        .i32(1, header.kind.physical())
        .list(2, thrift::Kind::I32, &encodings, |bytes, encoding| {
            thrift::zigzag(bytes, *encoding as i64);
        })
        .list(3, thrift::Kind::Binary, &[header.name.as_bytes()], |bytes, name| {
            varint(bytes, name.len() as u64);
            bytes.extend_from_slice(name);
        })
        .i32(4, ZSTD)
        .i64(5, rows as i64)
        .i64(6, uncompressed(chunk) as i64)
        .i64(7, (chunk.end - chunk.begin) as i64)
        .i64(9, chunk.data as i64);
    let metadata = match chunk.dictionary {
        Some(_) => metadata.i64(11, chunk.begin as i64),
        None => metadata,
    };
    let statistics = Struct::default().i64(3, chunk.nulls as i64);
    let statistics = match &chunk.range {
        Some((least, most)) => statistics.binary(5, most).binary(6, least),
        None => statistics,
    };
    metadata.nested(12, statistics)
}

/// Files of one kind, one for each UTC day; the days come in their order.
pub struct Daily<'a> {
    folder: &'a Path,
    kind: &'static str,
    pub headers: Headers,
    open: Option<(i64, Writer)>,
    pub delivered: Vec<(i64, Delivered)>,
}

impl<'a> Daily<'a> {
    pub const fn new(folder: &'a Path, kind: &'static str, headers: Headers) -> Self {
        Self { folder, kind, headers, open: None, delivered: vec![] }
    }

    /// Writes rows in the order of time.
    pub fn write_rows(&mut self, rows: &Rows, order: &[u32], kit: &mut Kit) -> io::Result<()> {
        let mut rest = order;
        while let Some(&first) = rest.first() {
            let day = rows.time(first).div_euclid(DAY);
            let end = (day + 1) * DAY;
            let length = rest.partition_point(|&row| rows.time(row) < end);
            let (of_day, after) = rest.split_at(length);
            rest = after;
            let fields = self.headers.0.len() - 1;
            self.writer(day)?.write_rows(fields, rows, of_day, kit)?;
        }
        Ok(())
    }

    /// Writes a table that is in the order of time, and empties it.
    pub fn write(&mut self, table: &mut Table, kit: &mut Kit) -> io::Result<()> {
        let mut day_of = table.times.chunk_by(|a, b| a.div_euclid(DAY) == b.div_euclid(DAY));
        if let (Some(times), None) = (day_of.next(), day_of.next()) {
            let day = times[0].div_euclid(DAY);
            self.writer(day)?.write(true, table, kit)?;
        } else {
            let mut rows = Rows::new(table.columns.len());
            rows.extend(table, 0..table.len(), &mut Pool::default());
            let order: Vec<u32> = (0..table.len() as u32).collect();
            self.write_rows(&rows, &order, kit)?;
        }
        table.clear();
        Ok(())
    }

    /// The writer of a day; that of another day ends.
    fn writer(&mut self, day: i64) -> io::Result<&mut Writer> {
        if self.open.as_ref().is_some_and(|(open, _)| *open != day) {
            self.end_day()?;
        }
        match &mut self.open {
            Some((_, writer)) => Ok(writer),
            empty => {
                let name = format!("{}-{}.parquet", self.kind, date(day));
                Ok(&mut empty.insert((day, Writer::create(self.folder, &name)?)).1)
            }
        }
    }

    /// Ends the file of the open day.
    pub fn end_day(&mut self) -> io::Result<()> {
        if let Some((day, writer)) = self.open.take() {
            self.delivered.push((day, writer.finish(&self.headers)?));
        }
        Ok(())
    }
}
