//! A block of lines to clean rows and rejected ones.

use crate::cells::{MAX_LINE, is_blank, raw, split, text_of, trimmed};
use crate::header::{Header, Layout};
use crate::number;
use crate::plan::{Field, Plan};
use crate::reason::{Reason, Rejection};
use crate::records::{Index, Record};
use crate::shown;
use crate::table::{Column, Table};
use crate::timestamp;

/// A rejected line of a block.
#[derive(Debug)]
pub struct Rejected {
    /// Lines and bytes of the batch before it.
    pub line: u64,
    pub offset: u64,
    pub reason: Reason,
    pub detail: String,
    pub raw: String,
}

/// What became of some blocks.
pub struct Batch {
    pub rows: Table,
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
        Self { rows, rejected: vec![], lines: 0, bytes: 0, widths: vec![] }
    }

    pub fn clear(&mut self) {
        self.rows.clear();
        self.rejected.clear();
        self.lines = 0;
        self.bytes = 0;
        self.widths.clear();
    }
}

/// Cells that mean that there is no value.
pub struct Nulls {
    texts: Vec<Vec<u8>>,
    /// Bit n is set when there is one of n bytes; the highest bit is for all longer ones.
    lengths: u64,
}

impl Nulls {
    pub fn new(plan: &Plan) -> Self {
        let texts: Vec<Vec<u8>> = plan.nulls.iter().map(|text| text.as_bytes().to_vec()).collect();
        let lengths = texts.iter().fold(1, |lengths, text| lengths | 1 << text.len().min(63));
        Self { texts, lengths }
    }

    #[inline(always)]
    fn contain(&self, cell: &[u8]) -> bool {
        cell.is_empty()
            || (self.lengths >> cell.len().min(63) & 1 == 1
                && self.texts.iter().any(|text| text == cell))
    }
}

/// The outside world's part in reading cells.
#[derive(Clone, Copy)]
pub struct Outside<'a> {
    pub strict: &'a timestamp::Strict<'a>,
    pub repr: &'a dyn Fn(&str) -> String,
}

/// Cleans the blocks of one file.
pub struct Cleaner<'a> {
    plan: &'a Plan,
    nulls: &'a Nulls,
    header: &'a Header,
    layout: &'a Layout,
    times: timestamp::Parser<'a>,
    outside: Outside<'a>,
}

impl<'a> Cleaner<'a> {
    pub const fn new(
        plan: &'a Plan,
        nulls: &'a Nulls,
        header: &'a Header,
        layout: &'a Layout,
        outside: Outside<'a>,
    ) -> Self {
        let times = timestamp::Parser::new(&plan.timestamp, outside.strict, outside.repr);
        Self { plan, nulls, header, layout, times, outside }
    }

    /// Cleans a block of whole lines, the last of which ends with a newline too.
    pub fn block(&mut self, block: &[u8], index: &mut Index, batch: &mut Batch) {
        index.build(block, self.header.delimiter);
        let plain = index.is_ascii() || std::str::from_utf8(block).is_ok();
        let plain = plain && !index.has_nul();
        let mut quotes = index.quotes().iter().copied().peekable();
        let mut rows = batch.rows.len();
        for number in 0..index.count() {
            let record = index.record(number);
            let end = record.end();
            let line = &block[record.start as usize..end];
            let mut quoted = false;
            while quotes.next_if(|&at| (at as usize) < end).is_some() {
                quoted = true;
            }
            let result = if plain && !quoted && line.len() <= MAX_LINE {
                let ends_early = usize::from(line.last() == Some(&b'\r'));
                self.row(&Plain { block, record, end: end - ends_early }, &mut batch.rows)
            } else {
                self.odd_row(line, &mut batch.rows)
            };
            match result {
                Ok(()) => rows += 1,
                Err(rejection) => {
                    batch.rows.truncate(rows);
                    let at = batch.lines + number as u64;
                    let offset = batch.bytes + u64::from(record.start);
                    self.refuse(line, rejection, at, offset, batch);
                }
            }
        }
        batch.lines += index.count() as u64;
        batch.bytes += block.len() as u64;
    }

    /// Rejects a line that is too long for a block: its first bytes, and how many there were.
    pub fn too_long(&self, line: &[u8], size: u64, batch: &mut Batch) {
        if let Err(rejection) = text_of(line) {
            self.refuse(line, rejection, batch.lines, batch.bytes, batch);
        }
        batch.lines += 1;
        batch.bytes += size;
    }

