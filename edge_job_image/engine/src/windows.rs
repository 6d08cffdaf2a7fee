//! Statistics of windows of time, for each group and numeric field.

use std::collections::HashMap;

use crate::exact::State;
use crate::order::compare;
use crate::plan::Plan;
use crate::rows::{Gathered, Rows};
use crate::strings::NULL;
use crate::table::{Column, Kind, Table, View};

/// Collects the values of one window at a time; the rows must come in the order of time.
///
/// The values of the open window are in memory, 8 bytes each, so that mean and m2 are exact to
/// the last digit.
pub struct Windows {
    width: i64,
    /// Fields by position: those that make groups, and the numeric ones with their names.
    group_by: Vec<usize>,
    numeric: Vec<(usize, String)>,
    /// The group of each slot, as a row of this table.
    groups: Table,
    slots: HashMap<Vec<u64>, usize>,
    /// The slot of each number of a string that makes groups alone, as far as it is known.
    known: Vec<u32>,
    /// The slot of each row that is being taken.
    of_rows: Vec<u32>,
    gathered: Gathered,
    /// The values of the open window: of each slot, of each numeric field.
    values: Vec<Vec<f64>>,
    start: Option<i64>,
    /// Features of closed windows: groups, field, count, mean, m2, min, max.
    pub closed: Table,
}

/// The kinds of the columns of features behind their window's start.
pub fn kinds(plan: &Plan) -> Vec<Kind> {
    let groups = plan.features.group_by.iter().map(|&field| plan.fields[field].kind);
    let own = [Kind::String, Kind::Long, Kind::Double, Kind::Double, Kind::Double, Kind::Double];
    groups.chain(own).collect()
}

/// Slots that are kept from window to window; with more of them they are found anew.
const KEPT_SLOTS: usize = 4_096;

impl Windows {
    pub fn new(plan: &Plan) -> Self {
        let numeric = |(at, field): (usize, &crate::plan::Field)| {
            matches!(field.kind, Kind::Double | Kind::Long).then(|| (at, field.name.clone()))
        };
        let group_by = plan.features.group_by.clone();
        Self {
            width: plan.features.window,
            groups: Table::new(group_by.iter().map(|&field| plan.fields[field].kind)),
            group_by,
            numeric: plan.fields.iter().enumerate().filter_map(numeric).collect(),
            slots: HashMap::new(),
            known: vec![],
            of_rows: vec![],
            gathered: Gathered::default(),
            values: vec![],
            start: None,
            closed: Table::new(kinds(plan)),
        }
    }

    /// Takes rows in their order, which is that of time.
    pub fn add(&mut self, rows: &Rows, order: &[u32]) {
        self.known.clear();
        let mut rest = order;
        while let Some(&first) = rest.first() {
            let start = rows.time(first).div_euclid(self.width) * self.width;
            if self.start != Some(start) {
                self.close();
                self.start = Some(start);
            }
            let end = start.saturating_add(self.width);
            let length = rest.partition_point(|&row| rows.time(row) < end);
            let (window, after) = rest.split_at(length);
            rest = after;
            self.find_slots(rows, window);
            self.take(rows, window);
        }
    }

    /// Finds the slot of each row.
    fn find_slots(&mut self, rows: &Rows, window: &[u32]) {
        let mut slots = std::mem::take(&mut self.of_rows);
        slots.clear();
        let mut gathered = std::mem::take(&mut self.gathered);
        match *self.group_by {
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

    fn take(&mut self, rows: &Rows, window: &[u32]) {
        let width = self.numeric.len();
        for (nth, (field, _)) in self.numeric.iter().enumerate() {
            let places = self.of_rows.iter().map(|&slot| slot as usize * width + nth);
            match rows.gather(*field, window, &mut self.gathered) {
                View::Double(values) => {
                    for (&value, place) in values.iter().zip(places) {
                        if !value.is_nan() {
                            self.values[place].push(value);
                        }
                    }
                }
                View::Long(values, valid) => {
                    for ((&value, &valid), place) in values.iter().zip(valid).zip(places) {
                        if valid {
                            self.values[place].push(value as f64);
                        }
                    }
                }
                _ => unreachable!("numeric columns are doubles or longs"),
            }
        }
    }

    fn find_slot(&mut self, rows: &Rows, row: u32) -> u32 {
        // The group's values as the numbers that they have in the table of groups.
        let before = self.groups.len();
        self.groups.times.push(0);
        for (column, &field) in self.groups.columns.iter_mut().zip(&self.group_by) {
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
        let key: Vec<usize> = (0..self.group_by.len()).collect();
        order.sort_by(|&a, &b| compare(&self.groups, a, &self.groups, b, &key));
        let width = self.numeric.len();
        for slot in order {
            for (nth, (_, name)) in self.numeric.iter().enumerate() {
                let values = &mut self.values[slot * width + nth];
                if let Some(state) = State::of(values) {
                    values.clear();
                    push(&mut self.closed, start, &self.groups, slot, name, state);
                }
            }
        }
        if self.groups.len() > KEPT_SLOTS {
            self.groups.clear();
            self.slots.clear();
            self.known.clear();
            self.values.clear();
        }
    }
}

fn push(closed: &mut Table, start: i64, groups: &Table, slot: usize, name: &str, state: State) {
    closed.times.push(start);
    let (of_group, own) = closed.columns.split_at_mut(groups.columns.len());
    for (column, group) in of_group.iter_mut().zip(&groups.columns) {
        column.push(group.own_value(slot));
    }
    let numbers = [state.mean, state.m2, state.min, state.max];
    let mut doubles = numbers.into_iter();
    for column in own {
        match column {
            Column::String { numbers, dictionary } => {
                numbers.push(dictionary.number(name.as_bytes()));
            }
            Column::Long { values, valid } => {
                values.push(state.count);
                valid.push(true);
            }
            Column::Double(values) => values.extend(doubles.next()),
            Column::Boolean(_) => unreachable!("features have no boolean of their own"),
        }
    }
}
