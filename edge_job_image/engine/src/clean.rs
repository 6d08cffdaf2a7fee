//! A block of lines to clean rows and rejected ones.

use std::cmp::Ordering;

use crate::cells::{is_blank, raw, split, text_of};
use crate::header::{Header, Layout};
use crate::lines::Lines;
use crate::number;
use crate::plan::{Field, Plan, order};
use crate::reason::{Reason, Rejection};
use crate::scan::is_text;
use crate::shown;
use crate::table::{Column, Kind, Table};
use crate::timestamp::{self, Evidence};

/// A rejected line of a block.
#[derive(Debug)]
pub struct Rejected {
    /// Lines and bytes of the batch before it.
    pub line: u64,
    pub offset: u64,
    /// Bytes of the line, with its newline.
    pub size: u64,
    pub reason: Reason,
    pub detail: String,
    pub raw: String,
}

/// Where a row was, for rules that look back.
pub struct Place {
    /// Lines and bytes of the batch before it.
    pub line: u64,
    pub offset: u64,
    /// Bytes of the line, with its newline.
    pub size: u64,
    pub raw: String,
}

/// What became of some blocks.
pub struct Batch {
    pub rows: Table,
    /// Of each row, if some rule needs it.
    pub places: Vec<Place>,
    pub rejected: Vec<Rejected>,
    /// Lines and bytes of the blocks so far.
    pub lines: u64,
    pub bytes: u64,
    /// Field counts of the records that disagree with the header, in the order of their coming.
    pub widths: Vec<(usize, u64)>,
}

impl Batch {
    pub fn new(plan: &Plan) -> Self {
        let rows = Table::new(plan.kinds());
        Self { rows, places: vec![], rejected: vec![], lines: 0, bytes: 0, widths: vec![] }
    }

    /// Whether it has no memory of its own yet.
    pub const fn is_new(&self) -> bool {
        self.rows.times.capacity() == 0
    }

    pub fn clear(&mut self) {
        self.rows.clear();
        self.places.clear();
        self.rejected.clear();
        self.lines = 0;
        self.bytes = 0;
        self.widths.clear();
    }
}

/// The outside world's part in reading cells; any thread may ask it.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    pub repr: &'a (dyn Fn(&str) -> String + Sync),
}

/// Cleans the blocks of one file.
pub struct Cleaner<'a> {
    plan: &'a Plan,
    header: &'a Header,
    layout: &'a Layout,
    lines: Option<Lines<'a>>,
    times: timestamp::Parser<'a>,
    looks_back: bool,
    outside: Outside<'a>,
}

impl<'a> Cleaner<'a> {
    pub fn new(
        plan: &'a Plan,
        header: &'a Header,
        layout: &'a Layout,
        outside: Outside<'a>,
    ) -> Self {
        let times = timestamp::Parser::new(&plan.timestamp, outside.repr);
        let lines = Lines::new(plan, header, layout);
        let looks_back = plan.fields.iter().any(Field::looks_back);
        Self { plan, header, layout, lines, times, looks_back, outside }
    }

    /// Cleans a block of whole lines, the last of which ends with a newline too.
    pub fn block(&mut self, block: &[u8], batch: &mut Batch) {
        let is_text = is_text(block);
        let mut start = 0;
        while start < block.len() {
            let rows = batch.rows.len();
            let lines = self.lines.as_ref().filter(|_| is_text);
            let next =
                lines.and_then(|lines| lines.read(block, start, &mut self.times, &mut batch.rows));
            let begin = start;
            start = match next {
                Some(next) => next,
                None => {
                    batch.rows.truncate(rows);
                    self.odd_line(block, start, batch)
                }
            };
            if self.looks_back && batch.rows.len() > rows {
                self.note_place(&block[begin..start.min(block.len())], begin, batch);
            }
            batch.lines += 1;
        }
        batch.bytes += block.len() as u64;
    }

    #[cold]
    fn note_place(&self, line: &[u8], start: usize, batch: &mut Batch) {
        let (offset, size) = (batch.bytes + start as u64, line.len() as u64);
        let raw = raw(line.strip_suffix(b"\n").unwrap_or(line));
        batch.places.push(Place { line: batch.lines, offset, size, raw });
    }

    /// Cleans the line that begins at a position; returns where the next one begins.
    #[cold]
    fn odd_line(&mut self, block: &[u8], start: usize, batch: &mut Batch) -> usize {
        let rest = &block[start..];
        let length = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        let rows = batch.rows.len();
        if let Err(rejection) = self.odd_row(&rest[..length], &mut batch.rows) {
            batch.rows.truncate(rows);
            let place = (batch.bytes + start as u64, length as u64 + 1);
            self.refuse(&rest[..length], rejection, place, batch);
        }
        start + length + 1
    }

    /// Notes how the times of a block are written.
    pub fn observe(&self, block: &[u8], evidence: &mut Evidence<'_>) {
        for line in block.split(|&byte| byte == b'\n') {
            let cells = text_of(line)
                .and_then(|text| split(text, self.header.delimiter, self.outside.repr));
            if let Ok(cells) = cells
                && cells.len() == self.header.columns.len()
                && !self.plan.nulls.contain(&cells[self.layout.timestamp])
            {
                evidence.observe(&cells[self.layout.timestamp]);
            }
        }
    }

    /// Leaves formats of times aside that the file is not written in.
    pub fn rule_out(&mut self, formats: Vec<bool>) {
        self.times.rule_out(formats);
    }

    /// Rejects a line that is too long for a block: its first bytes, and how many there were.
    pub fn too_long(&self, line: &[u8], size: u64, batch: &mut Batch) {
        if let Err(rejection) = text_of(line) {
            self.refuse(line, rejection, (batch.bytes, size), batch);
        }
        batch.lines += 1;
        batch.bytes += size;
    }

