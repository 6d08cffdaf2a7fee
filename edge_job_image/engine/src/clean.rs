//! A block of lines to clean rows and rejected ones.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::cells::{Cell, is_blank, raw, split, text_of, trimmed};
use crate::lines::Lines;
use crate::number;
use crate::plan::{Dialect, Field, Plan, order};
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
    /// Lines of the blocks so far, and their bytes in the file.
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
    dialect: &'a Dialect,
    lines: Option<Lines<'a>>,
    times: timestamp::Parser<'a>,
    looks_back: bool,
    outside: Outside<'a>,
    /// A position of the block, and how many bytes the block has before it in the file.
    measured: (usize, u64),
}

impl<'a> Cleaner<'a> {
    pub fn new(plan: &'a Plan, dialect: &'a Dialect, outside: Outside<'a>) -> Self {
        let times = timestamp::Parser::new(&plan.timestamp, outside.repr);
        let lines = Lines::new(plan, dialect);
        let looks_back = plan.fields.iter().any(Field::looks_back);
        Self { plan, dialect, lines, times, looks_back, outside, measured: (0, 0) }
    }

    /// Cleans a block of whole lines, the last of which ends with a newline too.
    pub fn block(&mut self, block: &[u8], batch: &mut Batch) {
        let is_text = is_text(block);
        self.measured = (0, 0);
        let mut start = 0;
        while start < block.len() {
            let rows = batch.rows.len();
            let lines = self.lines.as_mut().filter(|_| is_text);
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
                self.note_place(block, begin, start.min(block.len()), batch);
            }
            batch.lines += 1;
        }
        batch.bytes += self.size_before(block, block.len());
    }

    /// How many bytes the file has for those of a block before a position; positions ascend.
    fn size_before(&mut self, block: &[u8], position: usize) -> u64 {
        let (from, size) = self.measured;
        let size = size + self.dialect.encoding.size(&block[from..position]);
        self.measured = (position, size);
        size
    }

    #[cold]
    fn note_place(&mut self, block: &[u8], start: usize, end: usize, batch: &mut Batch) {
        let line = &block[start..end];
        let offset = batch.bytes + self.size_before(block, start);
        let size = self.dialect.encoding.size(line);
        let raw = raw(line.strip_suffix(b"\n").unwrap_or(line));
        batch.places.push(Place { line: batch.lines, offset, size, raw });
    }

    /// Cleans the line that begins at a position; returns where the next one begins.
    #[cold]
    fn odd_line(&mut self, block: &[u8], start: usize, batch: &mut Batch) -> usize {
        let rest = &block[start..];
        let length = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
        let line = &rest[..length];
        let rows = batch.rows.len();
        let (cells, refused) = match self.cells(line) {
            Ok(cells) => {
                let refused = self.row(&cells, &mut batch.rows).err();
                (Some(cells), refused)
            }
            Err(refused) => (None, Some(refused)),
        };
        if let Some(rejection) = refused {
            batch.rows.truncate(rows);
            let encoding = self.dialect.encoding;
            let offset = batch.bytes + self.size_before(block, start);
            let size = encoding.size(line) + encoding.newline();
            self.refuse((line, cells.as_deref()), rejection, (offset, size), batch);
        }
        start + length + 1
    }

    /// Notes how the times of a block are written.
    pub fn observe(&self, block: &[u8], evidence: &mut Evidence<'_>) {
        for line in block.split(|&byte| byte == b'\n') {
            if let Ok(cells) = self.cells(line)
                && cells.len() == self.dialect.columns.len()
                && let Some(time) = self.time_cell(&cells)
                && !self.plan.nulls.contain(&time)
            {
                evidence.observe(&time);
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
            self.refuse((line, None), rejection, (batch.bytes, size), batch);
        }
        batch.lines += 1;
        batch.bytes += size;
    }

    fn row(&mut self, cells: &[Cell<'_>], rows: &mut Table) -> Result<(), Rejection> {
        if cells.len() != self.dialect.columns.len() {
            return Err(self.wrong_count(cells.len()));
        }
        let extra = &cells[cells.len() - self.dialect.extra..];
        if let Some(text) = extra.iter().find(|cell| !cell.is_empty()) {
            let shown = shown::text(text, self.outside.repr);
            let detail = format!("{shown} stands behind the last column");
            return Err(Rejection::new(Reason::WrongFieldCount, detail));
        }
        let time = self.time_cell(cells).filter(|cell| !self.plan.nulls.contain(cell));
        let time = self.times.parse(&time.ok_or_else(no_time)?)?;
        for ((field, position), column) in
            self.plan.fields.iter().zip(&self.dialect.fields).zip(&mut rows.columns)
        {
            match position {
                Some(position) => self.value(field, &cells[*position], column)?,
                None => column.push_null(),
            }
        }
        rows.times.push(time);
        Ok(())
    }

    /// The cell of a row's time, which can be spread over several; None when all are null.
    fn time_cell<'l>(&self, cells: &'l [Cell<'_>]) -> Option<Cell<'l>> {
        let parts = self.dialect.times.iter().map(|&at| &*cells[at]);
        if parts.clone().all(|part| self.plan.nulls.contain(part)) {
            return None;
        }
        if let [only] = *self.dialect.times {
            return Some(Cow::Borrowed(&cells[only]));
        }
        Some(Cow::Owned(trimmed(&parts.collect::<Vec<_>>().join(&b' ')).to_vec()))
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
                if let Some(value) = self.double(cell)
                    && field.holds(value)
                {
                    values.push(value);
                    return Ok(());
                }
            }
            Column::String { numbers, dictionary } => {
                numbers.push(dictionary.find(cell));
                return Ok(());
            }
            Column::Long { values, valid } => {
                if let Some(value) = self.long(cell)
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
            Kind::Double => self.double(cell).is_some_and(|value| field.means_null(value)),
            Kind::Long => self.long(cell).is_some_and(|value| field.means_null_long(value)),
            _ => false,
        }
    }

    fn double(&self, cell: &[u8]) -> Option<f64> {
        let mark = self.dialect.decimal as u8;
        match self.ungrouped(cell) {
            Some(plain) => number::double(&plain, mark),
            None => number::double(cell, mark),
        }
    }

    fn long(&self, cell: &[u8]) -> Option<i64> {
        self.ungrouped(cell).map_or_else(|| number::long(cell), |plain| number::long(&plain))
    }

    /// A number without the marks between its thousands, if it has some.
    fn ungrouped(&self, cell: &[u8]) -> Option<Vec<u8>> {
        self.plan.thousands.and_then(|mark| number::ungrouped(cell, mark as u8))
    }

    /// The cells of a line, read by the letter.
    fn cells<'l>(&self, line: &'l [u8]) -> Result<Vec<Cell<'l>>, Rejection> {
        split(text_of(line)?, self.dialect.delimiter as u8, self.outside.repr)
    }

    #[cold]
    fn refuse(
        &self,
        (line, cells): (&[u8], Option<&[Cell<'_>]>),
        found: Rejection,
        (offset, size): (u64, u64),
        batch: &mut Batch,
    ) {
        let delimiter = self.dialect.delimiter as u8;
        let comment = self.plan.comment.as_bytes();
        let is_comment = !comment.is_empty() && line.starts_with(comment);
        if is_comment || is_blank(line, delimiter) {
            return;
        }
        let Rejection { mut reason, mut detail } = found;
        if let Some(cells) = cells {
            let names = self.dialect.columns.iter().map(String::as_bytes);
            if cells.iter().map(|cell| &**cell).eq(names) {
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
            format!("{count} fields in the row, {} in the header", self.dialect.columns.len());
        Rejection::new(Reason::WrongFieldCount, detail)
    }

    #[cold]
    fn invalid(&self, field: &Field, cell: &[u8]) -> Rejection {
        let value = match field.kind {
            Kind::Double => self.double(cell).map(|value| {
                (shown::double(value), beyond(field, |limit| value.total_cmp(&limit)))
            }),
            Kind::Long => self
                .long(cell)
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
