//! Clean rows on their way from the order of the files to the order of time, in bounded memory.
//!
//! Rows are collected in buckets of whole days and whole windows. When the budget is spent, the
//! bucket that has been left alone for longest is finished, in the hope that no more rows come for
//! it: where files are read in the order of time, nothing is written twice. If some do come, what
//! was written is the first *run* of the bucket again. What there is no room for after that, and
//! a bucket larger than the budget, is sorted and set aside in runs of its own. In the end the runs
//! of a bucket and what it still holds are merged. A run holds what was read before what the next
//! one holds, so of equal keys the one in the first run stays.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::crew::{Crew, Ticket};
use crate::delivered::Delivered;
use crate::finish::{Bucket, Done, Files, Tally, Toolbox, finish, input_of};
use crate::plan::Plan;
use crate::rows::{Pool, Rows};
use crate::runs::{Merge, Run};
use crate::seen::Seen;
use crate::table::Table;
use crate::timestamp::DAY;

/// Runs of a bucket that are merged at once.
const MOST_RUNS: usize = 32;

/// All buckets.
pub struct Buckets<'a> {
    plan: &'a Plan,
    folder: &'a Path,
    toolbox: &'a Toolbox<'a>,
    width: i64,
    open: BTreeMap<i64, Bucket>,
    clock: u64,
    /// The memory of the open buckets, without that of the pool.
    memory: usize,
    pool: Pool,
    written: u32,
    seen: Option<Seen>,
    /// Buckets that were finished before the end.
    early: BTreeMap<i64, Early>,
    /// Those of them that are being written, the oldest first, and their memory.
    writing: VecDeque<(i64, usize)>,
    tally: Tally,
}

/// A bucket that is finished unless more rows come for it.
enum Early {
    Writing(Ticket<io::Result<Done>>),
    Written(Files),
}

impl<'a> Buckets<'a> {
    /// Files are written into `folder`, `inputs` is how many inputs there are.
    pub fn new(plan: &'a Plan, folder: &'a Path, toolbox: &'a Toolbox<'a>) -> Self {
        Self {
            plan,
            folder,
            toolbox,
            width: multiple(DAY, plan.features.window),
            open: BTreeMap::new(),
            clock: 0,
            memory: 0,
            pool: Pool::default(),
            written: 0,
            seen: (!plan.key.timestamp).then(Seen::default),
            early: BTreeMap::new(),
            writing: VecDeque::new(),
            tally: Tally::default(),
        }
    }

    /// Takes rows of an input, in the order in which they were read.
    pub fn add(&mut self, rows: &Table, input: usize, crew: &Crew<'a>) -> io::Result<()> {
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
                self.finish_bucket(number, true, crew)?;
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
        if self.early.contains_key(&number) {
            self.open_again(number)?;
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
                    self.tally.of(input).duplicate += 1;
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

    /// Has a bucket written, `early` when more may come for it.
    fn finish_bucket(&mut self, number: i64, early: bool, crew: &Crew<'a>) -> io::Result<()> {
        let Some(bucket) = self.open.remove(&number) else { return Ok(()) };
        let memory = bucket.memory;
        self.memory -= memory;
        // What is being written may take twice as much as what is open.
        let writing = |this: &Self| this.writing.iter().map(|(_, memory)| memory).sum::<usize>();
        while !self.writing.is_empty() && writing(self) + memory > 2 * self.plan.budget {
            self.await_oldest()?;
        }
        let (plan, folder, toolbox) = (self.plan, self.folder, self.toolbox);
        let ticket =
            crew.submit(move || toolbox.with(|tools| finish(plan, folder, bucket, early, tools)));
        let is_ready = matches!(ticket, Ticket::Ready(_));
        self.early.insert(number, Early::Writing(ticket));
        self.writing.push_back((number, memory));
        if is_ready { self.await_oldest() } else { Ok(()) }
    }

    fn await_oldest(&mut self) -> io::Result<()> {
        let Some((number, _)) = self.writing.pop_front() else { return Ok(()) };
        if let Some(Early::Writing(ticket)) = self.early.remove(&number) {
            let Done { files, tally, rows } = ticket.wait()?;
            self.tally.add(&tally);
            self.pool.give(rows);
            self.early.insert(number, Early::Written(files));
        }
        Ok(())
    }

    /// Waits for all that is being written; nobody wants it any more.
    pub fn abandon(&mut self) {
        while !self.writing.is_empty() {
            drop(self.await_oldest());
        }
    }

    /// Makes what was written of a bucket its first run: there are more rows for it.
    fn open_again(&mut self, number: i64) -> io::Result<()> {
        while self.writing.iter().any(|&(other, _)| other == number) {
            self.await_oldest()?;
        }
        let Some(Early::Written([rows, features])) = self.early.remove(&number) else {
            return Ok(());
        };
        let mut paths = vec![];
        for (_, file) in rows {
            let path = self.run_path();
            fs::rename(self.folder.join(&file.name), &path)?;
            paths.push((path, file.places));
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
        let Some(bucket) = self.open.get_mut(&number) else { return Ok(()) };
        let rows = std::mem::replace(&mut bucket.rows, Rows::new(self.plan.fields.len()));
        let inputs = std::mem::take(&mut bucket.inputs);
        self.memory -= std::mem::take(&mut bucket.memory);
        bucket.runs.push(self.toolbox.with(|tools| {
            tools.order.sort(&rows, &self.plan.key.fields);
            for &row in &tools.order.duplicates {
                self.tally.of(input_of(&inputs, row)).duplicate += 1;
            }
            let kept = &tools.order.kept;
            let numbers = kept.iter().map(|&row| input_of(&inputs, row) as u32);
            Run::write(path, &rows, kept, self.plan, numbers)
        })?);
        self.pool.give(rows);
        if bucket.runs.len() > MOST_RUNS {
            let runs = std::mem::take(&mut bucket.runs);
            let path = self.run_path();
            let sources = runs.iter().map(|run| run.read(self.plan)).collect::<io::Result<_>>()?;
            let mut merge = Merge::new(sources, &self.plan.key.fields);
            let tally = &mut self.tally;
            let duplicate = |input| tally.of(input).duplicate += 1;
            let merged = Run::merge(path, &mut merge, self.plan, duplicate)?;
            self.open.entry(number).or_insert_with(|| Bucket::new(self.plan)).runs.push(merged);
        }
        Ok(())
    }

    /// Writes all that is left; returns the files, and what was counted.
    pub fn finish(mut self, crew: &Crew<'a>) -> io::Result<(Vec<Finished>, Tally)> {
        while let Some((&number, _)) = self.open.first_key_value() {
            self.finish_bucket(number, false, crew)?;
        }
        while !self.writing.is_empty() {
            self.await_oldest()?;
        }
        let mut delivered = [vec![], vec![]];
        for early in self.early.into_values() {
            let Early::Written(files) = early else { continue };
            delivered.iter_mut().zip(files).for_each(|(all, files)| all.extend(files));
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
        Ok((finished, self.tally))
    }
}

/// A file of the result.
pub struct Finished {
    pub kind: &'static str,
    pub day: Option<i64>,
    pub file: Delivered,
}

/// The least common multiple, or as much of it as an i64 can hold.
fn multiple(a: i64, b: i64) -> i64 {
    let (mut divisor, mut rest) = (a, b);
    while rest != 0 {
        (divisor, rest) = (rest, divisor % rest);
    }
    (a / divisor).saturating_mul(b)
}
