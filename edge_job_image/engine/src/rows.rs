//! The rows of a bucket, in pieces of equal size whose memory goes from one bucket to the next.
//!
//! A vector that grows is copied, and gives memory back that the system has to clear again: that
//! took as long as to sort the rows.

use std::ops::Range;

use crate::strings::Dictionary;
use crate::table::{Column, Table, Value, View};

const SHIFT: u32 = 12;
/// Rows of a piece.
pub const PIECE: usize = 1 << SHIFT;
const MASK: u32 = PIECE as u32 - 1;

/// Pieces that nobody uses.
#[derive(Default)]
pub struct Pool {
    pieces: Vec<Table>,
    memory: usize,
}

impl Pool {
    /// The memory of its pieces, in bytes.
    pub const fn memory(&self) -> usize {
        self.memory
    }

    /// Gives a piece back to the system; false when there is none.
    pub fn shrink(&mut self) -> bool {
        self.take().is_some()
    }

    fn take(&mut self) -> Option<Table> {
        let piece = self.pieces.pop()?;
        self.memory -= piece.memory();
        Some(piece)
    }

    /// Takes the memory of rows that are written.
    pub fn give(&mut self, rows: Rows) {
        for mut piece in rows.pieces {
            if piece.times.capacity() >= PIECE {
                piece.clear();
                self.memory += piece.memory();
                self.pieces.push(piece);
            }
        }
    }
}

/// Rows by number; each piece but the last is full.
pub struct Rows {
    pieces: Vec<Table>,
    /// Of each field that is a string: the numbers in all pieces are its.
    dictionaries: Vec<Dictionary>,
}

impl Rows {
    /// No rows, of so many fields.
    pub fn new(fields: usize) -> Self {
        let dictionaries = (0..fields).map(|_| Dictionary::default()).collect();
        Self { pieces: vec![], dictionaries }
    }

    pub fn len(&self) -> usize {
        self.pieces.last().map_or(0, |last| (self.pieces.len() - 1) * PIECE + last.len())
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// The memory taken, in bytes.
    pub fn memory(&self) -> usize {
        self.pieces.iter().map(Table::memory).sum::<usize>()
            + self.dictionaries.iter().map(Dictionary::memory).sum::<usize>()
    }

    /// Appends rows of a table with the same columns.
    pub fn extend(&mut self, from: &Table, mut rows: Range<usize>, pool: &mut Pool) {
        while !rows.is_empty() {
            let count = self.room(from, rows.len(), pool).min(rows.len());
            let some = rows.start..rows.start + count;
            rows.start += count;
            let Some(last) = self.pieces.last_mut() else { return };
            last.times.extend_from_slice(&from.times[some.clone()]);
            let columns = last.columns.iter_mut().zip(&from.columns);
            for ((column, from), own) in columns.zip(&mut self.dictionaries) {
                column.extend(from, some.clone(), own);
            }
        }
    }

    /// Makes room for some of so many rows; returns for how many.
    fn room(&mut self, like: &Table, rows: usize, pool: &mut Pool) -> usize {
        if self.pieces.last().is_none_or(|last| last.len() == PIECE) {
            // Rows of many days at once are few of each: a whole piece is for those that are many.
            let piece = if self.pieces.is_empty() { None } else { pool.take() };
            self.pieces.push(piece.unwrap_or_else(|| like.empty()));
        }
        let is_first = self.pieces.len() == 1;
        let Some(last) = self.pieces.last_mut() else { return 0 };
        if last.len() + rows > last.times.capacity() {
            let wanted = (last.len() + rows).max(2 * last.len());
            last.reserve_exact(if is_first { wanted.min(PIECE) } else { PIECE });
        }
        PIECE - last.len()
    }

    /// The times of the rows in the order in which they came.
    pub fn times(&self) -> impl Iterator<Item = i64> {
        self.pieces.iter().flat_map(|piece| piece.times.iter().copied())
    }

    pub fn time(&self, row: u32) -> i64 {
        self.pieces[(row >> SHIFT) as usize].times[(row & MASK) as usize]
    }

    pub fn value(&self, field: usize, row: u32) -> Value<'_> {
        let column = &self.pieces[(row >> SHIFT) as usize].columns[field];
        column.value((row & MASK) as usize, &self.dictionaries[field])
    }

