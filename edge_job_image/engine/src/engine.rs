//! The order of the work: read each range, sort and deduplicate, write.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use crate::blocks::{BLOCK, Block, Blocks, Part, Unread};
use crate::buckets::{Buckets, Finished};
use crate::chain::{Chain, End, Taken};
use crate::clean::{Batch, Outside};
use crate::crew::{self, Crew};
use crate::finish::Toolbox;
use crate::history::History;
use crate::plan::{Dialect, Plan};
use crate::ranges::{Lines, Ranges};
use crate::reading::{Cleaned, Desk, Desks, Reading, Shape, add_widths};
use crate::reason::{Quarantine, Reason};
use crate::rejects::Rejects;
use crate::source::{self, Compression, Ended, Source};
use crate::timestamp::Evidence;

/// The part of a file that is to be read.
pub struct Input {
    pub name: String,
    pub path: PathBuf,
    /// Where the file's first record is.
    pub first: u64,
    pub start: u64,
    pub end: u64,
    /// Line ends before the first record of the range.
    pub lines: u64,
    /// Which of the plan's dialects it is written in.
    pub dialect: usize,
    pub compression: Compression,
    /// Bytes, a multiple of a MiB, of which the digests are known.
    pub digested: u64,
}

/// Why no row of a file is delivered.
#[derive(Clone, Debug)]
pub enum Refused {
    Quarantined(Quarantine),
    /// The file became shorter: where it ended, and where it did before.
    Shrunk {
        at: u64,
        end: u64,
    },
    NotRegular,
    /// The operating system's error number.
    Failed(i32),
}

/// What became of one range.
#[derive(Clone, Debug, Default)]
pub struct Read {
    pub rows: u64,
    pub rejected: BTreeMap<Reason, u64>,
    pub refused: Ranges,
    /// Newlines before the range's end.
    pub lines: u64,
    pub clean: u64,
    pub duplicate: u64,
    /// Digests of the file's content up to the range's end; see `content`.
    pub content: Vec<u8>,
}

/// What the engine made of its inputs.
pub struct Outcome {
    pub inputs: Vec<Result<Read, Refused>>,
    pub files: Vec<Finished>,
    pub latest: Option<i64>,
    /// What the next run is to know of series, where rules look back.
    pub history: Option<String>,
}

/// Why the engine ends without an outcome.
#[derive(Debug)]
pub enum Failure {
    /// The working directory cannot be written.
    Work(io::Error),
    /// Whoever follows the progress said so.
    Stopped,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Work(error)
    }
}

/// Told how many bytes have been read; whether to go on.
pub type Progress<'a> = dyn Fn(u64) -> bool + 'a;

/// Cleans the inputs and writes the files of the result into a folder.
pub fn run(
    plan: &Plan,
    inputs: &[Input],
    folder: &Path,
    outside: Outside<'_>,
    progress: &Progress<'_>,
) -> Result<Outcome, Failure> {
    let bytes = inputs.iter().map(|input| input.end - input.start).sum();
    let threads = threads(plan, bytes);
    let toolbox = Toolbox::new(plan, threads);
    crew::with(threads, |crew| {
        let mut known = BTreeMap::new();
        loop {
            let work = Work::new((plan, &toolbox), inputs, folder, outside, progress, crew);
            match work.run(&known) {
                Ok(outcome) => return Ok(outcome),
                Err(Stop::Failure(failure)) => return Err(failure),
                Err(Stop::TooLate { input, refused }) => {
                    known.insert(input, refused);
                    remove_files(folder)?;
                }
            }
        }
    })
}

/// How many threads share the work: as many as the job says, or else as the container may use.
fn threads(plan: &Plan, bytes: u64) -> usize {
    /// Beyond these, whoever reads is the one that is waited for.
    const MOST: usize = 4;
    /// What one thread does in the time that it takes to begin.
    const FEW: u64 = 4 << 20;
    // The kernel's affinity and the quotas of cgroups (v1 and v2) count.
    let available = || thread::available_parallelism().map_or(1, usize::from).min(MOST);
    plan.threads.unwrap_or_else(|| if bytes < FEW { 1 } else { available() })
}

