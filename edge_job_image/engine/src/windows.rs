//! Statistics of windows of time, for each group and numeric field.

use std::collections::HashMap;

use crate::order::compare;
use crate::plan::{Features, Field, Plan};
use crate::rows::{Gathered, Rows};
use crate::strings::NULL;
use crate::summary::{self, Ends, Scratch, summarize};
use crate::table::{Kind, Table, Value, View};

/// Collects the values of one window at a time; the rows must come in the order of time.
///
/// The values of the open window are in memory, 8 bytes each, so that mean and m2 are exact to
/// the last digit.
pub struct Windows<'a> {
    features: &'a Features,
    /// The numeric fields, by position.
    numeric: Vec<(usize, &'a Field)>,
    /// The group of each slot, as a row of this table.
    groups: Table,
    slots: HashMap<Vec<u64>, usize>,
    /// The slot of each number of a string that makes groups alone, as far as it is known.
    known: Vec<u32>,
    /// The slot of each row that is being taken.
    of_rows: Vec<u32>,
    /// These rows, slot by slot, and where those of each slot end.
    grouped: Vec<u32>,
    ends_of_slots: Vec<u32>,
    gathered: Gathered,
    /// The values of the open window: of each slot, of each numeric field.
    values: Vec<Vec<f64>>,
    /// The first and last of them, where that is asked for.
    ends: Vec<Option<Ends>>,
    start: Option<i64>,
    /// Features of closed windows: the groups, then the columns of `summary`.
    pub closed: Table,
    /// Memory that is kept from window to window.
    scratch: Scratch,
}

/// The names and kinds of the columns of features behind their window's start.
pub fn columns(plan: &Plan) -> Vec<(String, Kind)> {
    let fields = plan.features.group_by.iter().map(|&field| &plan.fields[field]);
    let groups = fields.map(|field| (field.name.clone(), field.kind));
    groups.chain(summary::columns(&plan.features)).collect()
}

/// Slots that are kept from window to window; with more of them they are found anew.
const KEPT_SLOTS: usize = 4_096;

impl<'a> Windows<'a> {
    pub fn new(plan: &'a Plan) -> Self {
        let is_numeric = |field: &Field| matches!(field.kind, Kind::Double | Kind::Long);
        let numeric = plan.fields.iter().enumerate().filter(|(_, field)| is_numeric(field));
        let group_by = &plan.features.group_by;
        Self {
            features: &plan.features,
            groups: Table::new(group_by.iter().map(|&field| plan.fields[field].kind)),
            numeric: numeric.collect(),
            slots: HashMap::new(),
            known: vec![],
            of_rows: vec![],
            grouped: vec![],
            ends_of_slots: vec![],
            gathered: Gathered::default(),
            values: vec![],
            ends: vec![],
            start: None,
            closed: Table::new(columns(plan).into_iter().map(|(_, kind)| kind)),
            scratch: Scratch::default(),
        }
    }

    /// Takes rows in their order, which is that of time.
    pub fn add(&mut self, rows: &Rows, order: &[u32]) {
        self.known.clear();
        let mut rest = order;
        while let Some(&first) = rest.first() {
            let start = rows.time(first).div_euclid(self.features.window) * self.features.window;
            if self.start != Some(start) {
                self.close();
                self.start = Some(start);
            }
            let end = start.saturating_add(self.features.window);
            let length = rest.partition_point(|&row| rows.time(row) < end);
            let (window, after) = rest.split_at(length);
            rest = after;
            self.find_slots(rows, window);
            self.group(window);
            self.take(rows);
            if self.features.first || self.features.last {
                self.take_ends(rows, window);
            }
        }
    }

    /// Finds the slot of each row.
    fn find_slots(&mut self, rows: &Rows, window: &[u32]) {
        let mut slots = std::mem::take(&mut self.of_rows);
        slots.clear();
        let mut gathered = std::mem::take(&mut self.gathered);
        match *self.features.group_by {
            [] => {
                let slot = self.find_slot(rows, window[0]);
                slots.resize(window.len(), slot);
            }
            [field]
                if let View::String(numbers, names) = rows.gather(field, window, &mut gathered) =>
            {
                self.known.resize(names.count(), NULL);
                for (&row, &number) in window.iter().zip(numbers) {
                    slots.push(match self.known.get(number as usize) {
                        Some(&slot) if slot != NULL => slot,
                        _ => {
                            let slot = self.find_slot(rows, row);
                            if let Some(known) = self.known.get_mut(number as usize) {
                                *known = slot;
                            }
                            slot
                        }
                    });
                }
            }
            _ => slots.extend(window.iter().map(|&row| self.find_slot(rows, row))),
        }
        self.of_rows = slots;
        self.gathered = gathered;
    }