    /// The strings of a field.
    pub fn dictionary(&self, field: usize) -> &Dictionary {
        &self.dictionaries[field]
    }

    /// The pieces, each with the number of its first row. Strings have numbers of `dictionary`.
    pub fn pieces(&self) -> impl Iterator<Item = (usize, &Table)> {
        (0..).step_by(PIECE).zip(&self.pieces)
    }

    /// The times of some rows.
    pub fn gather_times<'a>(&self, order: &[u32], into: &'a mut Gathered) -> &'a [i64] {
        gather(&self.pieces, order, &mut into.longs, |piece| &piece.times);
        &into.longs
    }

    /// The values of a field of some rows.
    pub fn gather<'a>(&'a self, field: usize, order: &[u32], into: &'a mut Gathered) -> View<'a> {
        let Gathered { doubles, longs, valid, numbers, bytes } = into;
        let pieces = &self.pieces;
        match pieces.first().map(|piece| &piece.columns[field]) {
            None | Some(Column::Double(_)) => {
                gather(pieces, order, doubles, |piece| match &piece.columns[field] {
                    Column::Double(values) => values,
                    _ => &[],
                });
                View::Double(doubles)
            }
            Some(Column::Long { .. }) => {
                gather(pieces, order, longs, |piece| match &piece.columns[field] {
                    Column::Long { values, .. } => values,
                    _ => &[],
                });
                gather(pieces, order, valid, |piece| match &piece.columns[field] {
                    Column::Long { valid, .. } => valid,
                    _ => &[],
                });
                View::Long(longs, valid)
            }
            Some(Column::Boolean(_)) => {
                gather(pieces, order, bytes, |piece| match &piece.columns[field] {
                    Column::Boolean(values) => values,
                    _ => &[],
                });
                View::Boolean(bytes)
            }
            Some(Column::String { .. }) => {
                gather(pieces, order, numbers, |piece| match &piece.columns[field] {
                    Column::String { numbers, .. } => numbers,
                    _ => &[],
                });
                View::String(numbers, &self.dictionaries[field])
            }
        }
    }

    /// Copies some rows into a table.
    pub fn copy(&self, order: &[u32], into: &mut Table) {
        into.times.extend(order.iter().map(|&row| self.time(row)));
        for (field, column) in into.columns.iter_mut().enumerate() {
            order.iter().for_each(|&row| column.push(self.value(field, row)));
        }
    }
}

/// Memory that is kept from column to column.
#[derive(Default)]
pub struct Gathered {
    doubles: Vec<f64>,
    longs: Vec<i64>,
    valid: Vec<bool>,
    numbers: Vec<u32>,
    bytes: Vec<u8>,
}

/// Rows that are looked at together.
const TOGETHER: usize = 32;

fn gather<'a, T: Copy + Default + 'a>(
    pieces: &'a [Table],
    order: &[u32],
    into: &mut Vec<T>,
    values: impl Fn(&'a Table) -> &'a [T],
) {
    let pieces: Vec<&[T]> = pieces.iter().map(values).collect();
    into.resize(order.len(), T::default());
    for (values, order) in into.chunks_mut(TOGETHER).zip(order.chunks(TOGETHER)) {
        // Rows that are next to each other mostly are in one piece, which mostly is full: then none
        // of them needs a look at where it is.
        let open = order[0] >> SHIFT;
        let others = order.iter().fold(0, |others, row| others | row >> SHIFT ^ open);
        let piece = pieces.get(open as usize).and_then(|piece| piece.first_chunk::<PIECE>());
        if let (0, Some(piece)) = (others, piece) {
            for (value, &row) in values.iter_mut().zip(order) {
                *value = piece[(row & MASK) as usize];
            }
            continue;
        }
        for (value, &row) in values.iter_mut().zip(order) {
            let piece = pieces.get((row >> SHIFT) as usize);
            // All rows are there; to say what becomes of others costs less than to panic.
            *value = piece
                .and_then(|piece| piece.get((row & MASK) as usize))
                .copied()
                .unwrap_or_default();
        }
    }
}
