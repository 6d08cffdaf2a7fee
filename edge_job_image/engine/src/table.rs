//! Rows in memory, column by column.

use crate::strings::{Dictionary, NULL};

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    String,
    Double,
    Long,
    Boolean,
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
            Kind::String => Self::String { numbers: vec![], dictionary: Dictionary::default() },
            Kind::Double => Self::Double(vec![]),
            Kind::Long => Self::Long { values: vec![], valid: vec![] },
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

    /// Appends rows of a column of the same kind.
    pub fn extend(&mut self, other: &Self, rows: std::ops::Range<usize>) {
        let more = rows.len();
        match (self, other) {
            (
                Self::String { numbers, dictionary },
                Self::String { numbers: from, dictionary: names },
            ) => {
                make_room(numbers, more);
                let renumber = |number: u32, dictionary: &mut Dictionary| match number {
                    NULL => NULL,
                    number => dictionary.number(names.get(number)),
                };
                if rows.len() < names.count() {
                    for &number in &from[rows] {
                        numbers.push(renumber(number, dictionary));
                    }
                } else {
                    let known: Vec<u32> =
                        (0..names.count() as u32).map(|n| renumber(n, dictionary)).collect();
                    let new = |&n: &u32| if n == NULL { NULL } else { known[n as usize] };
                    numbers.extend(from[rows].iter().map(new));
                }
            }
            (Self::Double(values), Self::Double(from)) => {
                make_room(values, more);
                values.extend_from_slice(&from[rows]);
            }
            (Self::Long { values, valid }, Self::Long { values: from, valid: are }) => {
                make_room(values, more);
                make_room(valid, more);
                values.extend_from_slice(&from[rows.clone()]);
                valid.extend_from_slice(&are[rows]);
            }
            (Self::Boolean(values), Self::Boolean(from)) => {
                make_room(values, more);
                values.extend_from_slice(&from[rows]);
            }
            _ => unreachable!("columns of one plan have the same kinds"),
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

/// Makes room for more values. What a bucket takes beyond its rows counts as much as they do: a
/// quarter more of it is enough, where a vector would double itself.
fn make_room<T>(values: &mut Vec<T>, more: usize) {
    if values.capacity() - values.len() < more {
        values.reserve_exact(more.max(values.len() / 4));
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

    /// Appends rows of a table with the same columns.
    pub fn extend(&mut self, other: &Self, rows: std::ops::Range<usize>) {
        make_room(&mut self.times, rows.len());
        self.times.extend_from_slice(&other.times[rows.clone()]);
        for (column, from) in self.columns.iter_mut().zip(&other.columns) {
            column.extend(from, rows.clone());
        }
    }

    /// The memory taken, in bytes.
    pub fn memory(&self) -> usize {
        self.times.capacity() * 8 + self.columns.iter().map(Column::memory).sum::<usize>()
    }
}
