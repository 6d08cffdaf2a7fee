//! The order of the work: read each range, sort and deduplicate, write.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use crate::blocks::{Block, Blocks, Part, Unread};
use crate::buckets::{Buckets, Finished};
use crate::clean::{Batch, Outside};
use crate::content::Digesting;
use crate::crew::{self, Crew, Ticket};
use crate::finish::Tools;
use crate::header::{self, Header, lay_out};
use crate::history::History;
use crate::plan::Plan;
use crate::ranges::{Lines, Ranges};
use crate::reading::{End, Reading, Shape, add_widths};
use crate::reason::{Quarantine, Reason};
use crate::rejects::Rejects;
use crate::timestamp::Evidence;

/// The part of a file that is to be read.
pub struct Input {
    pub name: String,
    pub path: PathBuf,
    pub start: u64,
    pub end: u64,
    /// Newlines before `start`.
    pub lines: u64,
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
    pub columns: BTreeSet<String>,
    /// Headers that could be read.
    pub headers: u64,
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
    crew::with(
        threads(plan, bytes),
        || Tools::new(plan),
        |crew| {
            let mut known = BTreeMap::new();
            loop {
                match Work::new(plan, inputs, folder, outside, progress, crew).run(&known) {
                    Ok(outcome) => return Ok(outcome),
                    Err(Stop::Failure(failure)) => return Err(failure),
                    Err(Stop::TooLate { input, refused, columns }) => {
                        known.insert(input, (refused, columns));
                        remove_files(folder)?;
                    }
                }
            }
        },
    )?
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
        columns: Vec<String>,
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
    crew: &'c mut Crew<'a, Tools<'a>>,
    buckets: Buckets<'a>,
    rejects: Rejects<'a>,
    history: Option<History<'a>>,
    results: Vec<Option<Result<Read, Refused>>>,
    /// The files of which not all rows are in, in their order.
    open: VecDeque<Reading<'a>>,
    /// Blocks that are being cleaned.
    blocks: usize,
    /// Memory to use again.
    spare: Vec<(Block, Batch)>,
    columns: BTreeSet<String>,
    headers: u64,
}

impl<'a, 'c> Work<'a, 'c> {
    fn new(
        plan: &'a Plan,
        inputs: &'a [Input],
        folder: &'a Path,
        outside: Outside<'a>,
        progress: &'a Progress<'a>,
        crew: &'c mut Crew<'a, Tools<'a>>,
    ) -> Self {
        Self {
            plan,
            inputs,
            outside,
            progress,
            crew,
            buckets: Buckets::new(plan, folder),
            rejects: Rejects::new(folder),
            history: History::new(plan),
            results: vec![None; inputs.len()],
            open: VecDeque::new(),
            blocks: 0,
            spare: vec![],
            columns: BTreeSet::new(),
            headers: 0,
        }
    }

