//! The order of rows: by time, then by key, then as they were read; and each key once.

use std::cmp::Ordering;

use crate::pages::width_of;
use crate::strings::Dictionary;
use crate::table::{Column, Table};

const HOUR: i64 = 3_600_000_000;
const MOST_SLICES: i64 = 4_096;

/// The rows of a table that stay, in their order, and those that another row's key excludes.
#[derive(Default)]
pub struct Order {
    pub kept: Vec<u32>,
    pub duplicates: Vec<u32>,
}

/// Sorts the rows of a table; of rows with the same time and key the first one read is kept.
///
/// Rows are dealt out to the hours first, in one pass, so that what is sorted stays in the cache.
pub fn sort(table: &Table, key: &[usize]) -> Order {
    let mut order = Order::default();
    if table.is_empty() {
        return order;
    }
    let ranks = Ranks::new(table, key);
    let times = &table.times;
    let first = times.iter().min().map_or(0, |time| time.div_euclid(HOUR));
    let last = times.iter().max().map_or(0, |time| time.div_euclid(HOUR));
    let width = HOUR * ((last - first) / MOST_SLICES + 1);
    let origin = first * HOUR;
    let slice = |time: i64| ((time - origin) / width) as usize;
    let mut ends = vec![0_u32; slice(last * HOUR + HOUR - 1) + 1];
    for &time in times {
        ends[slice(time)] += 1;
    }
    let mut total = 0;
    for end in &mut ends {
        // Where the slice begins; it becomes its end while rows are dealt out.
        let count = std::mem::replace(end, total);
        total += count;
    }
    let mut rows = vec![0_u32; times.len()];
    for (row, &time) in times.iter().enumerate() {
        let place = &mut ends[slice(time)];
        rows[*place as usize] = row as u32;
        *place += 1;
    }
    order.kept.reserve_exact(times.len());
    let mut slices = Slices { ranks: &ranks, times, packed: vec![], items: vec![] };
    let mut begin = 0;
    for &end in &ends {
        slices.sort(&rows[begin..end as usize], &mut order);
        begin = end as usize;
    }
    order
}

/// Sorts slices, and keeps its memory from one to the next.
struct Slices<'a> {
    ranks: &'a Ranks<'a>,
    times: &'a [i64],
    packed: Vec<u64>,
    items: Vec<(i64, u32, u32)>,
}

impl Slices<'_> {
    fn sort(&mut self, rows: &[u32], order: &mut Order) {
        let time = |row: u32| self.times[row as usize];
        let (least, most) = rows
            .iter()
            .fold((i64::MAX, i64::MIN), |(a, b), &row| (a.min(time(row)), b.max(time(row))));
        let rank = width_of(self.ranks.most().into());
        let place = width_of(rows.len() as u64);
        if rows.is_empty() {
        } else if width_of(most.abs_diff(least)) + rank + place <= 64 {
            self.sort_packed(rows, least, (rank, place), order);
        } else {
            self.sort_items(rows, order);
        }
    }

    /// Sorts by one word a row: its time, its rank, its place among the rows.
    fn sort_packed(
        &mut self,
        rows: &[u32],
        least: i64,
        (rank, place): (u32, u32),
        order: &mut Order,
    ) {
        let Self { ranks, times, packed, .. } = self;
        packed.clear();
        packed.extend(rows.iter().enumerate().map(|(at, &row)| {
            let time = times[row as usize].abs_diff(least);
            (time << rank | u64::from(ranks.of(row))) << place | at as u64
        }));
        packed.sort_unstable();
        let mut previous = None;
        for &item in &*packed {
            let row = rows[(item & ((1 << place) - 1)) as usize];
            let key = item >> place;
            if previous == Some(key) {
                order.duplicates.push(row);
            } else {
                order.kept.push(row);
                previous = Some(key);
            }
        }
    }

    fn sort_items(&mut self, rows: &[u32], order: &mut Order) {
        let Self { ranks, times, items, .. } = self;
        items.clear();
        items.extend(rows.iter().map(|&row| (times[row as usize], ranks.of(row), row)));
        items.sort_unstable();
        let mut previous = None;
        for &(time, rank, row) in &*items {
            if previous == Some((time, rank)) {
                order.duplicates.push(row);
            } else {
                order.kept.push(row);
                previous = Some((time, rank));
            }
        }
    }
}

