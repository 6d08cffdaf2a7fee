//! Lines that are as they should be, read in one pass. All others are left to `clean`, which knows
//! what is wrong with them: so nothing here has to say why.

use crate::cells::MAX_LINE;
use crate::nulls::Nulls;
use crate::number;
use crate::plan::{Dialect, Field, Plan};
use crate::recent::Recent;
use crate::scan::Marks;
use crate::table::{Column, Kind, NULL_DOUBLE, Table};
use crate::timestamp;

/// What becomes of a column of a file.
enum Role<'a> {
    Ignored,
    Time,
    /// One of the cells that make the time together, by its place among them.
    TimePart(usize),
    Field(usize, &'a Field),
    /// A field of doubles.
    Double(usize, Box<Doubles<'a>>),
    /// Must be empty.
    Nothing,
}

/// A field, its limits at hand, and what of its cells a row may have.
struct Doubles<'a> {
    field: &'a Field,
    least: f64,
    most: f64,
    recent: Option<Recent>,
}

impl<'a> Doubles<'a> {
    fn new(field: &'a Field, recent: Option<Recent>) -> Self {
        let (least, most) = field.limits();
        Self { field, least, most, recent }
    }

    /// The value that a cell most likely is, and where it ends; None when it is to be looked at.
    #[inline(always)]
    fn quick(&mut self, block: &[u8], at: usize, mark: u8, until: u8) -> Option<(f64, usize)> {
        if let Some(known) = self.recent.as_ref().and_then(|recent| recent.find(block, at)) {
            return Some(known);
        }
        let (value, end) = number::short(block, at, mark, until)?;
        // A null value that is a number is among the ranges.
        let value = if !self.field.means_null(value) {
            Some(value).filter(|&value| self.least <= value && value <= self.most)?
        } else if self.field.missing.is_none() {
            NULL_DOUBLE
        } else {
            return None;
        };
        if let Some(recent) = &mut self.recent {
            recent.put(block, at, value);
        }
        Some((value, end))
    }
}

/// The most fields whose cells are remembered: half a megabyte for each block at work, which the
/// cache of a core holds; a file with many more columns has few rows to a block that could be alike.
const REMEMBERED: usize = 16;
/// The most cells that make the time together.
const PARTS: usize = 4;

/// The columns of a file in their order, each with what ends its cells.
pub struct Lines<'a> {
    columns: Vec<(Role<'a>, u8)>,
    /// Fields that the file does not have.
    absent: Vec<usize>,
    /// How many cells make the time together; none where it is one.
    parts: usize,
    cells: Cells<'a>,
}

/// What cells are like.
struct Cells<'a> {
    marks: Marks,
    decimal: u8,
    /// The same of a cell without quotes; where it is the delimiter there is none: NUL, which no
    /// text has.
    mark: u8,
    /// What means that a row has no time.
    nulls: &'a Nulls,
}

impl<'a> Lines<'a> {
    /// None when one column is two things of the schema.
    pub fn new(plan: &'a Plan, dialect: &Dialect) -> Option<Self> {
        let delimiter = dialect.delimiter as u8;
        let last = dialect.columns.len().checked_sub(1)?;
        let named = last + 1 - dialect.extra;
        if dialect.times.len() > PARTS {
            return None;
        }
        let mut columns = Vec::with_capacity(last + 1);
        let mut doubles = 0;
        for at in 0..=last {
            let until = if at == last { b'\n' } else { delimiter };
            let mut roles = plan
                .fields
                .iter()
                .enumerate()
                .filter(|(number, _)| dialect.fields[*number] == Some(at))
                .map(|(number, field)| match field.kind {
                    Kind::Double => {
                        doubles += 1;
                        let recent = (doubles <= REMEMBERED).then(|| Recent::new(until));
                        Role::Double(number, Box::new(Doubles::new(field, recent)))
                    }
                    _ => Role::Field(number, field),
                })
                .chain(dialect.times.iter().enumerate().filter(|(_, time)| **time == at).map(
                    |(part, _)| {
                        if dialect.times.len() == 1 { Role::Time } else { Role::TimePart(part) }
                    },
                ))
                .chain((at >= named).then_some(Role::Nothing));
            let role = roles.next().unwrap_or(Role::Ignored);
            if roles.next().is_some() {
                return None;
            }
            columns.push((role, until));
        }
        let absent = (0..plan.fields.len()).filter(|&field| dialect.fields[field].is_none());
        Some(Self {
            columns,
            absent: absent.collect(),
            parts: if dialect.times.len() > 1 { dialect.times.len() } else { 0 },
            cells: Cells {
                marks: Marks::new(delimiter),
                decimal: dialect.decimal as u8,
                mark: if dialect.decimal == dialect.delimiter { 0 } else { dialect.decimal as u8 },
                nulls: &plan.nulls,
            },
        })
    }

