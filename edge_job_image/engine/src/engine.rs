//! The order of the work: read each range, sort and deduplicate, write.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::blocks::{Blocks, Part, Unread};
use crate::buckets::{Buckets, Finished};
use crate::clean::{Batch, Cleaner, Outside};
use crate::content::Digesting;
use crate::header::{self, Header, lay_out};
use crate::plan::Plan;
use crate::ranges::{Lines, Ranges};
use crate::reason::{Quarantine, Reason};
use crate::rejects::Rejects;
use crate::timestamp::Evidence;

/// Bytes of a file that are read before its rows are let in among the others. A file that is to be
/// quarantined mostly shows it by then; one that does so later has the whole work done again
/// without it.
const HELD: u64 = 1 << 20;

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
    let mut known = BTreeMap::new();
    loop {
        match Work::new(plan, inputs, folder, outside, progress)?.run(&known) {
            Ok(outcome) => return Ok(outcome),
            Err(Stop::Failure(failure)) => return Err(failure),
            Err(Stop::TooLate { input, refused, columns }) => {
                known.insert(input, (refused, columns));
                remove_files(folder)?;
            }
        }
    }
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

struct Work<'a> {
    plan: &'a Plan,
    inputs: &'a [Input],
    outside: Outside<'a>,
    progress: &'a Progress<'a>,
    buckets: Buckets<'a>,
    rejects: Rejects<'a>,
    batch: Batch,
    buffer: Vec<u8>,
    columns: BTreeSet<String>,
    headers: u64,
}

/// A file that is being read.
struct Reading {
    number: usize,
    read: Read,
    /// The offset of the batch.
    offset: u64,
    widths: Vec<(usize, u64)>,
    /// Whether some of its rows are among the others.
    is_in: bool,
}

impl<'a> Work<'a> {
    fn new(
        plan: &'a Plan,
        inputs: &'a [Input],
        folder: &'a Path,
        outside: Outside<'a>,
        progress: &'a Progress<'a>,
    ) -> io::Result<Self> {
        Ok(Self {
            plan,
            inputs,
            outside,
            progress,
            buckets: Buckets::new(plan, folder, inputs.len())?,
            rejects: Rejects::new(folder),
            batch: Batch::new(plan),
            buffer: vec![],
            columns: BTreeSet::new(),
            headers: 0,
        })
    }

    fn run(mut self, known: &BTreeMap<usize, (Refused, Vec<String>)>) -> Result<Outcome, Stop> {
        let mut results = Vec::with_capacity(self.inputs.len());
        let mut done = 0;
        for (number, input) in self.inputs.iter().enumerate() {
            let result = match known.get(&number) {
                Some((refused, columns)) => {
                    self.saw(columns);
                    Err(refused.clone())
                }
                None => self.read(number, input, done)?,
            };
            results.push(result);
            done += input.end - input.start;
            self.tell(done)?;
        }
        let rejected = self.rejects.finish(&mut self.buckets.kit)?;
        let (mut files, counted) = self.buckets.finish()?;
        files.extend(rejected.map(|file| Finished { kind: "rejected", day: None, file }));
        for (number, read) in results.iter_mut().enumerate() {
            if let Ok(read) = read {
                read.clean = counted.clean[number];
                read.duplicate = counted.duplicate[number];
            }
        }
        Ok(Outcome {
            inputs: results,
            files,
            latest: counted.latest,
            columns: self.columns,
            headers: self.headers,
        })
    }

    fn tell(&self, done: u64) -> Result<(), Failure> {
        if (self.progress)(done) { Ok(()) } else { Err(Failure::Stopped) }
    }

    fn saw(&mut self, columns: &[String]) {
        self.headers += u64::from(!columns.is_empty());
        self.columns.extend(columns.iter().cloned());
    }

