//! Clean rows on their way from the order of the files to the order of time, in bounded memory.
//!
//! Rows are collected in buckets of whole days and whole windows. When the budget is spent, the
//! bucket that has been left alone for longest is sorted and set aside as a *run*. In the end the
//! runs of a bucket and what it still holds are merged. Runs hold what was read earlier than what
//! comes behind them, so of equal keys the one in the first run stays.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use crate::delivered::{Daily, Delivered, headers};
use crate::order::sort;
use crate::plan::Plan;
use crate::runs::{Merge, Run, Source};
use crate::seen::Seen;
use crate::table::Table;
use crate::timestamp::DAY;
use crate::windows::{self, Windows};

/// Runs of a bucket that are merged at once.
const MOST_RUNS: usize = 32;
/// Rows of a row group that a merge writes.
const GROUP: usize = 65_536;
/// Features that are held before they are written.
const HELD_FEATURES: usize = 16_384;

/// The rows of whole days and windows.
struct Bucket {
    rows: Table,
    /// From which row on they are of which input.
    inputs: Vec<(u32, u32)>,
    /// Grows with each batch that has rows for the bucket.
    touched: u64,
    runs: Vec<Run>,
}

/// What came out, counted apart from what went in.
#[derive(Default)]
pub struct Counted {
    /// Of each input: clean rows and duplicates.
    pub clean: Vec<u64>,
    pub duplicate: Vec<u64>,
    pub latest: Option<i64>,
}

/// All buckets.
pub struct Buckets<'a> {
    plan: &'a Plan,
    folder: &'a Path,
    width: i64,
    open: BTreeMap<i64, Bucket>,
    clock: u64,
    written: u32,
    seen: Option<Seen>,
    rows: Option<Daily<'a>>,
    features: Option<Daily<'a>>,
    windows: Windows,
    pub counted: Counted,
}

impl<'a> Buckets<'a> {
    /// Files are written into `folder`, `inputs` is how many inputs there are.
    pub fn new(plan: &'a Plan, folder: &'a Path, inputs: usize) -> Self {
        let fields = plan
            .fields
            .iter()
            .map(|field| (field.name.as_str(), field.kind));
        let groups = plan
            .features
            .group_by
            .iter()
            .map(|&field| plan.fields[field].name.as_str());
        let own = ["field", "count", "mean", "m2", "min", "max"];
        let columns = groups.chain(own).zip(windows::kinds(plan));
        let rows = Daily::new(folder, "rows", headers(Some("timestamp"), fields));
        let features = Daily::new(folder, "features", headers(Some("window_start"), columns));
        let width = multiple(DAY, plan.features.window);
        Self {
            plan,
            folder,
            width,
            open: BTreeMap::new(),
            clock: 0,
            written: 0,
            seen: (!plan.key.timestamp).then(Seen::default),
            rows: plan.ship_rows.then_some(rows),
            features: plan.ship_features.then_some(features),
            windows: Windows::new(plan),
            counted: Counted {
                clean: vec![0; inputs],
                duplicate: vec![0; inputs],
                latest: None,
            },
        }
    }

    /// Takes rows of an input, in the order in which they were read.
    pub fn add(&mut self, rows: &Table, input: usize) -> io::Result<()> {
        self.clock += 1;
        let times = &rows.times;
        let mut begin = 0;
        while begin < times.len() {
            let number = times[begin].div_euclid(self.width);
            let span = number.saturating_mul(self.width)..(number + 1).saturating_mul(self.width);
            let length = times[begin..]
                .iter()
                .take_while(|time| span.contains(time))
                .count();
            self.add_to(number, rows, begin..begin + length, input);
            begin += length;
        }
        while self.memory() > self.plan.budget {
            let idle = self
                .open
                .iter()
                .filter(|(_, bucket)| !bucket.rows.is_empty());
            let Some((&number, _)) = idle.min_by_key(|(_, bucket)| bucket.touched) else {
                break;
            };
            self.set_aside(number)?;
        }
        Ok(())
    }

    fn add_to(&mut self, number: i64, rows: &Table, range: std::ops::Range<usize>, input: usize) {
        let bucket = self.open.entry(number).or_insert_with(|| Bucket {
            rows: Table::new(self.plan.fields.iter().map(|field| field.kind)),
            inputs: vec![],
            touched: 0,
            runs: vec![],
        });
        bucket.touched = self.clock;
        if bucket
            .inputs
            .last()
            .is_none_or(|&(_, last)| last != input as u32)
        {
            bucket.inputs.push((bucket.rows.len() as u32, input as u32));
        }
        let Some(seen) = &mut self.seen else {
            return bucket.rows.extend(rows, range);
        };
        for row in range {
            if seen.is_new(rows, row, &self.plan.key.fields) {
                bucket.rows.extend(rows, row..row + 1);
            } else {
                self.counted.duplicate[input] += 1;
            }
        }
    }

    fn memory(&self) -> usize {
        self.open
            .values()
            .map(|bucket| bucket.rows.memory() + bucket.inputs.capacity() * 8)
            .sum()
    }

