//! Clean rows on their way from the order of the files to the order of time, in bounded memory.
//!
//! Rows are collected in buckets of whole days and whole windows. When the budget is spent, the
//! bucket that has been left alone for longest is finished, in the hope that no more rows come for
//! it: where files are read in the order of time, nothing is written twice. If some do come, what
//! was written is the first *run* of the bucket again. What there is no room for after that, and
//! a bucket larger than the budget, is sorted and set aside in runs of its own. In the end the runs
//! of a bucket and what it still holds are merged. A run holds what was read before what the next
//! one holds, so of equal keys the one in the first run stays.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::delivered::{Daily, Delivered, Headers, Kit};
use crate::order::Order;
use crate::plan::Plan;
use crate::rows::{PIECE, Pool, Rows};
use crate::runs::{COUNTED, Merge, Run, Source};
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
    rows: Rows,
    /// From which row on they are of which input.
    inputs: Vec<(u32, u32)>,
    /// Grows with each batch that has rows for the bucket.
    touched: u64,
    runs: Vec<Run>,
    /// The memory that is accounted for.
    memory: usize,
}

impl Bucket {
    fn new(plan: &Plan) -> Self {
        let rows = Rows::new(plan.fields.len());
        Self { rows, inputs: vec![], touched: 0, runs: vec![], memory: 0 }
    }
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
    /// The memory of all buckets, without that of the pool.
    memory: usize,
    pool: Pool,
    order: Order,
    written: u32,
    seen: Option<Seen>,
    /// Files of buckets that were finished before the end: of rows, of features.
    early: BTreeMap<i64, [Vec<(i64, Delivered)>; 2]>,
    rows: Daily<'a>,
    /// Whether rows are written: also when they are not shipped, if they may be needed again.
    keeps_rows: bool,
    features: Daily<'a>,
    pub kit: Kit,
    windows: Windows,
    pub counted: Counted,
}

impl<'a> Buckets<'a> {
    /// Files are written into `folder`, `inputs` is how many inputs there are.
    pub fn new(plan: &'a Plan, folder: &'a Path, inputs: usize) -> io::Result<Self> {
        let fields = plan.fields.iter().map(|field| (field.name.as_str(), field.kind));
        let groups = plan.features.group_by.iter().map(|&field| plan.fields[field].name.as_str());
        let own = ["field", "count", "mean", "m2", "min", "max"];
        let columns = groups.chain(own).zip(windows::kinds(plan));
        let rows = Daily::new(folder, "rows", Headers::new(Some("timestamp"), fields));
        let features = Daily::new(folder, "features", Headers::new(Some("window_start"), columns));
        let width = multiple(DAY, plan.features.window);
        Ok(Self {
            plan,
            folder,
            width,
            kit: Kit::new()?,
            open: BTreeMap::new(),
            clock: 0,
            memory: 0,
            pool: Pool::default(),
            order: Order::default(),
            written: 0,
            early: BTreeMap::new(),
            keeps_rows: true,
            seen: (!plan.key.timestamp).then(Seen::default),
            rows,
            features,
            windows: Windows::new(plan),
            counted: Counted { clean: vec![0; inputs], duplicate: vec![0; inputs], latest: None },
        })
    }

    /// Takes rows of an input, in the order in which they were read.
    pub fn add(&mut self, rows: &Table, input: usize) -> io::Result<()> {
        self.clock += 1;
        let times = &rows.times;
        let mut begin = 0;
        while begin < times.len() {
            let number = times[begin].div_euclid(self.width);
            let span = number.saturating_mul(self.width)..(number + 1).saturating_mul(self.width);
            let length = times[begin..].iter().take_while(|time| span.contains(time)).count();
            self.add_to(number, rows, begin..begin + length, input)?;
            begin += length;
        }
        while self.memory + self.pool.memory() > self.plan.budget {
            if self.pool.shrink() {
                continue;
            }
            let holding = self.open.iter().filter(|(_, bucket)| !bucket.rows.is_empty());
            let Some((&number, bucket)) = holding.min_by_key(|(_, bucket)| bucket.touched) else {
                break;
            };
            if bucket.runs.is_empty() && bucket.touched < self.clock {
                self.finish_early(number)?;
            } else {
                self.set_aside(number)?;
            }
        }
        Ok(())
    }