fn remove_files(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "parquet" || extension == "tmp") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

enum Stop {
    Failure(Failure),
    /// A file is to be refused when some of its rows are among the others already.
    TooLate {
        input: usize,
        refused: Refused,
    },
}

impl<E: Into<Failure>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Failure(error.into())
    }
}

struct Work<'a, 'c> {
    plan: &'a Plan,
    inputs: &'a [Input],
    outside: Outside<'a>,
    progress: &'a Progress<'a>,
    crew: &'c Crew<'a>,
    buckets: Buckets<'a>,
    rejects: Rejects<'a>,
    history: Option<History<'a>>,
    results: Vec<Option<Result<Read, Refused>>>,
    /// The files of which not all rows are in, in their order.
    open: VecDeque<Reading<'a>>,
    /// Blocks that are being cleaned.
    blocks: usize,
    desks: Arc<Desks<'a>>,
    /// Memory to use again.
    spare: Vec<Batch>,
}

impl<'a, 'c> Work<'a, 'c> {
    fn new(
        (plan, toolbox): (&'a Plan, &'a Toolbox<'a>),
        inputs: &'a [Input],
        folder: &'a Path,
        outside: Outside<'a>,
        progress: &'a Progress<'a>,
        crew: &'c Crew<'a>,
    ) -> Self {
        Self {
            plan,
            inputs,
            outside,
            progress,
            crew,
            buckets: Buckets::new(plan, folder, toolbox),
            rejects: Rejects::new(folder, toolbox),
            history: History::new(plan),
            results: vec![None; inputs.len()],
            open: VecDeque::new(),
            blocks: 0,
            desks: Arc::default(),
            spare: vec![],
        }
    }

    fn run(mut self, known: &BTreeMap<usize, Refused>) -> Result<Outcome, Stop> {
        if let Err(stop) = self.read_all(known) {
            // No thread may write any more when the files are removed.
            self.buckets.abandon();
            self.rejects.abandon();
            return Err(stop);
        }
        let rejected = self.rejects.finish(self.crew)?;
        let (mut files, mut tally) = self.buckets.finish(self.crew)?;
        files.extend(rejected.map(|file| Finished { kind: "rejected", day: None, file }));
        let mut inputs: Vec<_> = self.results.into_iter().flatten().collect();
        for (number, read) in inputs.iter_mut().enumerate() {
            if let Ok(read) = read {
                let counts = tally.of(number);
                read.clean = counts.clean;
                read.duplicate = counts.duplicate;
            }
        }
        Ok(Outcome {
            inputs,
            files,
            latest: tally.latest,
            history: self.history.map(History::kept),
        })
    }

    fn read_all(&mut self, known: &BTreeMap<usize, Refused>) -> Result<(), Stop> {
        let mut done = 0;
        for (number, input) in self.inputs.iter().enumerate() {
            match known.get(&number) {
                Some(refused) => self.results[number] = Some(Err(refused.clone())),
                None => self.read(number, input, done)?,
            }
            done += input.end - input.start;
            self.tell(done)?;
        }
        self.take_in(0)
    }

    fn tell(&self, done: u64) -> Result<(), Failure> {
        if (self.progress)(done) { Ok(()) } else { Err(Failure::Stopped) }
    }

    /// Reads a range, and has its blocks cleaned.
    fn read(&mut self, number: usize, input: &'a Input, done: u64) -> Result<(), Stop> {
        let start = input.start.max(input.first);
        let (file, shape) = match self.open(input, start) {
            Ok(opened) => opened,
            Err(refused) => {
                self.results[number] = Some(Err(refused));
                return Ok(());
            }
        };
        let likely = likely(&file, input.end - start);
        let chain = Arc::new(Chain::new(blocks(file, (start, input.end), shape.dialect)));
        self.open.push_back(Reading::new(number, input, shape, start));
        let mut wanted = likely;
        while !chain.is_over() {
            if wanted > 0 {
                wanted -= 1;
                self.clean(&chain);
                self.take_in(2 * (self.crew.threads - 1))?;
            } else if likely == 1 {
                break;
            } else if self.open.back().is_some_and(|reading| !reading.blocks.is_empty()) {
                // All may be read soon.
                self.take_in(self.blocks - 1)?;
            } else {
                wanted = 1;
            }
            // A restart begins again at a byte that has been told before: that is no harm.
            self.tell(done + chain.position().min(input.end) - input.start)?;
        }
        Ok(())
    }

    /// Opens a file where the records of its range begin.
    fn open(&self, input: &Input, start: u64) -> Result<(Source, Shape<'a>), Refused> {
        let dialect = &self.plan.dialects[input.dialect];
        let mut shape = Shape { dialect, ruled_out: None };
        if let Some(evidence) = Evidence::new(&self.plan.timestamp) {
            shape.ruled_out = Some(self.formats_ruled_out(&shape, evidence, input)?);
        }
        let file = source::open(input, (start, input.end), input.digested, dialect)?;
        Ok((file, shape))
    }

    /// Reads a file from its first row on, also what was delivered, for how its times are written.
    fn formats_ruled_out(
        &self,
        shape: &Shape<'a>,
        mut evidence: Evidence<'_>,
        input: &Input,
    ) -> Result<Vec<bool>, Refused> {
        let range = (input.first, input.end);
        let file = source::open(input, range, input.end, shape.dialect)?;
        let cleaner = shape.cleaner(self.plan, self.outside);
        let mut blocks = blocks(file, range, shape.dialect);
        let mut block = Block::default();
        while let Some(part) = blocks.read(&mut block)? {
            if matches!(part, Part::Lines) {
                cleaner.observe(block.lines(), &mut evidence);
            }
        }
        Ok(evidence.ruled_out())
    }

    /// Has a block of the file that was opened last read and cleaned.
    fn clean(&mut self, chain: &Arc<Chain>) {
        let Some(reading) = self.open.back_mut() else { return };
        let (plan, outside) = (self.plan, self.outside);
        let (shape, chain) = (Arc::clone(&reading.shape), Arc::clone(chain));
        let desks = Arc::clone(&self.desks);
        let mut batch = self.spare.pop().unwrap_or_else(|| Batch::new(plan));
        self.blocks += 1;
        reading.blocks.push_back(self.crew.submit(move || {
            desks.with(|Desk { block, cleaner }| {
                let Taken { number, part, end } = chain.take(block);
                batch.clear();
                if let Some(part) = part {
                    let cleaner = cleaner.of(&shape, plan, outside);
                    match part {
                        Part::Lines => cleaner.block(block.lines(), &mut batch),
                        Part::TooLong(size) => cleaner.too_long(block.lines(), size, &mut batch),
                    }
                }
                Cleaned { number, batch, is_there: part.is_some(), end }
            })
        }));
    }

    /// Lets the rows of blocks in, in their order, until only so many blocks are being cleaned.
    fn take_in(&mut self, left: usize) -> Result<(), Stop> {
        while let Some(mut reading) = self.open.pop_front() {
            while self.blocks > left
                && let Some(ticket) = reading.blocks.pop_front()
            {
                self.blocks -= 1;
                let mut more = Some(ticket.wait());
                while let Some(cleaned) = reading.next(more.take()) {
                    self.hold(&mut reading, cleaned)?;
                }
            }
            if !reading.blocks.is_empty() || reading.end.is_none() {
                self.open.push_front(reading);
                return Ok(());
            }
            self.end(reading)?;
        }
        Ok(())
    }

    /// Takes what became of a block to what the file holds.
    fn hold(&mut self, reading: &mut Reading<'a>, cleaned: Cleaned) -> io::Result<()> {
        let Cleaned { batch, is_there, end, .. } = cleaned;
        if end.is_some() {
            reading.end = end;
        }
        if !is_there {
            self.keep(batch);
            return Ok(());
        }
        reading.held.push(batch);
        if reading.is_trusted() { self.let_in(reading) } else { Ok(()) }
    }

    /// Ends a file of which all blocks are clean.
    fn end(&mut self, mut reading: Reading<'a>) -> Result<(), Stop> {
        let Some(End { refused, is_cut, content }) = reading.end.take() else { return Ok(()) };
        if let Some(refused) = refused.or_else(|| reading.judge()) {
            if reading.is_in {
                return Err(Stop::TooLate { input: reading.number, refused });
            }
            self.results[reading.number] = Some(Err(refused));
            return Ok(());
        }
        self.let_in(&mut reading)?;
        reading.read.lines -= u64::from(is_cut);
        reading.read.content = content;
        self.results[reading.number] = Some(Ok(reading.read));
        Ok(())
    }

    /// Keeps the memory of a batch for a block. It is cleared where that is cleaned: whoever frees the
    /// texts is whoever makes some, or all wait for one another.
    fn keep(&mut self, batch: Batch) {
        if self.spare.len() < 2 * self.crew.threads - 1 {
            self.spare.push(batch);
        }
    }

    /// Lets the rows that a file holds in among those of other files.
    fn let_in(&mut self, reading: &mut Reading<'_>) -> io::Result<()> {
        let Reading { read, input, offset, .. } = reading;
        for mut batch in reading.held.drain(..) {
            if let Some(history) = &mut self.history {
                history.judge(&mut batch);
            }
            for row in &batch.rejected {
                let (line, at) = (read.lines + row.line + 1, *offset + row.offset);
                self.rejects.add((&input.name, line, at), row, self.crew)?;
                *read.rejected.entry(row.reason).or_default() += 1;
                // The last line of a file can lack the newline that was counted.
                let end = (at + row.size).min(input.end);
                if !row.reason.looks_back() {
                    let lines = line - 1;
                    read.refused.add(Lines { start: at, end, lines, mixed: false });
                }
            }
            self.buckets.add(&batch.rows, reading.number, self.crew)?;
            read.rows += (batch.rows.len() + batch.rejected.len()) as u64;
            read.lines += batch.lines;
            *offset += batch.bytes;
            add_widths(&mut reading.widths, &batch.widths);
            self.keep(batch);
        }
        reading.is_in = true;
        Ok(())
    }
}

/// In how many blocks so many bytes will be read. Where it is one, it is one; else there can be more,
/// or fewer, which only makes somebody look for one in vain.
fn likely(file: &Source, bytes: u64) -> u64 {
    /// Bytes of a block that are left for the next one, since their line does not end.
    const REST: u64 = 128;
    match file {
        Source::Plain(_) => bytes / (BLOCK as u64 - REST) + 1,
        Source::Other(_) => u64::MAX,
    }
}

fn blocks(file: Source, (start, end): (u64, u64), dialect: &Dialect) -> Blocks<Source> {
    match file {
        Source::Plain(_) => Blocks::new(file, start, end),
        Source::Other(_) => Blocks::all(file, start, dialect.encoding),
    }
}

impl From<Unread> for Refused {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Shrunk { at, end } => Self::Shrunk { at, end },
            Unread::Failed(error) => Self::failed(&error),
        }
    }
}

impl Refused {
    /// Why a file could not be read.
    pub fn failed(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref()) {
            Some(&Ended { at, end }) => Self::Shrunk { at, end },
            None => Self::Failed(error.raw_os_error().unwrap_or(libc::EIO)),
        }
    }
}