    fn read(
        &mut self,
        number: usize,
        input: &Input,
        done: u64,
    ) -> Result<Result<Read, Refused>, Stop> {
        let mut file = match open_regular(&input.path) {
            Ok(file) => BufReader::with_capacity(4096, file),
            Err(refused) => return Ok(Err(refused)),
        };
        let repr = self.outside.repr;
        let header = match header::read(&mut file, input.end, self.plan, repr) {
            Err(error) => return Ok(Err(failed(&error))),
            Ok(Err(quarantine)) => return Ok(Err(Refused::Quarantined(quarantine))),
            Ok(Ok(None)) => {
                return Ok(match Digesting::open(file.into_inner(), input.digested, input.end) {
                    Ok(file) => {
                        Ok(Read { lines: input.lines, content: file.finish(), ..Read::default() })
                    }
                    Err(error) => Err(failed(&error)),
                });
            }
            Ok(Ok(Some(header))) => header,
        };
        let layout = match lay_out(&header, self.plan, repr) {
            Ok(layout) => layout,
            Err(quarantine) => {
                self.saw(&header.columns);
                return Ok(Err(Refused::Quarantined(quarantine)));
            }
        };
        let mut cleaner = Cleaner::new(self.plan, &header, &layout, self.outside);
        if let Some(evidence) = Evidence::new(&self.plan.timestamp) {
            match self.formats_ruled_out(&cleaner, evidence, &mut file, header.end..input.end) {
                Ok(formats) => cleaner.rule_out(formats),
                Err(refused) => return Ok(Err(refused)),
            }
        }
        let start = (input.start, input.lines).max((header.end, header.lines));
        // What the header's reader holds in its own buffer is left behind.
        let file = match Digesting::open(file.into_inner(), input.digested, start.0) {
            Ok(file) => file,
            Err(error) => return Ok(Err(failed(&error))),
        };
        let mut reading = Reading {
            number,
            read: Read { lines: start.1, ..Read::default() },
            offset: start.0,
            widths: vec![],
            is_in: false,
        };
        let buffer = std::mem::take(&mut self.buffer);
        let mut blocks = Blocks::new(file, start.0, input.end, buffer);
        self.batch.clear();
        let refused = loop {
            match blocks.read() {
                Ok(None) => break None,
                Ok(Some(Part::Lines(block))) => {
                    cleaner.block(block, &mut self.batch);
                }
                Ok(Some(Part::TooLong(line, size))) => {
                    cleaner.too_long(line, size, &mut self.batch);
                }
                Err(unread) => break Some(Refused::from(unread)),
            }
            if reading.is_in || self.batch.bytes >= HELD {
                self.take_in(&mut reading, input)?;
            }
            // A restart begins again at a byte that has been told before: that is no harm.
            self.tell(done + blocks.position().saturating_sub(input.start))?;
        };
        let cut = u64::from(!blocks.ended);
        let (file, buffer) = blocks.into_parts();
        self.buffer = buffer;
        reading.read.content = file.finish();
        let refused = refused.or_else(|| judge(&header, &reading, &self.batch));
        if let Some(refused) = refused {
            if reading.is_in {
                let columns = columns_of(&refused, &header);
                return Err(Stop::TooLate { input: number, refused, columns });
            }
            self.saw(&columns_of(&refused, &header));
            return Ok(Err(refused));
        }
        self.take_in(&mut reading, input)?;
        self.saw(&header.columns);
        reading.read.lines -= cut;
        Ok(Ok(reading.read))
    }

    /// Reads a file from its first row on, also what was delivered, for how its times are written.
    fn formats_ruled_out(
        &mut self,
        cleaner: &Cleaner<'_>,
        mut evidence: Evidence<'_>,
        file: &mut BufReader<File>,
        range: std::ops::Range<u64>,
    ) -> Result<Vec<bool>, Refused> {
        file.seek(SeekFrom::Start(range.start)).map_err(|error| failed(&error))?;
        let again = file.get_ref().try_clone().map_err(|error| failed(&error))?;
        let mut blocks =
            Blocks::new(again, range.start, range.end, std::mem::take(&mut self.buffer));
        while let Some(part) = blocks.read()? {
            if let Part::Lines(block) = part {
                cleaner.observe(block, &mut evidence);
            }
        }
        self.buffer = blocks.into_parts().1;
        Ok(evidence.ruled_out())
    }

    /// Lets the rows of the batch in among those of other files.
    fn take_in(&mut self, reading: &mut Reading, input: &Input) -> io::Result<()> {
        let batch = &mut self.batch;
        for row in &batch.rejected {
            let (line, offset) = (reading.read.lines + row.line + 1, reading.offset + row.offset);
            let kit = &mut self.buckets.kit;
            self.rejects.add((&input.name, line, offset), row, kit)?;
            *reading.read.rejected.entry(row.reason).or_default() += 1;
            // The last line of a file can lack the newline that was counted.
            let end = (offset + row.size).min(input.end);
            reading.read.refused.add(Lines { start: offset, end, lines: line - 1 });
        }
        self.buckets.add(&batch.rows, reading.number)?;
        reading.read.rows += (batch.rows.len() + batch.rejected.len()) as u64;
        reading.read.lines += batch.lines;
        reading.offset += batch.bytes;
        add_widths(&mut reading.widths, &batch.widths);
        reading.is_in = true;
        batch.clear();
        Ok(())
    }
}

fn add_widths(widths: &mut Vec<(usize, u64)>, more: &[(usize, u64)]) {
    for &(width, count) in more {
        match widths.iter_mut().find(|(known, _)| *known == width) {
            Some((_, known)) => *known += count,
            None => widths.push((width, count)),
        }
    }
}

/// Refuses a file that is not a CSV of its header, rather than reject all of its rows.
fn judge(header: &Header, reading: &Reading, batch: &Batch) -> Option<Refused> {
    const ENOUGH: u64 = 10;
    let rows = reading.read.rows + (batch.rows.len() + batch.rejected.len()) as u64;
    let count = |reason: Reason| {
        let before = reading.read.rejected.get(&reason).copied().unwrap_or_default();
        before + batch.rejected.iter().filter(|row| row.reason == reason).count() as u64
    };
    // Nine of ten, as the double 0.9 has it in the other engine.
    let nearly_all = |count: u64| count as f64 >= 0.9 * rows as f64;
    if rows < ENOUGH {
        return None;
    }
    if nearly_all(count(Reason::NotText)) {
        let message = "nearly all lines hold NUL bytes: this is not text".to_owned();
        return Some(Refused::Quarantined(Quarantine { reason: "not_text", message }));
    }
    if nearly_all(count(Reason::WrongFieldCount)) {
        let mut widths = reading.widths.clone();
        add_widths(&mut widths, &batch.widths);
        // The first of the most frequent ones.
        let width = widths.iter().rev().max_by_key(|(_, count)| *count).map_or(0, |&(w, _)| w);
        let message = format!("{width} fields in rows, {} in the header", header.columns.len());
        return Some(Refused::Quarantined(Quarantine { reason: "wrong_field_count", message }));
    }
    None
}

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