    /// Puts the rows of each slot together: so each field's values are gathered slot by slot.
    fn group(&mut self, window: &[u32]) {
        let ends = &mut self.ends_of_slots;
        ends.clear();
        ends.resize(self.groups.len(), 0);
        self.of_rows.iter().for_each(|&slot| ends[slot as usize] += 1);
        let mut total = 0;
        for end in ends.iter_mut() {
            // Where the slot begins; it becomes its end while rows are dealt out.
            let count = std::mem::replace(end, total);
            total += count;
        }
        self.grouped.clear();
        self.grouped.resize(window.len(), 0);
        for (&row, &slot) in window.iter().zip(&self.of_rows) {
            let end = &mut ends[slot as usize];
            self.grouped[*end as usize] = row;
            *end += 1;
        }
    }

    fn take(&mut self, rows: &Rows) {
        let width = self.numeric.len();
        for (nth, (field, _)) in self.numeric.iter().enumerate() {
            let view = rows.gather(*field, &self.grouped, &mut self.gathered);
            let mut begin = 0;
            for (slot, &end) in self.ends_of_slots.iter().enumerate() {
                let of_slot = begin..end as usize;
                begin = end as usize;
                let all = &mut self.values[slot * width + nth];
                match view {
                    View::Double(values) => {
                        let values = &values[of_slot];
                        if values.iter().any(|value| value.is_nan()) {
                            all.extend(values.iter().filter(|value| !value.is_nan()));
                        } else {
                            all.extend_from_slice(values);
                        }
                    }
                    View::Long(values, valid) => {
                        let values = values[of_slot.clone()].iter().zip(&valid[of_slot]);
                        let some = values.filter(|(_, valid)| **valid);
                        all.extend(some.map(|(&value, _)| value as f64));
                    }
                    _ => unreachable!("numeric columns are doubles or longs"),
                }
            }
        }
    }

    fn take_ends(&mut self, rows: &Rows, window: &[u32]) {
        let width = self.numeric.len();
        for (nth, (field, _)) in self.numeric.iter().enumerate() {
            for (&row, &slot) in window.iter().zip(&self.of_rows) {
                let value = match rows.value(*field, row) {
                    Value::Double(value) => value,
                    Value::Long(value) => value as f64,
                    _ => continue,
                };
                Ends::add(&mut self.ends[slot as usize * width + nth], rows.time(row), value);
            }
        }
    }

    fn find_slot(&mut self, rows: &Rows, row: u32) -> u32 {
        // The group's values as the numbers that they have in the table of groups.
        let before = self.groups.len();
        self.groups.times.push(0);
        for (column, &field) in self.groups.columns.iter_mut().zip(&self.features.group_by) {
            column.push(rows.value(field, row));
        }
        let identity: Vec<u64> = self
            .groups
            .columns
            .iter()
            .flat_map(|c| [u64::from(c.is_null(before)), c.identity(before)])
            .collect();
        let slot = *self.slots.entry(identity).or_insert(before);
        if slot == before {
            let needed = (before + 1) * self.numeric.len();
            self.values.resize_with(needed.max(self.values.len()), Vec::new);
            self.ends.resize(needed.max(self.ends.len()), None);
        } else {
            self.groups.truncate(before);
        }
        slot as u32
    }

    /// Ends the open window.
    pub fn close(&mut self) {
        let Some(start) = self.start.take() else {
            return;
        };
        let mut order: Vec<usize> = (0..self.groups.len()).collect();
        let key: Vec<usize> = (0..self.features.group_by.len()).collect();
        order.sort_by(|&a, &b| compare(&self.groups, a, &self.groups, b, &key));
        let width = self.numeric.len();
        for slot in order {
            for (nth, (_, field)) in self.numeric.iter().enumerate() {
                let place = slot * width + nth;
                let values = &mut self.values[place];
                let ends = self.ends[place].take();
                let Table { times, columns } = &mut self.closed;
                let (groups, own) = columns.split_at_mut(self.groups.columns.len());
                let mut own = own.iter_mut();
                let about = (field.name.as_str(), field.circular);
                summarize(self.features, about, values, ends, &mut self.scratch, |value| {
                    own.next().expect("there is a column for each").push(value);
                });
                if !values.is_empty() {
                    values.clear();
                    times.push(start);
                    for (column, group) in groups.iter_mut().zip(&self.groups.columns) {
                        column.push(group.own_value(slot));
                    }
                }
            }
        }
        if self.groups.len() > KEPT_SLOTS {
            self.groups.clear();
            self.slots.clear();
            self.known.clear();
            self.values.clear();
            self.ends.clear();
        }
    }
}
