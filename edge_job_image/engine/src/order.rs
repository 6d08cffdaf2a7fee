//! The order of rows: by time, then by key, then as they were read; and each key once.

use std::cmp::Ordering;

use crate::pages::width_of;
use crate::rows::Rows;
use crate::strings::Dictionary;
use crate::table::{Column, Table, Value};

/// Rows of a slice of time, on average.
const OF_SLICE: usize = 12;

/// The rows that stay, in their order, and those that another row's key excludes. What is here is
/// used again for the next rows.
#[derive(Default)]
pub struct Order {
    pub kept: Vec<u32>,
    pub duplicates: Vec<u32>,
    ends: Vec<u32>,
    packed: Vec<u64>,
}

impl Order {
    /// Sorts rows; of those with the same time and key the first one read is kept.
    ///
    /// Rows are dealt out to small slices of time in one pass, each as one word: its time within
    /// the slice, the rank of its key, its number.
    pub fn sort(&mut self, rows: &Rows, key: &[usize]) {
        self.kept.clear();
        self.duplicates.clear();
        if rows.is_empty() {
            return;
        }
        let (least, most) = limits(rows.times());
        let ranks = Ranks::new(rows, key);
        let slices = (rows.len() / OF_SLICE + 1) as u64;
        // Slices are powers of two, so that a time needs no division.
        let shift = width_of(most.abs_diff(least) / slices);
        let rank = width_of(ranks.most().into());
        let number = width_of(rows.len() as u64);
        self.kept.reserve(rows.len());
        if shift + rank + number > 64 {
            return self.sort_wide(rows, &ranks);
        }
        let slice = |time: i64| (time.abs_diff(least) >> shift) as usize;
        self.ends.clear();
        self.ends.resize(slice(most) + 1, 0);
        rows.times().for_each(|time| self.ends[slice(time)] += 1);
        let mut total = 0;
        for end in &mut self.ends {
            // Where the slice begins; it becomes its end while rows are dealt out.
            let count = std::mem::replace(end, total);
            total += count;
        }
        self.packed.clear();
        self.packed.resize(rows.len(), 0);
        let within = (1 << shift) - 1;
        ranks.each(rows, |row, time, own| {
            let place = &mut self.ends[slice(time)];
            let packed = ((time.abs_diff(least) & within) << rank | u64::from(own)) << number | row;
            self.packed[*place as usize] = packed;
            *place += 1;
        });
        self.take_slices(number);
    }

    /// Gives the memory back that only sorting needs.
    pub fn shrink(&mut self) {
        self.packed = vec![];
    }

    fn take_slices(&mut self, number: u32) {
        let mut begin = 0;
        for &end in &self.ends {
            let slice = &mut self.packed[begin..end as usize];
            begin = end as usize;
            slice.sort_unstable();
            let mut previous = None;
            for &mut packed in slice {
                let row = (packed & ((1 << number) - 1)) as u32;
                let key = packed >> number;
                if previous == Some(key) {
                    self.duplicates.push(row);
                } else {
                    self.kept.push(row);
                    previous = Some(key);
                }
            }
        }
    }

    /// Sorts rows whose times or keys need more than a word.
    #[cold]
    fn sort_wide(&mut self, rows: &Rows, ranks: &Ranks) {
        let mut items = Vec::with_capacity(rows.len());
        ranks.each(rows, |row, time, own| items.push((time, own, row as u32)));
        items.sort_unstable();
        let mut previous = None;
        for (time, own, row) in items {
            if previous == Some((time, own)) {
                self.duplicates.push(row);
            } else {
                self.kept.push(row);
                previous = Some((time, own));
            }
        }
    }
}

/// The least and the greatest of some times.
fn limits(times: impl Iterator<Item = i64>) -> (i64, i64) {
    times.fold((i64::MAX, i64::MIN), |(least, most), time| (least.min(time), most.max(time)))
}

/// A number for each row that sorts as its key does, and is equal where the key is.
enum Ranks {
    None,
    /// By number of the field's string, for the most usual key.
    Strings(usize, Vec<u32>),
    Rows(Vec<u32>),
}