    fn add_to(
        &mut self,
        number: i64,
        rows: &Table,
        range: Range<usize>,
        input: usize,
    ) -> io::Result<()> {
        if let Some(files) = self.early.remove(&number) {
            self.open_again(number, files)?;
        }
        let bucket = self.open.entry(number).or_insert_with(|| Bucket::new(self.plan));
        bucket.touched = self.clock;
        if bucket.inputs.last().is_none_or(|&(_, last)| last != input as u32) {
            bucket.inputs.push((bucket.rows.len() as u32, input as u32));
        }
        if let Some(seen) = &mut self.seen {
            for row in range {
                if seen.is_new(rows, row, &self.plan.key.fields) {
                    bucket.rows.extend(rows, row..row + 1, &mut self.pool);
                } else {
                    self.counted.duplicate[input] += 1;
                }
            }
        } else {
            bucket.rows.extend(rows, range, &mut self.pool);
        }
        let memory = bucket.rows.memory() + bucket.inputs.capacity() * 8;
        self.memory += memory - bucket.memory;
        bucket.memory = memory;
        Ok(())
    }

    /// Writes a bucket as if nothing more came for it.
    fn finish_early(&mut self, number: i64) -> io::Result<()> {
        let bucket = self.open.remove(&number).expect("the bucket is open");
        self.memory -= bucket.memory;
        self.finish_bucket(bucket, true)?;
        let files = [&mut self.rows, &mut self.features];
        self.early.insert(number, files.map(|daily| std::mem::take(&mut daily.delivered)));
        Ok(())
    }

    /// Makes what was written of a bucket its first run: there are more rows for it.
    fn open_again(&mut self, number: i64, files: [Vec<(i64, Delivered)>; 2]) -> io::Result<()> {
        let [rows, features] = files;
        let mut paths = vec![];
        for (_, file) in rows {
            let path = self.run_path();
            fs::rename(self.folder.join(&file.name), &path)?;
            paths.push((path, file.groups));
        }
        for (_, file) in features {
            fs::remove_file(self.folder.join(&file.name))?;
        }
        let bucket = self.open.entry(number).or_insert_with(|| Bucket::new(self.plan));
        bucket.runs.push(Run::finished(paths));
        Ok(())
    }

    fn run_path(&mut self) -> PathBuf {
        self.written += 1;
        self.folder.join(format!("run-{}.tmp", self.written))
    }

    /// Sorts what a bucket holds and writes it to a run.
    fn set_aside(&mut self, number: i64) -> io::Result<()> {
        let path = self.run_path();
        let bucket = self.open.get_mut(&number).expect("the bucket is open");
        let rows = std::mem::replace(&mut bucket.rows, Rows::new(self.plan.fields.len()));
        let inputs = std::mem::take(&mut bucket.inputs);
        self.memory -= std::mem::take(&mut bucket.memory);
        self.order.sort(&rows, &self.plan.key.fields);
        for &row in &self.order.duplicates {
            self.counted.duplicate[input_of(&inputs, row)] += 1;
        }
        let kept = &self.order.kept;
        let numbers = kept.iter().map(|&row| input_of(&inputs, row) as u32);
        bucket.runs.push(Run::write(path, &rows, kept, self.plan, numbers)?);
        self.pool.give(rows);
        if bucket.runs.len() > MOST_RUNS {
            let runs = std::mem::take(&mut bucket.runs);
            let path = self.run_path();
            let sources = runs.iter().map(|run| run.read(self.plan)).collect::<io::Result<_>>()?;
            let mut merge = Merge::new(sources, &self.plan.key.fields);
            let duplicate = &mut self.counted.duplicate;
            let merged = Run::merge(path, &mut merge, self.plan, |input| duplicate[input] += 1)?;
            self.open.entry(number).or_insert_with(|| Bucket::new(self.plan)).runs.push(merged);
        }
        Ok(())
    }

