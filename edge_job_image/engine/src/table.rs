//! Rows in memory, column by column.

use std::cmp::Ordering;
use std::ops::Range;

use crate::strings::{Dictionary, NULL};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    String,
    Double,
    Long,
    Boolean,
    /// Bytes that are no text, held as strings are.
    #[serde(skip)]
    Binary,
    /// Microseconds since 1970, held as longs are.
    #[serde(skip)]
    Time,
}

/// The null of a column of doubles; no cell can hold a NaN of its own.
pub const NULL_DOUBLE: f64 = f64::NAN;
/// The null of a column of booleans.
pub const NULL_BOOLEAN: u8 = 2;

/// The values of a column, nulls among them.
pub enum Column {
    String { numbers: Vec<u32>, dictionary: Dictionary },
    Double(Vec<f64>),
    Long { values: Vec<i64>, valid: Vec<bool> },
    Boolean(Vec<u8>),
}

impl Column {
    pub fn new(kind: Kind) -> Self {
        match kind {
            Kind::String | Kind::Binary => {
                Self::String { numbers: vec![], dictionary: Dictionary::default() }
            }
            Kind::Double => Self::Double(vec![]),
            Kind::Long | Kind::Time => Self::Long { values: vec![], valid: vec![] },
            Kind::Boolean => Self::Boolean(vec![]),
        }
    }

    pub fn push_null(&mut self) {
        match self {
            Self::String { numbers, .. } => numbers.push(NULL),
            Self::Double(values) => values.push(NULL_DOUBLE),
            Self::Long { values, valid } => {
                values.push(0);
                valid.push(false);
            }
            Self::Boolean(values) => values.push(NULL_BOOLEAN),
        }
    }

    /// Takes the value of a row away.
    pub fn set_null(&mut self, row: usize) {
        match self {
            Self::String { numbers, .. } => numbers[row] = NULL,
            Self::Double(values) => values[row] = NULL_DOUBLE,
            Self::Long { valid, .. } => valid[row] = false,
            Self::Boolean(values) => values[row] = NULL_BOOLEAN,
        }
    }

    /// Forgets the rows from `length` on.
    pub fn truncate(&mut self, length: usize) {
        match self {
            Self::String { numbers, .. } => numbers.truncate(length),
            Self::Double(values) => values.truncate(length),
            Self::Long { values, valid } => {
                values.truncate(length);
                valid.truncate(length);
            }
            Self::Boolean(values) => values.truncate(length),
        }
    }

    fn clear(&mut self) {
        self.truncate(0);
        if let Self::String { dictionary, .. } = self {
            dictionary.clear();
        }
    }

    /// A column of the same kind without values.
    fn empty(&self) -> Self {
        match self {
            Self::String { .. } => Self::new(Kind::String),
            Self::Double(_) => Self::new(Kind::Double),
            Self::Long { .. } => Self::new(Kind::Long),
            Self::Boolean(_) => Self::new(Kind::Boolean),
        }
    }

    fn reserve_exact(&mut self, more: usize) {
        match self {
            Self::String { numbers, .. } => numbers.reserve_exact(more),
            Self::Double(values) => values.reserve_exact(more),
            Self::Long { values, valid } => {
                values.reserve_exact(more);
                valid.reserve_exact(more);
            }
            Self::Boolean(values) => values.reserve_exact(more),
        }
    }

    /// Appends values of a column of the same kind; strings get the numbers of a dictionary.
    pub fn extend(&mut self, other: &Self, rows: std::ops::Range<usize>, own: &mut Dictionary) {
        match (self, other) {
            (Self::String { numbers, .. }, Self::String { numbers: from, dictionary: names }) => {
                let renumber = |number: u32, own: &mut Dictionary| match number {
                    NULL => NULL,
                    number => own.number(names.get(number)),
                };
                if rows.len() < names.count() {
                    for &number in &from[rows] {
                        numbers.push(renumber(number, own));
                    }
                } else {
                    let known: Vec<u32> =
                        (0..names.count() as u32).map(|n| renumber(n, own)).collect();
                    let new = |&n: &u32| if n == NULL { NULL } else { known[n as usize] };
                    numbers.extend(from[rows].iter().map(new));
                }
            }
            (Self::Double(values), Self::Double(from)) => values.extend_from_slice(&from[rows]),
            (Self::Long { values, valid }, Self::Long { values: from, valid: are }) => {
                values.extend_from_slice(&from[rows.clone()]);
                valid.extend_from_slice(&are[rows]);
            }
            (Self::Boolean(values), Self::Boolean(from)) => values.extend_from_slice(&from[rows]),
            _ => unreachable!("columns of one plan have the same kinds"),
        }
    }

    /// Appends a value of the column's kind.
    pub fn push(&mut self, value: Value<'_>) {
        match (self, value) {
            (column, Value::Null) => column.push_null(),
            (Self::String { numbers, dictionary }, Value::String(text)) => {
                numbers.push(dictionary.number(text));
            }
            (Self::String { numbers, dictionary }, Value::Binary(bytes)) => {
                numbers.push(dictionary.append(bytes));
            }
            (Self::Double(values), Value::Double(value)) => values.push(value),
            (Self::Long { values, valid }, Value::Long(value)) => {
                values.push(value);
                valid.push(true);
            }
            (Self::Boolean(values), Value::Boolean(value)) => values.push(u8::from(value)),
            _ => unreachable!("columns of one plan have the same kinds"),
        }
    }