/// A number for each row that sorts as its key does, and is equal where the key is.
enum Ranks<'a> {
    None,
    /// By number of the string, for the most usual key.
    Strings(Vec<u32>, &'a [u32]),
    Rows(Vec<u32>),
}

impl<'a> Ranks<'a> {
    fn new(table: &'a Table, key: &[usize]) -> Self {
        if key.is_empty() {
            return Self::None;
        }
        if let [field] = key
            && let Column::String { numbers, dictionary } = &table.columns[*field]
        {
            return Self::Strings(string_ranks(dictionary), numbers);
        }
        let mut rows: Vec<u32> = (0..table.len() as u32).collect();
        let order = |&a: &u32, &b: &u32| compare(table, a as usize, table, b as usize, key);
        rows.sort_by(order);
        let mut ranks = vec![0; rows.len()];
        let mut rank = 0;
        for (at, row) in rows.iter().enumerate() {
            if at > 0 && order(&rows[at - 1], row).is_ne() {
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
            Self::Strings(ranks, _) | Self::Rows(ranks) => ranks.len() as u32,
        }
    }

    #[inline(always)]
    fn of(&self, row: u32) -> u32 {
        match self {
            Self::None => 0,
            Self::Strings(ranks, numbers) => ranks[numbers[row as usize] as usize],
            Self::Rows(ranks) => ranks[row as usize],
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

/// Compares the keys of two rows, of one table or of two with the same columns.
pub fn compare(a: &Table, row_a: usize, b: &Table, row_b: usize, key: &[usize]) -> Ordering {
    for &field in key {
        let order = compare_cells(&a.columns[field], row_a, &b.columns[field], row_b);
        if order.is_ne() {
            return order;
        }
    }
    Ordering::Equal
}

/// Compares two values; null sorts before all others.
pub fn compare_cells(a: &Column, row_a: usize, b: &Column, row_b: usize) -> Ordering {
    match (a.is_null(row_a), b.is_null(row_b)) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Less,
        (false, true) => return Ordering::Greater,
        (false, false) => {}
    }
    match (a, b) {
        (
            Column::String { numbers: a, dictionary: of_a },
            Column::String { numbers: b, dictionary: of_b },
        ) => of_a.get(a[row_a]).cmp(of_b.get(b[row_b])),
        (Column::Double(a), Column::Double(b)) => {
            a[row_a].partial_cmp(&b[row_b]).unwrap_or(Ordering::Equal)
        }
        (Column::Long { values: a, .. }, Column::Long { values: b, .. }) => a[row_a].cmp(&b[row_b]),
        (Column::Boolean(a), Column::Boolean(b)) => a[row_a].cmp(&b[row_b]),
        _ => unreachable!("columns of one plan have the same kinds"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Kind;

    fn table(rows: &[(i64, &str)]) -> Table {
        let mut table = Table::new([Kind::String]);
        for (time, name) in rows {
            table.times.push(*time);
            if let Column::String { numbers, dictionary } = &mut table.columns[0] {
                numbers.push(dictionary.number(name.as_bytes()));
            }
        }
        table
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
        let order = sort(&table(&rows), &[0]);
        assert_eq!(order.kept, [1, 4, 2, 0, 6]);
        assert_eq!(order.duplicates, [5, 3]);
        let by_time = sort(&table(&rows), &[]);
        assert_eq!(by_time.kept, [1, 4, 0, 6]);
    }

    #[test]
    fn times_may_be_centuries_apart() {
        let rows = [(i64::MAX / 40, "a"), (i64::MIN / 40, "a"), (0, "a")];
        assert_eq!(sort(&table(&rows), &[0]).kept, [1, 2, 0]);
    }
}