impl Ranks {
    fn new(rows: &Rows, key: &[usize]) -> Self {
        if key.is_empty() {
            return Self::None;
        }
        if let [field] = *key
            && let Value::String(_) = rows.value(field, 0)
        {
            return Self::Strings(field, string_ranks(rows.dictionary(field)));
        }
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        let compare = |&a: &u32, &b: &u32| {
            let fields = key.iter().map(|&field| (rows.value(field, a), rows.value(field, b)));
            compare_values(fields)
        };
        order.sort_by(compare);
        let mut ranks = vec![0; order.len()];
        let mut rank = 0;
        for (at, row) in order.iter().enumerate() {
            if at > 0 && compare(&order[at - 1], row).is_ne() {
                rank += 1;
            }
            ranks[*row as usize] = rank;
        }
        Self::Rows(ranks)
    }

    /// A number that no rank is beyond.
    const fn most(&self) -> u32 {
        match self {
            Self::None => 0,
            Self::Strings(_, ranks) | Self::Rows(ranks) => ranks.len() as u32,
        }
    }

    /// Gives each row with its time and rank, in the order in which they came.
    #[inline(always)]
    fn each(&self, rows: &Rows, mut take: impl FnMut(u64, i64, u32)) {
        for (first, piece) in rows.pieces() {
            let times = (first as u64..).zip(&piece.times);
            match self {
                Self::None => times.for_each(|(row, &time)| take(row, time, 0)),
                Self::Rows(ranks) => {
                    let ranks = &ranks[first..];
                    times.zip(ranks).for_each(|((row, &time), &rank)| take(row, time, rank));
                }
                Self::Strings(field, ranks) => {
                    let Column::String { numbers, .. } = &piece.columns[*field] else { return };
                    times.zip(numbers).for_each(|((row, &time), &number)| {
                        take(row, time, ranks[number as usize]);
                    });
                }
            }
        }
    }
}

/// The place of each string of a dictionary among all of them.
pub fn string_ranks(dictionary: &Dictionary) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..dictionary.count() as u32).collect();
    numbers.sort_unstable_by(|&a, &b| dictionary.get(a).cmp(dictionary.get(b)));
    let mut ranks = vec![0; numbers.len()];
    for (rank, number) in numbers.into_iter().enumerate() {
        ranks[number as usize] = rank as u32;
    }
    ranks
}

/// Compares the values of some fields of two rows, of one table or of two with the same columns.
pub fn compare(a: &Table, row_a: usize, b: &Table, row_b: usize, key: &[usize]) -> Ordering {
    let values =
        |&field: &usize| (a.columns[field].own_value(row_a), b.columns[field].own_value(row_b));
    compare_values(key.iter().map(values))
}

fn compare_values<'a>(fields: impl Iterator<Item = (Value<'a>, Value<'a>)>) -> Ordering {
    let orders = fields.map(|(a, b)| a.order(b));
    orders.fold(Ordering::Equal, Ordering::then)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Pool;
    use crate::table::Kind;

    const HOUR: i64 = 3_600_000_000;

    fn sorted(some: &[(i64, &str)], key: &[usize]) -> Order {
        let mut table = Table::new([Kind::String]);
        for (time, name) in some {
            table.times.push(*time);
            table.columns[0].push(Value::String(name.as_bytes()));
        }
        let mut rows = Rows::new(1);
        rows.extend(&table, 0..table.len(), &mut Pool::default());
        let mut order = Order::default();
        order.sort(&rows, key);
        order
    }

    #[test]
    fn rows_are_sorted_by_time_then_key_and_the_first_of_each_is_kept() {
        let rows = [
            (HOUR, "b"),
            (-5, "b"),
            (HOUR, "a"),
            (HOUR, "b"),
            (0, "c"),
            (-5, "b"),
            (7 * HOUR, "a"),
        ];
        let order = sorted(&rows, &[0]);
        assert_eq!(order.kept, [1, 4, 2, 0, 6]);
        assert_eq!(order.duplicates, [5, 3]);
        let by_time = sorted(&rows, &[]);
        assert_eq!(by_time.kept, [1, 4, 0, 6]);
    }

    #[test]
    fn times_may_be_centuries_apart() {
        let rows = [(i64::MAX / 40, "a"), (i64::MIN / 40, "a"), (0, "a")];
        assert_eq!(sorted(&rows, &[0]).kept, [1, 2, 0]);
    }
}
