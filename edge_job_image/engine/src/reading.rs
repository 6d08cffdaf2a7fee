//! A file that is being read: its blocks on their way, and what has come of them so far.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::blocks::Block;
use crate::chain::End;
use crate::clean::{Batch, Cleaner, Outside};
use crate::crew::Ticket;
use crate::engine::{Input, Read, Refused};
use crate::plan::{Dialect, Plan};
use crate::reason::{Quarantine, Reason};

/// Bytes of a file that are read before its rows are let in among the others. A file that is to be
/// quarantined mostly shows it by then; one that does so later has the whole work done again
/// without it.
const HELD: u64 = 1 << 20;

/// What is the same for all blocks of a file. A block is cleaned by itself, whatever came before
/// it: what follows from rows before is found out where their batches come together again.
pub struct Shape<'a> {
    pub dialect: &'a Dialect,
    /// The formats of times that the file is not written in, if its own rows had to say so.
    pub ruled_out: Option<Vec<bool>>,
}

impl<'a> Shape<'a> {
    pub fn cleaner(&self, plan: &'a Plan, outside: Outside<'a>) -> Cleaner<'a> {
        let mut cleaner = Cleaner::new(plan, self.dialect, outside);
        if let Some(formats) = &self.ruled_out {
            cleaner.rule_out(formats.clone());
        }
        cleaner
    }
}

/// What it takes to read and clean a block.
#[derive(Default)]
pub struct Desk<'a> {
    pub block: Block,
    pub cleaner: Kept<'a>,
}

/// Desks for whoever needs one: there are as many as are used at once. Who leaves one mostly is who
/// needs the next, and finds its own memory near.
#[derive(Default)]
pub struct Desks<'a>(Mutex<Vec<Desk<'a>>>);

impl<'a> Desks<'a> {
    /// Does some work at a desk.
    pub fn with<R>(&self, work: impl FnOnce(&mut Desk<'a>) -> R) -> R {
        let idle = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = idle().pop();
        let mut desk = taken.unwrap_or_default();
        let result = work(&mut desk);
        idle().push(desk);
        result
    }
}

/// A cleaner, which has learned how a file is written.
#[derive(Default)]
pub struct Kept<'a>(Option<(Arc<Shape<'a>>, Cleaner<'a>)>);

impl<'a> Kept<'a> {
    /// The cleaner of a file; another file's is given up.
    pub fn of(
        &mut self,
        shape: &Arc<Shape<'a>>,
        plan: &'a Plan,
        outside: Outside<'a>,
    ) -> &mut Cleaner<'a> {
        let kept = self.0.take().filter(|(of, _)| Arc::ptr_eq(of, shape));
        let made = || (Arc::clone(shape), shape.cleaner(plan, outside));
        &mut self.0.insert(kept.unwrap_or_else(made)).1
    }
}

/// What became of a block, and how the file ended if it did.
pub struct Cleaned {
    /// Of how many blocks of its file there are before it.
    pub number: usize,
    pub batch: Batch,
    /// Whether there was anything left to read.
    pub is_there: bool,
    pub end: Option<End>,
}

/// A file of which not all rows are let in yet.
pub struct Reading<'a> {
    pub number: usize,
    pub input: &'a Input,
    pub shape: Arc<Shape<'a>>,
    pub read: Read,
    /// The offset of the first held batch.
    pub offset: u64,
    /// Field counts of the records that disagree with the header, in the order of their coming.
    pub widths: Vec<(usize, u64)>,
    /// Whether some of its rows are among the others.
    pub is_in: bool,
    /// Blocks that are being read and cleaned.
    pub blocks: VecDeque<Ticket<Cleaned>>,
    /// Those that are clean, before one that is not.
    early: Vec<Cleaned>,
    /// How many are in.
    taken: usize,
    /// What came of the blocks before them.
    pub held: Vec<Batch>,
    pub end: Option<End>,
}

impl<'a> Reading<'a> {
    pub fn new(number: usize, input: &'a Input, shape: Shape<'a>, start: u64) -> Self {
        Self {
            number,
            input,
            shape: Arc::new(shape),
            read: Read { lines: input.lines, ..Read::default() },
            offset: start,
            widths: vec![],
            is_in: false,
            blocks: VecDeque::new(),
            early: vec![],
            taken: 0,
            held: vec![],
            end: None,
        }
    }

    /// The next block in their order, if it is clean, or when `more` is.
    pub fn next(&mut self, more: Option<Cleaned>) -> Option<Cleaned> {
        self.early.extend(more);
        let at = self.early.iter().position(|cleaned| cleaned.number == self.taken)?;
        self.taken += 1;
        Some(self.early.swap_remove(at))
    }

    /// Whether enough is known of the file to let its rows in.
    pub fn is_trusted(&self) -> bool {
        self.is_in || self.held.iter().map(|batch| batch.bytes).sum::<u64>() >= HELD
    }

    /// Refuses a file that is not a CSV of its header, rather than reject all of its rows.
    pub fn judge(&self) -> Option<Refused> {
        const ENOUGH: u64 = 10;
        let held = |batch: &Batch| (batch.rows.len() + batch.rejected.len()) as u64;
        let rows = self.read.rows + self.held.iter().map(held).sum::<u64>();
        let rejected = || self.held.iter().flat_map(|batch| &batch.rejected);
        let count = |reason: Reason| {
            let before = self.read.rejected.get(&reason).copied().unwrap_or_default();
            before + rejected().filter(|row| row.reason == reason).count() as u64
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
            let mut widths = self.widths.clone();
            self.held.iter().for_each(|batch| add_widths(&mut widths, &batch.widths));
            // The first of the most frequent ones.
            let width = widths.iter().rev().max_by_key(|(_, count)| *count).map_or(0, |&(w, _)| w);
            let columns = self.shape.dialect.columns.len();
            let message = format!("{width} fields in rows, {columns} in the header");
            return Some(Refused::Quarantined(Quarantine { reason: "wrong_field_count", message }));
        }
        None
    }
}

pub fn add_widths(widths: &mut Vec<(usize, u64)>, more: &[(usize, u64)]) {
    for &(width, count) in more {
        match widths.iter_mut().find(|(known, _)| *known == width) {
            Some((_, known)) => *known += count,
            None => widths.push((width, count)),
        }
    }
}