    /// Appends the row of the line that begins at a position; returns where the next one begins.
    ///
    /// None when the line is not simply a clean row: then some of its values may be in the table.
    #[inline]
    pub fn read(
        &mut self,
        block: &[u8],
        start: usize,
        times: &mut timestamp::Parser<'_>,
        rows: &mut Table,
    ) -> Option<usize> {
        let mut at = start;
        let mut time = 0;
        let mut parts: [&[u8]; PARTS] = [&[]; PARTS];
        let cells = &self.cells;
        for (role, until) in &mut self.columns {
            let end = match role {
                Role::Ignored => cells.cell(block, at, *until)?.1,
                Role::Time => match times.quick(block, at, *until) {
                    Some((quick, end)) => {
                        time = quick;
                        end
                    }
                    None => {
                        let (cell, end) = cells.some(block, at, *until)?;
                        time = times.parse(cell).ok()?;
                        end
                    }
                },
                Role::TimePart(part) => {
                    let (cell, end) = cells.some(block, at, *until)?;
                    parts[*part] = cell;
                    end
                }
                Role::Nothing => {
                    cells.cell(block, at, *until).filter(|(cell, _)| cell.is_empty())?.1
                }
                Role::Field(number, field) => {
                    let column = &mut rows.columns[*number];
                    match guess(block, at, *until, column) {
                        Some(end) => end,
                        None => cells.value(block, at, *until, field, column)?,
                    }
                }
                Role::Double(number, doubles) => {
                    let column = &mut rows.columns[*number];
                    let quick = doubles.quick(block, at, cells.mark, *until);
                    match (quick, &mut *column) {
                        (Some((value, end)), Column::Double(values)) => {
                            values.push(value);
                            end
                        }
                        _ => cells.value(block, at, *until, doubles.field, column)?,
                    }
                }
            };
            at = end + 1;
        }
        if at - 1 - start > MAX_LINE {
            return None;
        }
        if self.parts > 0 {
            time = times.parse(&parts[..self.parts].join(&b' ')).ok()?;
        }
        for &field in &self.absent {
            rows.columns[field].push_null();
        }
        rows.times.push(time);
        Some(at)
    }
}

impl Cells<'_> {
    /// A cell and where it ends, if that is where the byte `until` is.
    #[inline(always)]
    fn cell<'b>(&self, block: &'b [u8], at: usize, until: u8) -> Option<(&'b [u8], usize)> {
        self.marks.cell(block, at).filter(|&(_, end)| block[end] == until)
    }

    /// A cell that is not null.
    #[inline(always)]
    fn some<'b>(&self, block: &'b [u8], at: usize, until: u8) -> Option<(&'b [u8], usize)> {
        self.cell(block, at, until).filter(|(cell, _)| !self.nulls.contain(cell))
    }

    fn value(
        &self,
        block: &[u8],
        at: usize,
        until: u8,
        field: &Field,
        column: &mut Column,
    ) -> Option<usize> {
        let (cell, end) = self.cell(block, at, until)?;
        if field.nulls.contain(cell) {
            if field.missing.is_some() {
                return None;
            }
            column.push_null();
            return Some(end);
        }
        match column {
            Column::Double(values) => {
                let value = number::double(cell, self.decimal)?;
                values.push(Some(value).filter(|&v| field.holds(v) && !field.means_null(v))?);
            }
            // What is quoted can be what no cell is that is not.
            Column::String { numbers, dictionary } => numbers.push(match block[at] {
                b'"' => dictionary.find(cell),
                _ => dictionary.number(cell),
            }),
            Column::Long { values, valid } => {
                let value = number::long(cell)?;
                values.push(
                    Some(value).filter(|&v| field.holds_long(v) && !field.means_null_long(v))?,
                );
                valid.push(true);
            }
            Column::Boolean(values) => values.push(u8::from(number::boolean(cell)?)),
        }
        Some(end)
    }
}

/// Appends the string that a cell most likely is; None when it is to be looked at.
#[inline(always)]
fn guess(block: &[u8], at: usize, until: u8, column: &mut Column) -> Option<usize> {
    let Column::String { numbers, dictionary } = column else { return None };
    let (number, end) = dictionary.guess(block, at, until)?;
    numbers.push(number);
    Some(end)
}
