//! Statistics of windows of time, for each group and numeric field.

use std::collections::HashMap;

use crate::exact::State;
use crate::order::compare;
use crate::plan::Plan;
use crate::strings::NULL;
use crate::table::{Column, Kind, Table};

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
            values: vec![],
            start: None,
            closed: Table::new(kinds(plan)),
        }
    }

    /// Takes rows of a table in their order.
    pub fn add(&mut self, table: &Table, order: &[u32]) {
        let mut known = Known::new(table, &self.group_by);
        let mut slots = Vec::new();
        let mut rest = order;
        while let Some(&first) = rest.first() {
            let start = table.times[first as usize].div_euclid(self.width) * self.width;
            if self.start != Some(start) {
                self.close();
                known.forget();
                self.start = Some(start);
            }
            let end = start.saturating_add(self.width);
            let length = rest.partition_point(|&row| table.times[row as usize] < end);
            let (window, after) = rest.split_at(length);
            rest = after;
            slots.clear();
            slots.extend(window.iter().map(|&row| self.slot(table, row as usize, &mut known)));
            self.take(table, window, &slots);
        }
    }

    fn take(&mut self, table: &Table, window: &[u32], slots: &[u32]) {
        let width = self.numeric.len();
        for (nth, (field, _)) in self.numeric.iter().enumerate() {
            let places = slots.iter().map(|&slot| slot as usize * width + nth);
            match &table.columns[*field] {
                Column::Double(values) => {
                    for (&row, place) in window.iter().zip(places) {
                        let value = values[row as usize];
                        if !value.is_nan() {
                            self.values[place].push(value);
                        }
                    }
                }
                Column::Long { values, valid } => {
                    for (&row, place) in window.iter().zip(places) {
                        if valid[row as usize] {
                            self.values[place].push(values[row as usize] as f64);
                        }
                    }
                }
                _ => unreachable!("numeric columns are doubles or longs"),
            }
        }
    }

    /// The slot of a row's group.
    #[inline]
    fn slot(&mut self, table: &Table, row: usize, known: &mut Known<'_>) -> u32 {
        if let Some(slot) = known.slot(row) {
            return slot;
        }
        let slot = self.find_slot(table, row);
        known.remember(row, slot);
        slot
    }

    fn find_slot(&mut self, table: &Table, row: usize) -> u32 {
        // The group's values as the numbers that they have in the table of groups.
        let before = self.groups.len();
        self.groups.times.push(0);
        for (column, &field) in self.groups.columns.iter_mut().zip(&self.group_by) {
            column.extend(&table.columns[field], row..row + 1);
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
            self.values.clear();
        }
    }
}

fn push(closed: &mut Table, start: i64, groups: &Table, slot: usize, name: &str, state: State) {
    closed.times.push(start);
    let (of_group, own) = closed.columns.split_at_mut(groups.columns.len());
    for (column, group) in of_group.iter_mut().zip(&groups.columns) {
        column.extend(group, slot..slot + 1);
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

/// The slots of groups that have been found for a table's rows, where a string makes the group.
enum Known<'a> {
    One(u32),
    ByString(&'a [u32], Vec<u32>),
    No,
}

impl<'a> Known<'a> {
    fn new(table: &'a Table, group_by: &[usize]) -> Self {
        match group_by {
            [] => Self::One(NULL),
            [field] => match &table.columns[*field] {
                Column::String { numbers, dictionary } => {
                    Self::ByString(numbers, vec![NULL; dictionary.count()])
                }
                _ => Self::No,
            },
            _ => Self::No,
        }
    }

    #[inline(always)]
    fn slot(&self, row: usize) -> Option<u32> {
        let slot = match self {
            Self::One(slot) => *slot,
            Self::ByString(numbers, slots) => *slots.get(numbers[row] as usize)?,
            Self::No => NULL,
        };
        (slot != NULL).then_some(slot)
    }

    fn remember(&mut self, row: usize, slot: u32) {
        match self {
            Self::One(known) => *known = slot,
            Self::ByString(numbers, slots) => {
                if let Some(known) = slots.get_mut(numbers[row] as usize) {
                    *known = slot;
                }
            }
            Self::No => {}
        }
    }

    fn forget(&mut self) {
        match self {
            Self::One(slot) => *slot = NULL,
            Self::ByString(_, slots) => slots.fill(NULL),
            Self::No => {}
        }
    }
}