    /// The value of a row; strings have the numbers of a dictionary.
    pub fn value<'a>(&self, row: usize, dictionary: &'a Dictionary) -> Value<'a> {
        match self {
            Self::String { numbers, .. } if numbers[row] != NULL => {
                Value::String(dictionary.get(numbers[row]))
            }
            _ if self.is_null(row) => Value::Null,
            Self::Double(values) => Value::Double(values[row]),
            Self::Long { values, .. } => Value::Long(values[row]),
            Self::Boolean(values) => Value::Boolean(values[row] == 1),
            Self::String { .. } => Value::Null,
        }
    }

    /// The value of a row of a column with a dictionary of its own.
    pub fn own_value(&self, row: usize) -> Value<'_> {
        const NO_STRINGS: &Dictionary = &Dictionary::new();
        match self {
            Self::String { dictionary, .. } => self.value(row, dictionary),
            _ => self.value(row, NO_STRINGS),
        }
    }

    /// All values.
    pub fn view(&self) -> View<'_> {
        match self {
            Self::String { numbers, dictionary } => View::String(numbers, dictionary),
            Self::Double(values) => View::Double(values),
            Self::Long { values, valid } => View::Long(values, valid),
            Self::Boolean(values) => View::Boolean(values),
        }
    }

    fn memory(&self) -> usize {
        match self {
            Self::String { numbers, dictionary } => numbers.capacity() * 4 + dictionary.memory(),
            Self::Double(values) => values.capacity() * 8,
            Self::Long { values, valid } => values.capacity() * 8 + valid.capacity(),
            Self::Boolean(values) => values.capacity(),
        }
    }

    /// Whether the row has no value.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        match self {
            Self::String { numbers, .. } => numbers[row] == NULL,
            Self::Double(values) => values[row].is_nan(),
            Self::Long { valid, .. } => !valid[row],
            Self::Boolean(values) => values[row] == NULL_BOOLEAN,
        }
    }

    /// A number that tells equal values of this column from others; nulls are equal.
    #[inline]
    pub fn identity(&self, row: usize) -> u64 {
        match self {
            Self::String { numbers, .. } => u64::from(numbers[row]),
            // Zero and negative zero are one value.
            Self::Double(values) => (values[row] + 0.0).to_bits(),
            Self::Long { values, valid } => {
                if valid[row] {
                    values[row] as u64
                } else {
                    0x8000_dead_beef_0001
                }
            }
            Self::Boolean(values) => u64::from(values[row]),
        }
    }
}

/// One value. Null sorts before all others; zeros of either sign are equal.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub enum Value<'a> {
    Null,
    String(&'a [u8]),
    /// Bytes of a new value that are hardly those of another: nobody looks whether they are.
    Binary(&'a [u8]),
    Double(f64),
    Long(i64),
    Boolean(bool),
}

impl Value<'_> {
    /// The order of two values of one kind.
    pub fn order(self, other: Value<'_>) -> Ordering {
        // Every two values can be compared: there are no NaNs.
        self.partial_cmp(&other).unwrap_or(Ordering::Equal)
    }
}

/// Values of a column; strings as numbers of a dictionary.
#[derive(Clone, Copy)]
pub enum View<'a> {
    String(&'a [u32], &'a Dictionary),
    Double(&'a [f64]),
    Long(&'a [i64], &'a [bool]),
    Boolean(&'a [u8]),
}

impl View<'_> {
    /// The values of some rows.
    pub fn rows(self, rows: Range<usize>) -> Self {
        match self {
            Self::String(numbers, dictionary) => Self::String(&numbers[rows], dictionary),
            Self::Double(values) => Self::Double(&values[rows]),
            Self::Long(values, valid) => Self::Long(&values[rows.clone()], &valid[rows]),
            Self::Boolean(values) => Self::Boolean(&values[rows]),
        }
    }
}

/// Rows with their times (microseconds since 1970, UTC).
pub struct Table {
    pub times: Vec<i64>,
    pub columns: Vec<Column>,
}

impl Table {
    pub fn new(kinds: impl IntoIterator<Item = Kind>) -> Self {
        Self { times: vec![], columns: kinds.into_iter().map(Column::new).collect() }
    }

    pub const fn len(&self) -> usize {
        self.times.len()
    }

    pub const fn is_empty(&self) -> bool {
        self.times.is_empty()
    }

    /// Forgets the rows from `length` on, whole or half-written.
    pub fn truncate(&mut self, length: usize) {
        self.times.truncate(length);
        self.columns.iter_mut().for_each(|column| column.truncate(length));
    }

    pub fn clear(&mut self) {
        self.times.clear();
        self.columns.iter_mut().for_each(Column::clear);
    }

    /// A table with the same columns and no rows.
    pub fn empty(&self) -> Self {
        Self { times: vec![], columns: self.columns.iter().map(Column::empty).collect() }
    }

    /// Makes room for so many rows in all.
    pub fn reserve_exact(&mut self, rows: usize) {
        let more = rows.saturating_sub(self.times.len());
        self.times.reserve_exact(more);
        self.columns.iter_mut().for_each(|column| column.reserve_exact(more));
    }

    /// Appends a row of a table with the same columns.
    pub fn push(&mut self, other: &Self, row: usize) {
        self.times.push(other.times[row]);
        for (column, from) in self.columns.iter_mut().zip(&other.columns) {
            column.push(from.own_value(row));
        }
    }

    /// The memory taken, in bytes.
    pub fn memory(&self) -> usize {
        self.times.capacity() * 8 + self.columns.iter().map(Column::memory).sum::<usize>()
    }
}
