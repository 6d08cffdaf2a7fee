//! A bucket that is finished: sorted, each key once, written with the features of its windows.

use std::collections::BTreeMap;
use std::io;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::delivered::{Daily, Delivered, Headers, Kit};
use crate::order::Order;
use crate::plan::Plan;
use crate::rows::{PIECE, Pool, Rows};
use crate::runs::{COUNTED, Merge, Run, Source};
use crate::table::Table;
use crate::windows::{self, Windows};

/// Rows of a row group that a merge writes.
const GROUP: usize = 65_536;
/// Features, and bytes of them, that are held before they are written.
const HELD_FEATURES: usize = 16_384;
const HELD_BYTES: usize = 2 << 20;

/// The rows of whole days and windows.
pub struct Bucket {
    pub rows: Rows,
    /// From which row on they are of which input.
    pub inputs: Vec<(u32, u32)>,
    /// Grows with each batch that has rows for the bucket.
    pub touched: u64,
    pub runs: Vec<Run>,
    /// The memory that is accounted for.
    pub memory: usize,
}

impl Bucket {
    pub fn new(plan: &Plan) -> Self {
        let rows = Rows::new(plan.fields.len());
        Self { rows, inputs: vec![], touched: 0, runs: vec![], memory: 0 }
    }
}

/// What came out, counted apart from what went in.
#[derive(Default)]
pub struct Tally {
    inputs: BTreeMap<usize, Counts>,
    /// The latest time of a clean row.
    pub latest: Option<i64>,
}

/// What came out of one input.
#[derive(Clone, Copy, Default)]
pub struct Counts {
    pub clean: u64,
    pub duplicate: u64,
}

impl Tally {
    pub fn of(&mut self, input: usize) -> &mut Counts {
        self.inputs.entry(input).or_default()
    }

    pub fn add(&mut self, more: &Self) {
        for (&input, counts) in &more.inputs {
            let of = self.of(input);
            of.clean += counts.clean;
            of.duplicate += counts.duplicate;
        }
        self.latest = self.latest.max(more.latest);
    }
}

/// What is needed to finish a bucket, and is used again for the next one.
pub struct Tools<'a> {
    pub kit: Kit,
    pub order: Order,
    windows: Windows<'a>,
    /// What features are written with, where another thread does it meanwhile.
    second: Option<Kit>,
}

/// Tools for whoever needs some: there are as many as are used at once.
pub struct Toolbox<'a> {
    plan: &'a Plan,
    threads: usize,
    idle: Mutex<Vec<Tools<'a>>>,
}

impl<'a> Toolbox<'a> {
    pub const fn new(plan: &'a Plan, threads: usize) -> Self {
        Self { plan, threads, idle: Mutex::new(vec![]) }
    }

    /// Does some work with tools.
    pub fn with<R>(&self, work: impl FnOnce(&mut Tools<'a>) -> io::Result<R>) -> io::Result<R> {
        /// Their memory is that of the largest bucket, and no more large ones are written at once.
        const KEPT: usize = 2;
        let idle = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let mut tools = taken.map_or_else(|| self.made(), Ok)?;
        let result = work(&mut tools)?;
        let mut idle = idle();
        if idle.len() < KEPT {
            idle.push(tools);
        }
        Ok(result)
    }

    fn made(&self) -> io::Result<Tools<'a>> {
        Ok(Tools {
            kit: Kit::new()?,
            order: Order::default(),
            windows: Windows::new(self.plan),
            second: if self.threads > 1 { Some(Kit::new()?) } else { None },
        })
    }
}

/// Files of rows and of features, each with its day.
pub type Files = [Vec<(i64, Delivered)>; 2];

/// A bucket that is written: its files of rows and of features with their days, and its memory.
pub struct Done {
    pub files: Files,
    pub tally: Tally,
    pub rows: Rows,
}

/// Writes a bucket; `early` when more rows may come for it.
pub fn finish(
    plan: &Plan,
    folder: &Path,
    bucket: Bucket,
    early: bool,
    tools: &mut Tools<'_>,
) -> io::Result<Done> {
    let Bucket { rows, inputs, runs, .. } = bucket;
    let mut order = std::mem::take(&mut tools.order);
    order.sort(&rows, &plan.key.fields);
    if tools.second.is_some() {
        // Other threads need memory now.
        order.shrink();
    }
    let mut writing = Writing::new(plan, folder, early, tools);
    if runs.is_empty() {
        writing.count(&inputs, rows.len(), &order);
        writing.write(&rows, &order.kept)?;
    } else {
        for &row in &order.duplicates {
            writing.tally.of(input_of(&inputs, row)).duplicate += 1;
        }
        let mut sources: Vec<Source<'_>> =
            runs.iter().map(|run| run.read(plan)).collect::<io::Result<_>>()?;
        let numbers = order.kept.iter().map(|&row| input_of(&inputs, row) as u32);
        sources.push(Source::of_rows(&rows, &order.kept, numbers, plan)?);
        writing.merge(Merge::new(sources, &plan.key.fields))?;
    }
    let (files, tally) = writing.end()?;
    tools.order = order;
    Ok(Done { files, tally, rows })
}