    fn run(mut self, known: &BTreeMap<usize, (Refused, Vec<String>)>) -> Result<Outcome, Stop> {
        if let Err(stop) = self.read_all(known) {
            // No thread may write any more when the files are removed.
            self.buckets.abandon();
            return Err(stop);
        }
        let rejected = self.rejects.finish(&mut self.crew.tools.kit)?;
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
            columns: self.columns,
            headers: self.headers,
            history: self.history.map(History::kept),
        })
    }

    fn read_all(&mut self, known: &BTreeMap<usize, (Refused, Vec<String>)>) -> Result<(), Stop> {
        let mut done = 0;
        for (number, input) in self.inputs.iter().enumerate() {
            match known.get(&number) {
                Some((refused, columns)) => {
                    self.saw(columns);
                    self.results[number] = Some(Err(refused.clone()));
                }
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

    fn saw(&mut self, columns: &[String]) {
        self.headers += u64::from(!columns.is_empty());
        self.columns.extend(columns.iter().cloned());
    }

    /// Reads a range, and has its blocks cleaned.
    fn read(&mut self, number: usize, input: &'a Input, done: u64) -> Result<(), Stop> {
        let (file, shape, start) = match self.open(input) {
            Ok(opened) => opened,
            Err(result) => {
                self.results[number] = Some(result);
                return Ok(());
            }
        };
        self.open.push_back(Reading::new(number, input, shape, start));
        let mut blocks = Blocks::new(file, start.0, input.end);
        let refused = loop {
            let (block, batch) =
                self.spare.pop().unwrap_or_else(|| (Block::default(), Batch::new(self.plan)));
            match blocks.read(block) {
                Ok(None) => break None,
                Ok(Some(part)) => self.clean(part, batch),
                Err(unread) => break Some(Refused::from(unread)),
            }
            self.take_in(2 * (self.crew.threads - 1))?;
            // A restart begins again at a byte that has been told before: that is no harm.
            self.tell(done + blocks.position().saturating_sub(input.start))?;
        };
        let is_cut = !blocks.ended;
        let content = blocks.into_file().finish();
        if let Some(reading) = self.open.back_mut() {
            reading.end = Some(End { refused, is_cut, content });
        }
        self.take_in(2 * (self.crew.threads - 1))
    }

    /// Opens a file where its range begins: there, or at its first row; otherwise what comes of it.
    fn open(&mut self, input: &Input) -> Result<Opened, Result<Read, Refused>> {
        let file = open_regular(&input.path).map_err(Err)?;
        let mut file = BufReader::with_capacity(4096, file);
        let repr = self.outside.repr;
        let failed = |error: io::Error| Err(failed(&error));
        let header = match header::read(&mut file, input.end, self.plan, repr).map_err(failed)? {
            Err(quarantine) => return Err(Err(Refused::Quarantined(quarantine))),
            Ok(Some(header)) => header,
            Ok(None) => {
                let file = Digesting::open(file.into_inner(), input.digested, input.end);
                let content = file.map_err(failed)?.finish();
                return Err(Ok(Read { lines: input.lines, content, ..Read::default() }));
            }
        };
        let layout = lay_out(&header, self.plan, repr).map_err(|quarantine| {
            self.saw(&header.columns);
            Err(Refused::Quarantined(quarantine))
        })?;
        let start = (input.start, input.lines).max((header.end, header.lines));
        let mut shape = Shape { header, layout, ruled_out: None };
        if let Some(evidence) = Evidence::new(&self.plan.timestamp) {
            let formats = self.formats_ruled_out(&shape, evidence, &mut file, input.end);
            shape.ruled_out = Some(formats.map_err(Err)?);
        }
        // What the header's reader holds in its own buffer is left behind.
        let file = Digesting::open(file.into_inner(), input.digested, start.0).map_err(failed)?;
        Ok((file, shape, start))
    }

    /// Reads a file from its first row on, also what was delivered, for how its times are written.
    fn formats_ruled_out(
        &self,
        shape: &Shape,
        mut evidence: Evidence<'_>,
        file: &mut BufReader<File>,
        end: u64,
    ) -> Result<Vec<bool>, Refused> {
        let start = shape.header.end;
        file.seek(SeekFrom::Start(start)).map_err(|error| failed(&error))?;
        let again = file.get_ref().try_clone().map_err(|error| failed(&error))?;
        let cleaner = shape.cleaner(self.plan, self.outside);
        let mut blocks = Blocks::new(again, start, end);
        let mut block = Block::default();
        while let Some(part) = blocks.read(block)? {
            block = match part {
                Part::Lines(block) => {
                    cleaner.observe(block.lines(), &mut evidence);
                    block
                }
                Part::TooLong(block, _) => block,
            }
        }
        Ok(evidence.ruled_out())
    }

    /// Has a part of the file that was opened last cleaned.
    fn clean(&mut self, part: Part, mut batch: Batch) {
        let Some(reading) = self.open.back_mut() else { return };
        let (plan, outside, shape) = (self.plan, self.outside, Arc::clone(&reading.shape));
        self.blocks += 1;
        reading.blocks.push_back(match part {
            Part::Lines(block) => self.crew.submit(move |_| {
                shape.cleaner(plan, outside).block(block.lines(), &mut batch);
                (block, batch)
            }),
            Part::TooLong(block, size) => {
                shape.cleaner(plan, outside).too_long(block.lines(), size, &mut batch);
                Ticket::Ready((block, batch))
            }
        });
    }

    /// Lets the rows of blocks in, in their order, until only so many blocks are being cleaned.
    fn take_in(&mut self, left: usize) -> Result<(), Stop> {
        while let Some(mut reading) = self.open.pop_front() {
            while self.blocks > left
                && let Some(ticket) = reading.blocks.pop_front()
            {
                self.blocks -= 1;
                let (block, batch) = ticket.wait();
                reading.held.push(batch);
                self.spare.push((block, Batch::new(self.plan)));
                if reading.is_trusted() {
                    self.let_in(&mut reading)?;
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

    /// Ends a file of which all blocks are clean.
    fn end(&mut self, mut reading: Reading<'a>) -> Result<(), Stop> {
        let Some(End { refused, is_cut, content }) = reading.end.take() else { return Ok(()) };
        if let Some(refused) = refused.or_else(|| reading.judge()) {
            let columns = columns_of(&refused, &reading.shape.header);
            if reading.is_in {
                return Err(Stop::TooLate { input: reading.number, refused, columns });
            }
            self.saw(&columns);
            self.results[reading.number] = Some(Err(refused));
            return Ok(());
        }
        self.let_in(&mut reading)?;
        self.saw(&reading.shape.header.columns);
        reading.read.lines -= u64::from(is_cut);
        reading.read.content = content;
        self.results[reading.number] = Some(Ok(reading.read));
        Ok(())
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
                self.rejects.add((&input.name, line, at), row, &mut self.crew.tools.kit)?;
                *read.rejected.entry(row.reason).or_default() += 1;
                // The last line of a file can lack the newline that was counted.
                let end = (at + row.size).min(input.end);
                if !row.reason.looks_back() {
                    read.refused.add(Lines { start: at, end, lines: line - 1 });
                }
            }
            self.buckets.add(&batch.rows, reading.number, self.crew)?;
            read.rows += (batch.rows.len() + batch.rejected.len()) as u64;
            read.lines += batch.lines;
            *offset += batch.bytes;
            add_widths(&mut reading.widths, &batch.widths);
            batch.clear();
            // Its memory goes to one of the blocks that gave their own away.
            if let Some((_, spare)) = self.spare.iter_mut().find(|(_, spare)| spare.is_new()) {
                *spare = batch;
            }
        }
        reading.is_in = true;
        Ok(())
    }
}

/// A file that stands where its rows begin, what its blocks have in common, and that position in
/// bytes and newlines.
type Opened = (Digesting<File>, Shape, (u64, u64));

/// The columns that a refused file counts for.
fn columns_of(refused: &Refused, header: &Header) -> Vec<String> {
    match refused {
        Refused::Quarantined(_) => header.columns.clone(),
        _ => vec![],
    }
}

impl From<Unread> for Refused {
    fn from(unread: Unread) -> Self {
        match unread {
            Unread::Shrunk { at, end } => Self::Shrunk { at, end },
            Unread::Failed(error) => failed(&error),
        }
    }
}

fn failed(error: &io::Error) -> Refused {
    Refused::Failed(error.raw_os_error().unwrap_or(libc::EIO))
}

/// Opens a file of the source: never through a link, never a pipe, which would block.
fn open_regular(path: &Path) -> Result<File, Refused> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path);
    let file = file.map_err(|error| failed(&error))?;
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => Ok(file),
        Ok(_) => Err(Refused::NotRegular),
        Err(error) => Err(failed(&error)),
    }
}