    #[inline]
    fn row<C: Cells>(&mut self, cells: &C, rows: &mut Table) -> Result<(), Rejection> {
        if cells.count() != self.header.columns.len() {
            return Err(self.wrong_count(cells.count()));
        }
        let cell = cells.get(self.layout.timestamp);
        if self.nulls.contain(cell) {
            return Err(no_time());
        }
        let time = self.times.parse(cell)?;
        for ((field, position), column) in
            self.plan.fields.iter().zip(&self.layout.fields).zip(&mut rows.columns)
        {
            match position {
                Some(position) => self.value(field, cells.get(*position), column)?,
                None => column.push_null(),
            }
        }
        rows.times.push(time);
        Ok(())
    }

    #[inline(always)]
    fn value(&self, field: &Field, cell: &[u8], column: &mut Column) -> Result<(), Rejection> {
        if self.nulls.contain(cell) {
            if field.missing.is_some() {
                return Err(missing(field));
            }
            column.push_null();
            return Ok(());
        }
        match column {
            Column::Double(values) => {
                if let Some(value) = number::double(cell, self.plan.decimal as u8)
                    && within(field, value)
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
                    && long_within(field, value)
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

    /// A line with quotes, or that is perhaps no text: read by the letter.
    #[cold]
    fn odd_row(&mut self, line: &[u8], rows: &mut Table) -> Result<(), Rejection> {
        let text = text_of(line)?;
        let cells = split(text, self.header.delimiter, self.outside.repr)?;
        self.row(&Split(cells), rows)
    }

    #[cold]
    fn refuse(&self, line: &[u8], found: Rejection, at: u64, offset: u64, batch: &mut Batch) {
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
        batch.rejected.push(Rejected { line: at, offset, reason, detail, raw: raw(line) });
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
            crate::table::Kind::Double => {
                number::double(cell, self.plan.decimal as u8).map(|value| {
                    (shown::double(value), beyond(field, |limit| value.total_cmp(&limit)))
                })
            }
            crate::table::Kind::Long => number::long(cell)
                .map(|value| (value.to_string(), beyond(field, |limit| compare(value, limit)))),
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
                    crate::table::Kind::String => "string",
                    crate::table::Kind::Double => "double",
                    crate::table::Kind::Long => "long",
                    crate::table::Kind::Boolean => "boolean",
                };
                Rejection::new(Reason::InvalidValue, format!("{name}: {shown} is not a {kind}"))
            }
        }
    }
}

#[inline(always)]
fn within(field: &Field, value: f64) -> bool {
    field.min.as_ref().is_none_or(|limit| value >= limit.0)
        && field.max.as_ref().is_none_or(|limit| value <= limit.0)
}

fn long_within(field: &Field, value: i64) -> bool {
    field.min.as_ref().is_none_or(|limit| compare(value, limit.0).is_ge())
        && field.max.as_ref().is_none_or(|limit| compare(value, limit.0).is_le())
}

/// An integer against a double, exactly: no integer is rounded to a double first.
fn compare(value: i64, limit: f64) -> std::cmp::Ordering {
    let floor = limit.floor();
    // Each floor within these bounds is an integer that i128 holds.
    let whole = if floor.abs() < 1e30 {
        floor as i128
    } else {
        return 0.0_f64.total_cmp(&limit);
    };
    let order = i128::from(value).cmp(&whole);
    if order.is_eq() && floor < limit { std::cmp::Ordering::Less } else { order }
}

/// Which limit a value is beyond, as messages say it.
fn beyond(field: &Field, order: impl Fn(f64) -> std::cmp::Ordering) -> String {
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

/// The cells of a record.
trait Cells {
    fn count(&self) -> usize;
    fn get(&self, position: usize) -> &[u8];
}

/// Cells that are where the index says.
struct Plain<'a> {
    block: &'a [u8],
    record: Record<'a>,
    end: usize,
}

impl Cells for Plain<'_> {
    #[inline(always)]
    fn count(&self) -> usize {
        self.record.marks.len()
    }

    #[inline(always)]
    fn get(&self, position: usize) -> &[u8] {
        let start = match position.checked_sub(1) {
            None => self.record.start,
            Some(before) => self.record.marks[before] + 1,
        };
        let end = (self.record.marks[position] as usize).min(self.end);
        trimmed(&self.block[start as usize..end])
    }
}

/// Cells that had to be copied.
struct Split(Vec<Vec<u8>>);

impl Cells for Split {
    fn count(&self) -> usize {
        self.0.len()
    }

    fn get(&self, position: usize) -> &[u8] {
        &self.0[position]
    }
}