/// The files of a bucket that is being written.
struct Writing<'a, 't> {
    plan: &'a Plan,
    tools: &'a mut Tools<'t>,
    rows: Daily<'a>,
    /// Whether rows are written: also when they are not shipped, if they may be needed again.
    keeps_rows: bool,
    features: Daily<'a>,
    tally: Tally,
}

impl<'a, 't> Writing<'a, 't> {
    fn new(plan: &'a Plan, folder: &'a Path, early: bool, tools: &'a mut Tools<'t>) -> Self {
        let fields = plan.fields.iter().map(|field| (field.name.as_str(), field.kind));
        let columns = windows::columns(plan);
        Self {
            plan,
            tools,
            rows: Daily::new(folder, "rows", Headers::new(Some("timestamp"), fields)),
            keeps_rows: plan.ship_rows || early,
            features: Daily::new(folder, "features", Headers::new(Some("window_start"), columns)),
            tally: Tally::default(),
        }
    }

    /// Counts the rows of each input, and those of them that are duplicates.
    fn count(&mut self, inputs: &[(u32, u32)], rows: usize, order: &Order) {
        let ends = inputs.iter().skip(1).map(|&(first, _)| first).chain([rows as u32]);
        for (&(first, input), end) in inputs.iter().zip(ends) {
            self.tally.of(input as usize).clean += u64::from(end - first);
        }
        for &row in &order.duplicates {
            let counts = self.tally.of(input_of(inputs, row));
            counts.clean -= 1;
            counts.duplicate += 1;
        }
    }

    fn merge(&mut self, mut merge: Merge<'_>) -> io::Result<()> {
        let mut table = Table::new(self.plan.kinds());
        let mut inputs = vec![];
        let mut pool = Pool::default();
        loop {
            let mut merged = Rows::new(self.plan.fields.len());
            while merged.len() < GROUP {
                table.clear();
                inputs.clear();
                let tally = &mut self.tally;
                let duplicate = |input| tally.of(input).duplicate += 1;
                merge.take(PIECE, &mut table, &mut inputs, duplicate)?;
                if table.is_empty() {
                    break;
                }
                // Rows of a file that had been finished are counted already.
                for &input in inputs.iter().filter(|&&input| input != COUNTED) {
                    self.tally.of(input as usize).clean += 1;
                }
                merged.extend(&table, 0..table.len(), &mut pool);
            }
            if merged.is_empty() {
                return Ok(());
            }
            let order: Vec<u32> = (0..merged.len() as u32).collect();
            self.write(&merged, &order)?;
            pool.give(merged);
        }
    }

    /// Writes sorted rows, and the features of the windows that they close.
    fn write(&mut self, rows: &Rows, order: &[u32]) -> io::Result<()> {
        let last = order.last().map(|&row| rows.time(row));
        self.tally.latest = self.tally.latest.max(last);
        let Self { tools: Tools { kit, windows, second, .. }, plan, features, .. } = self;
        let (are_kept, are_wanted) = (self.keeps_rows, plan.ship_features);
        let mut write_rows = |kit: &mut Kit| {
            if are_kept { self.rows.write_rows(rows, order, kit) } else { Ok(()) }
        };
        let mut write_features = |kit: &mut Kit| {
            if !are_wanted {
                return Ok(());
            }
            windows.add(rows, order);
            write_closed(windows, features, HELD_FEATURES, kit)
        };
        let Some(second) = second else {
            write_rows(kit)?;
            return write_features(kit);
        };
        thread::scope(|scope| {
            let features = scope.spawn(|| write_features(second));
            let rows = write_rows(kit);
            rows.and(features.join().unwrap_or_else(|panic| resume_unwind(panic)))
        })
    }

    fn end(mut self) -> io::Result<(Files, Tally)> {
        let Tools { windows, kit, .. } = &mut *self.tools;
        windows.close();
        write_closed(windows, &mut self.features, 0, kit)?;
        self.rows.end_day()?;
        self.features.end_day()?;
        Ok(([self.rows.delivered, self.features.delivered], self.tally))
    }
}

/// Writes the features of closed windows when they are more than may be held.
fn write_closed(
    windows: &mut Windows<'_>,
    features: &mut Daily<'_>,
    held: usize,
    kit: &mut Kit,
) -> io::Result<()> {
    if windows.closed.len() > held || windows.closed.memory() > HELD_BYTES {
        features.write(&mut windows.closed, kit)?;
    }
    Ok(())
}

/// The input of a row.
pub fn input_of(inputs: &[(u32, u32)], row: u32) -> usize {
    let behind = inputs.partition_point(|&(first, _)| first <= row);
    inputs[behind - 1].1 as usize
}
