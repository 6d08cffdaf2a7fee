//! Lines that are as they should be, read in one pass. All others are left to `clean`, which knows
//! what is wrong with them: so nothing here has to say why.

use crate::cells::MAX_LINE;
use crate::header::{Header, Layout};
use crate::nulls::Nulls;
use crate::number;
use crate::plan::{Field, Plan};
use crate::scan::Marks;
use crate::table::{Column, NULL_DOUBLE, Table};
use crate::timestamp;

/// What becomes of a column of a file.
enum Role<'a> {
    Ignored,
    Time,
    Field(usize, &'a Field),
}

/// The columns of a file in their order, each with what ends its cells.
pub struct Lines<'a> {
    columns: Vec<(Role<'a>, u8)>,
    /// Fields that the file does not have.
    absent: Vec<usize>,
    marks: Marks,
    decimal: u8,
    /// What means that a row has no time.
    nulls: &'a Nulls,
}

impl<'a> Lines<'a> {
    /// None when one column is two things of the schema.
    pub fn new(plan: &'a Plan, header: &Header, layout: &Layout) -> Option<Self> {
        let last = header.columns.len() - 1;
        let mut columns = Vec::with_capacity(last + 1);
        for at in 0..=last {
            let mut roles = plan
                .fields
                .iter()
                .enumerate()
                .filter(|(number, _)| layout.fields[*number] == Some(at))
                .map(|(number, field)| Role::Field(number, field))
                .chain((layout.timestamp == at).then_some(Role::Time));
            let role = roles.next().unwrap_or(Role::Ignored);
            if roles.next().is_some() {
                return None;
            }
            columns.push((role, if at == last { b'\n' } else { header.delimiter }));
        }
        let absent = (0..plan.fields.len()).filter(|&field| layout.fields[field].is_none());
        Some(Self {
            columns,
            absent: absent.collect(),
            marks: Marks::new(header.delimiter),
            decimal: plan.decimal as u8,
            nulls: &plan.nulls,
        })
    }

    /// Appends the row of the line that begins at a position; returns where the next one begins.
    ///
    /// None when the line is not simply a clean row: then some of its values may be in the table.
    #[inline]
    pub fn read(
        &self,
        block: &[u8],
        start: usize,
        times: &mut timestamp::Parser<'_>,
        rows: &mut Table,
    ) -> Option<usize> {
        let mut at = start;
        let mut time = 0;
        for (role, until) in &self.columns {
            let end = match role {
                Role::Ignored => self.marks.cell(block, at)?.1,
                Role::Time => match times.quick(block, at, *until) {
                    Some((quick, end)) => {
                        time = quick;
                        end
                    }
                    None => {
                        let (cell, end) = self.some(block, at)?;
                        time = times.parse(cell).ok()?;
                        end
                    }
                },
                Role::Field(number, field) => {
                    self.value(block, at, *until, field, &mut rows.columns[*number])?
                }
            };
            if block[end] != *until {
                return None;
            }
            at = end + 1;
        }
        if at - 1 - start > MAX_LINE {
            return None;
        }
        for &field in &self.absent {
            rows.columns[field].push_null();
        }
        rows.times.push(time);
        Some(at)
    }

    /// A cell that is not null.
    #[inline(always)]
    fn some<'b>(&self, block: &'b [u8], at: usize) -> Option<(&'b [u8], usize)> {
        self.marks.cell(block, at).filter(|(cell, _)| !self.nulls.contain(cell))
    }

    #[inline(always)]
    fn value(
        &self,
        block: &[u8],
        at: usize,
        until: u8,
        field: &Field,
        column: &mut Column,
    ) -> Option<usize> {
        if let Column::Double(values) = column
            && let Some((value, end)) = number::short(block, at, self.decimal, until)
        {
            // A null value that is a number is among the ranges.
            if field.means_null(value) {
                values.push(NULL_DOUBLE);
                return field.missing.is_none().then_some(end);
            }
            values.push(value);
            return field.holds(value).then_some(end);
        }
        let (cell, end) = self.marks.cell(block, at)?;
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
            Column::String { numbers, dictionary } => numbers.push(dictionary.number(cell)),
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