    fn row(&mut self, cells: &[Vec<u8>], rows: &mut Table) -> Result<(), Rejection> {
        if cells.len() != self.header.columns.len() {
            return Err(self.wrong_count(cells.len()));
        }
        let cell = &cells[self.layout.timestamp];
        if self.plan.nulls.contain(cell) {
            return Err(no_time());
        }
        let time = self.times.parse(cell)?;
        for ((field, position), column) in
            self.plan.fields.iter().zip(&self.layout.fields).zip(&mut rows.columns)
        {
            match position {
                Some(position) => self.value(field, &cells[*position], column)?,
                None => column.push_null(),
            }
        }
        rows.times.push(time);
        Ok(())
    }

    fn value(&self, field: &Field, cell: &[u8], column: &mut Column) -> Result<(), Rejection> {
        if field.nulls.contain(cell) || self.means_null(field, cell) {
            if field.missing.is_some() {
                return Err(missing(field));
            }
            column.push_null();
            return Ok(());
        }
        match column {
            Column::Double(values) => {
                if let Some(value) = number::double(cell, self.plan.decimal as u8)
                    && field.holds(value)
                {
                    values.push(value);
                    return Ok(());
                }
            }
            Column::String { numbers, dictionary } => {
                numbers.push(dictionary.number(cell));
                return Ok(());
            }
            Column::Long { values, valid } => {
                if let Some(value) = number::long(cell)
                    && field.holds_long(value)
                {
                    values.push(value);
                    valid.push(true);
                    return Ok(());
                }
            }
            Column::Boolean(values) => {
                if let Some(value) = number::boolean(cell) {
                    values.push(u8::from(value));
                    return Ok(());
                }
            }
        }
        if field.set_null && field.missing.is_none() {
            column.push_null();
            return Ok(());
        }
        Err(self.invalid(field, cell))
    }

    /// Whether a cell is a number that means that there is no value.
    fn means_null(&self, field: &Field, cell: &[u8]) -> bool {
        match field.kind {
            _ if field.null_ranges.is_empty() => false,
            Kind::Double => number::double(cell, self.plan.decimal as u8)
                .is_some_and(|value| field.means_null(value)),
            Kind::Long => number::long(cell).is_some_and(|value| field.means_null_long(value)),
            _ => false,
        }
    }

    /// A line that is perhaps no clean row: read by the letter.
    fn odd_row(&mut self, line: &[u8], rows: &mut Table) -> Result<(), Rejection> {
        let text = text_of(line)?;
        let cells = split(text, self.header.delimiter, self.outside.repr)?;
        self.row(&cells, rows)
    }

    #[cold]
    fn refuse(&self, line: &[u8], found: Rejection, (offset, size): (u64, u64), batch: &mut Batch) {
        if is_blank(line, self.header.delimiter) {
            return;
        }
        let Rejection { mut reason, mut detail } = found;
        let cells =
            text_of(line).and_then(|text| split(text, self.header.delimiter, self.outside.repr));
        if let Ok(cells) = cells {
            let names = self.header.columns.iter().map(String::as_bytes);
            if cells.iter().map(Vec::as_slice).eq(names) {
                reason = Reason::RepeatedHeader;
                detail = "the header comes again".to_owned();
            } else if reason == Reason::WrongFieldCount {
                match batch.widths.iter_mut().find(|(width, _)| *width == cells.len()) {
                    Some((_, count)) => *count += 1,
                    None => batch.widths.push((cells.len(), 1)),
                }
            }
        }
        batch.rejected.push(Rejected {
            line: batch.lines,
            offset,
            size,
            reason,
            detail,
            raw: raw(line),
        });
    }

    #[cold]
    fn wrong_count(&self, count: usize) -> Rejection {
        let detail =
            format!("{count} fields in the row, {} in the header", self.header.columns.len());
        Rejection::new(Reason::WrongFieldCount, detail)
    }

    #[cold]
    fn invalid(&self, field: &Field, cell: &[u8]) -> Rejection {
        let value = match field.kind {
            Kind::Double => number::double(cell, self.plan.decimal as u8).map(|value| {
                (shown::double(value), beyond(field, |limit| value.total_cmp(&limit)))
            }),
            Kind::Long => number::long(cell)
                .map(|value| (value.to_string(), beyond(field, |limit| order(value, limit)))),
            _ => None,
        };
        let name = &field.name;
        match value {
            Some((shown, limit)) => {
                Rejection::new(Reason::OutOfRange, format!("{name}: {shown} is {limit}"))
            }
            None => {
                let shown = shown::text(cell, self.outside.repr);
                let kind = match field.kind {
                    Kind::String => "string",
                    Kind::Double => "double",
                    Kind::Long => "long",
                    Kind::Boolean => "boolean",
                    Kind::Binary | Kind::Time => unreachable!("no field is of this kind"),
                };
                Rejection::new(Reason::InvalidValue, format!("{name}: {shown} is not a {kind}"))
            }
        }
    }
}

/// Which limit a value is beyond, as messages say it.
fn beyond(field: &Field, order: impl Fn(f64) -> Ordering) -> String {
    match (&field.min, &field.max) {
        (Some((limit, text)), _) if order(*limit).is_lt() => format!("below {text}"),
        (_, Some((_, text))) => format!("above {text}"),
        _ => unreachable!("a value without limits is within them"),
    }
}

#[cold]
fn no_time() -> Rejection {
    Rejection::new(Reason::MissingTimestamp, "the row has no time".to_owned())
}

#[cold]
fn missing(field: &Field) -> Rejection {
    let reason = field.missing.map_or(Reason::MissingRequired, |missing| missing.reason());
    Rejection::new(reason, format!("{} has no value", field.name))
}