    /// Writes all that is left; returns the files, and what was counted.
    pub fn finish(mut self) -> io::Result<(Vec<Finished>, Counted)> {
        while let Some((_, bucket)) = self.open.pop_first() {
            self.finish_bucket(bucket, false)?;
        }
        let mut delivered = [self.rows.delivered, self.features.delivered];
        for early in self.early.into_values() {
            for (all, files) in delivered.iter_mut().zip(early) {
                all.extend(files);
            }
        }
        let mut finished = vec![];
        let [rows, features] = delivered;
        for (kind, ship, mut files) in
            [("rows", self.plan.ship_rows, rows), ("features", self.plan.ship_features, features)]
        {
            files.sort_by_key(|(day, _)| *day);
            for (day, file) in files {
                if ship {
                    finished.push(Finished { kind, day: Some(day), file });
                } else {
                    fs::remove_file(self.folder.join(&file.name))?;
                }
            }
        }
        Ok((finished, self.counted))
    }

    /// Writes a bucket; `early` when more rows may come for it.
    fn finish_bucket(&mut self, bucket: Bucket, early: bool) -> io::Result<()> {
        self.keeps_rows = self.plan.ship_rows || early;
        let Bucket { rows, inputs, runs, .. } = bucket;
        let mut order = std::mem::take(&mut self.order);
        order.sort(&rows, &self.plan.key.fields);
        if runs.is_empty() {
            self.count(&inputs, rows.len(), &order);
            self.write(&rows, &order.kept)?;
        } else {
            for &row in &order.duplicates {
                self.counted.duplicate[input_of(&inputs, row)] += 1;
            }
            let mut sources: Vec<Source<'_>> =
                runs.iter().map(|run| run.read(self.plan)).collect::<io::Result<_>>()?;
            let numbers = order.kept.iter().map(|&row| input_of(&inputs, row) as u32);
            sources.push(Source::of_rows(&rows, &order.kept, numbers, self.plan)?);
            self.merge(Merge::new(sources, &self.plan.key.fields))?;
        }
        self.order = order;
        self.pool.give(rows);
        self.windows.close();
        self.write_features(0)?;
        self.rows.end_day()?;
        self.features.end_day()
    }

    /// Counts the rows of each input, and those of them that are duplicates.
    fn count(&mut self, inputs: &[(u32, u32)], rows: usize, order: &Order) {
        let ends = inputs.iter().skip(1).map(|&(first, _)| first).chain([rows as u32]);
        for (&(first, input), end) in inputs.iter().zip(ends) {
            self.counted.clean[input as usize] += u64::from(end - first);
        }
        for &row in &order.duplicates {
            let input = input_of(inputs, row);
            self.counted.clean[input] -= 1;
            self.counted.duplicate[input] += 1;
        }
    }

    fn merge(&mut self, mut merge: Merge<'_>) -> io::Result<()> {
        let mut table = Table::new(self.plan.kinds());
        let mut inputs = vec![];
        loop {
            let mut merged = Rows::new(self.plan.fields.len());
            while merged.len() < GROUP {
                table.clear();
                inputs.clear();
                let duplicate = &mut self.counted.duplicate;
                merge.take(PIECE, &mut table, &mut inputs, |input| duplicate[input] += 1)?;
                if table.is_empty() {
                    break;
                }
                // Rows of a file that had been finished are counted already.
                for &input in inputs.iter().filter(|&&input| input != COUNTED) {
                    self.counted.clean[input as usize] += 1;
                }
                merged.extend(&table, 0..table.len(), &mut self.pool);
            }
            if merged.is_empty() {
                return Ok(());
            }
            let order: Vec<u32> = (0..merged.len() as u32).collect();
            self.write(&merged, &order)?;
            self.pool.give(merged);
        }
    }

    /// Writes sorted rows of a bucket, and the features of the windows that they close.
    fn write(&mut self, rows: &Rows, order: &[u32]) -> io::Result<()> {
        let last = order.last().map(|&row| rows.time(row));
        self.counted.latest = self.counted.latest.max(last);
        if self.keeps_rows {
            self.rows.write_rows(rows, order, &mut self.kit)?;
        }
        if self.plan.ship_features {
            self.windows.add(rows, order);
            self.write_features(HELD_FEATURES)?;
        }
        Ok(())
    }

    fn write_features(&mut self, held: usize) -> io::Result<()> {
        let closed = &mut self.windows.closed;
        if closed.len() > held {
            self.features.write(closed, &mut self.kit)?;
        }
        Ok(())
    }
}

/// A file of the result.
pub struct Finished {
    pub kind: &'static str,
    pub day: Option<i64>,
    pub file: Delivered,
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