    /// Sorts what a bucket holds and writes it to a run.
    fn set_aside(&mut self, number: i64) -> io::Result<()> {
        let bucket = self.open.get_mut(&number).expect("the bucket is open");
        let rows = std::mem::replace(
            &mut bucket.rows,
            Table::new(self.plan.fields.iter().map(|field| field.kind)),
        );
        let inputs = std::mem::take(&mut bucket.inputs);
        let order = sort(&rows, &self.plan.key.fields);
        for &row in &order.duplicates {
            self.counted.duplicate[input_of(&inputs, row)] += 1;
        }
        let path = run_path(self.folder, &mut self.written);
        let numbers = order.kept.iter().map(|&row| input_of(&inputs, row) as u32);
        bucket
            .runs
            .push(Run::write(path, &rows, &order.kept, numbers)?);
        if bucket.runs.len() > MOST_RUNS {
            let runs = std::mem::take(&mut bucket.runs);
            let path = run_path(self.folder, &mut self.written);
            let sources = runs
                .iter()
                .map(|run| run.read(self.plan))
                .collect::<io::Result<_>>()?;
            let mut merge = Merge::new(sources, &self.plan.key.fields);
            let duplicate = &mut self.counted.duplicate;
            let merged = Run::merge(path, &mut merge, self.plan, |input| duplicate[input] += 1)?;
            self.open
                .get_mut(&number)
                .expect("the bucket is open")
                .runs
                .push(merged);
        }
        Ok(())
    }

    /// Writes all that is left; returns the files of rows and of features, by day.
    pub fn finish(mut self) -> io::Result<(Vec<Finished>, Counted)> {
        while let Some((_, bucket)) = self.open.pop_first() {
            self.finish_bucket(bucket)?;
        }
        let mut files = vec![];
        for (kind, daily) in [("rows", self.rows), ("features", self.features)] {
            let delivered = daily.into_iter().flat_map(|daily| daily.delivered);
            files.extend(delivered.map(|(day, file)| Finished {
                kind,
                day: Some(day),
                file,
            }));
        }
        Ok((files, self.counted))
    }

    fn finish_bucket(&mut self, bucket: Bucket) -> io::Result<()> {
        let order = sort(&bucket.rows, &self.plan.key.fields);
        for &row in &order.duplicates {
            self.counted.duplicate[input_of(&bucket.inputs, row)] += 1;
        }
        if bucket.runs.is_empty() {
            for &row in &order.kept {
                self.counted.clean[input_of(&bucket.inputs, row)] += 1;
            }
            self.write(&bucket.rows, &order.kept)?;
        } else {
            let mut sources: Vec<Source> = bucket
                .runs
                .iter()
                .map(|run| run.read(self.plan))
                .collect::<io::Result<_>>()?;
            let numbers = order
                .kept
                .iter()
                .map(|&row| input_of(&bucket.inputs, row) as u32);
            let numbers = numbers.collect();
            sources.push(Source::of_table(bucket.rows, order.kept, numbers));
            self.merge(Merge::new(sources, &self.plan.key.fields))?;
        }
        self.windows.close();
        self.write_features(0)?;
        for daily in [&mut self.rows, &mut self.features].into_iter().flatten() {
            daily.end_day()?;
        }
        Ok(())
    }

    fn merge(&mut self, mut merge: Merge<'_>) -> io::Result<()> {
        let mut merged = Table::new(self.plan.fields.iter().map(|field| field.kind));
        let mut inputs = vec![];
        loop {
            merged.clear();
            inputs.clear();
            let duplicate = &mut self.counted.duplicate;
            merge.take(GROUP, &mut merged, &mut inputs, |input| {
                duplicate[input] += 1
            })?;
            if merged.is_empty() {
                return Ok(());
            }
            for &input in &inputs {
                self.counted.clean[input as usize] += 1;
            }
            let order: Vec<u32> = (0..merged.len() as u32).collect();
            self.write(&merged, &order)?;
        }
    }

    /// Writes sorted rows of a bucket, and the features of the windows that they close.
    fn write(&mut self, table: &Table, order: &[u32]) -> io::Result<()> {
        let last = order.last().map(|&row| table.times[row as usize]);
        self.counted.latest = self.counted.latest.max(last);
        if let Some(rows) = &mut self.rows {
            rows.write(table, order)?;
        }
        if self.features.is_some() {
            self.windows.add(table, order);
            self.write_features(HELD_FEATURES)?;
        }
        Ok(())
    }

    fn write_features(&mut self, held: usize) -> io::Result<()> {
        let closed = &mut self.windows.closed;
        if let Some(features) = &mut self.features
            && closed.len() > held
        {
            let order: Vec<u32> = (0..closed.len() as u32).collect();
            features.write(closed, &order)?;
            closed.clear();
        }
        Ok(())
    }
}

/// A file of the result.
#[derive(Debug)]
pub struct Finished {
    pub kind: &'static str,
    pub day: Option<i64>,
    pub file: Delivered,
}

fn run_path(folder: &Path, written: &mut u32) -> PathBuf {
    *written += 1;
    folder.join(format!("run-{written}.tmp"))
}

/// The input of a row.
fn input_of(inputs: &[(u32, u32)], row: u32) -> usize {
    let behind = inputs.partition_point(|&(first, _)| first <= row);
    inputs[behind - 1].1 as usize
}

/// The least common multiple, or as much of it as an i64 can hold.
fn multiple(a: i64, b: i64) -> i64 {
    let (mut divisor, mut rest) = (a, b);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    (a / divisor).saturating_mul(b)
}
