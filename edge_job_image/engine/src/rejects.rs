//! The file of rejected rows.

use std::io;
use std::path::Path;

use crate::clean::Rejected;
use crate::crew::{Crew, Ticket};
use crate::delivered::{Delivered, Headers, Writer};
use crate::finish::Toolbox;
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
    toolbox: &'a Toolbox<'a>,
    headers: Headers,
    /// The file, and the memory of the rows that were written last.
    writing: Option<Ticket<io::Result<(Writer, Table)>>>,
    held: Table,
    size: usize,
}

impl<'a> Rejects<'a> {
    pub fn new(folder: &'a Path, toolbox: &'a Toolbox<'a>) -> Self {
        Self {
            folder,
            toolbox,
            headers: Headers::new(None, COLUMNS),
            writing: None,
            held: Table::new(COLUMNS.map(|(_, kind)| kind)),
            size: 0,
        }
    }

    /// Takes a row of the file of that name: `line` counts from 1.
    pub fn add(
        &mut self,
        (file, line, offset): (&str, u64, u64),
        row: &Rejected,
        crew: &Crew<'a>,
    ) -> io::Result<()> {
        let mut texts = [file, row.reason.name(), &row.detail].into_iter();
        let mut longs = [line, offset].into_iter();
        self.held.times.push(0);
        for column in &mut self.held.columns {
            match column {
                Column::String { numbers, dictionary } => numbers.push(match texts.next() {
                    Some(text) => dictionary.number(text.as_bytes()),
                    // Few lines are like another: to look for it would take longer than to write it.
                    None => dictionary.append(row.raw.as_bytes()),
                }),
                Column::Long { values, valid } => {
                    values.push(longs.next().unwrap_or_default() as i64);
                    valid.push(true);
                }
                _ => unreachable!("there are strings and longs"),
            }
        }
        self.size += 64 + row.detail.len() + row.raw.len();
        if self.size > HELD { self.write(crew) } else { Ok(()) }
    }

    fn write(&mut self, crew: &Crew<'a>) -> io::Result<()> {
        let (mut writer, spare) = match self.writing.take() {
            Some(writing) => writing.wait()?,
            None => {
                let writer = Writer::create(self.folder, "rejected.parquet")?;
                (writer, Table::new(COLUMNS.map(|(_, kind)| kind)))
            }
        };
        let mut held = std::mem::replace(&mut self.held, spare);
        self.size = 0;
        let toolbox = self.toolbox;
        let writing = crew.submit(move || {
            toolbox.with(|tools| writer.write(false, &held, &mut tools.kit))?;
            held.clear();
            Ok((writer, held))
        });
        self.writing = Some(match writing {
            // It is written already: one table is enough.
            Ticket::Ready(written) => Ticket::Ready(
                written.map(|(writer, held)| (writer, std::mem::replace(&mut self.held, held))),
            ),
            waiting @ Ticket::Waiting(_) => waiting,
        });
        Ok(())
    }

    /// Waits for what is being written; nobody wants it any more.
    pub fn abandon(&mut self) {
        drop(self.writing.take().map(Ticket::wait));
    }

    /// Ends the file; None when no row was rejected.
    pub fn finish(mut self, crew: &Crew<'a>) -> io::Result<Option<Delivered>> {
        if !self.held.is_empty() {
            self.write(crew)?;
        }
        let Some(writing) = self.writing.take() else { return Ok(None) };
        let (writer, _) = writing.wait()?;
        writer.finish(&self.headers).map(Some)
    }
}
