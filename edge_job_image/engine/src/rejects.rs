//! The file of rejected rows.

use std::io;
use std::path::Path;

use crate::clean::Rejected;
use crate::delivered::{Delivered, Headers, Kit, Writer};
use crate::table::{Column, Kind, Table};

/// Bytes of texts that are held before they are written.
const HELD: usize = 1 << 20;
const COLUMNS: [(&str, Kind); 6] = [
    ("file", Kind::String),
    ("line", Kind::Long),
    ("offset", Kind::Long),
    ("reason", Kind::String),
    ("detail", Kind::String),
    ("raw", Kind::String),
];

/// Writes rejected rows in the order of reading.
pub struct Rejects<'a> {
    folder: &'a Path,
    headers: Headers,
    writer: Option<Writer>,
    held: Table,
    size: usize,
}

impl<'a> Rejects<'a> {
    pub fn new(folder: &'a Path) -> Self {
        Self {
            folder,
            headers: Headers::new(None, COLUMNS),
            writer: None,
            held: Table::new(COLUMNS.map(|(_, kind)| kind)),
            size: 0,
        }
    }

    /// Takes a row of the file of that name: `line` counts from 1.
    pub fn add(
        &mut self,
        (file, line, offset): (&str, u64, u64),
        row: &Rejected,
        kit: &mut Kit,
    ) -> io::Result<()> {
        let texts = [file, row.reason.name(), &row.detail, &row.raw];
        let mut texts = texts.into_iter();
        let mut longs = [line, offset].into_iter();
        self.held.times.push(0);
        for column in &mut self.held.columns {
            match column {
                Column::String { numbers, dictionary } => {
                    let text = texts.next().unwrap_or_default();
                    numbers.push(dictionary.number(text.as_bytes()));
                }
                Column::Long { values, valid } => {
                    values.push(longs.next().unwrap_or_default() as i64);
                    valid.push(true);
                }
                _ => unreachable!("there are strings and longs"),
            }
        }
        self.size += 64 + row.detail.len() + row.raw.len();
        if self.size > HELD { self.write(kit) } else { Ok(()) }
    }

    fn write(&mut self, kit: &mut Kit) -> io::Result<()> {
        let writer = match &mut self.writer {
            Some(writer) => writer,
            empty => empty.insert(Writer::create(self.folder, "rejected.parquet")?),
        };
        writer.write(false, &self.held, kit)?;
        self.held.clear();
        self.size = 0;
        Ok(())
    }

    /// Ends the file; None when no row was rejected.
    pub fn finish(mut self, kit: &mut Kit) -> io::Result<Option<Delivered>> {
        if !self.held.is_empty() {
            self.write(kit)?;
        }
        self.writer.map(|writer| writer.finish(&self.headers)).transpose()
    }
}
