//! What has arrived and waits for the disk, and who waits for the answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::batch::Batch;
use super::refusal::{Reason, Refusal};

/// When more senders than this were answered together, it pays to wait a little for the next ones:
/// they are about to send again, and one fsync serves them all.
const SIBLINGS: usize = 3;
const DELAY: Duration = Duration::from_millis(2);

/// What became of readings.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// So many of them: the others were there already.
    Stored(usize),
    Refused(Refusal),
}

/// Who is told.
#[derive(Debug)]
pub enum Sender {
    Request(oneshot::Sender<Outcome>),
    /// A message of the broker, by the number that its receiver gave it.
    Message(u64),
}

/// Readings that wait together and are stored together or not at all.
#[derive(Debug)]
pub struct Pending {
    pub stream: String,
    pub batch: Batch,
    /// The digest of the idempotency key.
    pub key: Option<String>,
    /// Whether they may have been sent before.
    pub again: bool,
    pub sender: Sender,
    /// How many of them are there already.
    pub repeated: usize,
    /// Their share of what may wait.
    pub room: Room,
}

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub readings: usize,
    /// Of bodies and readings in memory.
    pub bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Pending>,
    settled: Vec<(u64, Outcome)>,
    refusals: BTreeMap<Reason, u64>,
    readings: usize,
    bytes: usize,
    ended: bool,
    /// At how many that wait the writer is to be told; 0: never, it is busy.
    wanted: usize,
    /// How many senders the writer took last.
    last: usize,
}

/// Requests with their answers.
pub type Answers = Vec<(oneshot::Sender<Outcome>, Outcome)>;

/// The queue, which the servers fill and the writer empties.
#[derive(Debug)]
pub struct Queue {
    limits: Limits,
    state: Mutex<State>,
    filled: Condvar,
    answers: mpsc::UnboundedSender<Answers>,
    answered: Mutex<Option<mpsc::UnboundedReceiver<Answers>>>,
}

impl Queue {
    pub fn new(limits: Limits) -> Arc<Self> {
        let (answers, answered) = mpsc::unbounded_channel();
        let answered = Mutex::new(Some(answered));
        let (state, filled) = (Mutex::default(), Condvar::new());
        Arc::new(Self { limits, state, filled, answers, answered })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes room for a body that arrives; `Room::grow` as it does.
    pub fn room(self: &Arc<Self>) -> Room {
        Room { queue: Arc::clone(self), readings: 0, bytes: 0 }
    }

    /// Lets readings wait.
    pub fn put(&self, pending: Pending) {
        let mut state = self.state();
        state.waiting.push(pending);
        // Each notification is a system call.
        if state.wanted > 0 && state.waiting.len() >= state.wanted {
            state.wanted = 0;
            self.filled.notify_one();
        }
    }

    /// Takes all that waits; when there is nothing, waits for it, so long at most.
    pub fn take(&self, longest: Duration) -> Vec<Pending> {
        let mut state = self.until(self.state(), 1, longest);
        if state.last > SIBLINGS && !state.waiting.is_empty() {
            let wanted = state.last;
            state = self.until(state, wanted, DELAY);
        }
        state.last = state.waiting.len();
        std::mem::take(&mut state.waiting)
    }

    /// Waits until so many wait, so long at most.
    fn until<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        wanted: usize,
        longest: Duration,
    ) -> MutexGuard<'a, State> {
        if state.waiting.len() >= wanted || state.ended {
            return state;
        }
        state.wanted = wanted;
        let (mut state, _) = self
            .filled
            .wait_timeout_while(state, longest, |state| state.wanted > 0)
            .unwrap_or_else(PoisonError::into_inner);
        state.wanted = 0;
        state
    }

    /// Tells who waits, all at once: to wake the server is a system call.
    pub fn settle(&self, settled: impl IntoIterator<Item = (Pending, Outcome)>) {
        let mut answers = Answers::new();
        let mut state = self.state();
        let mut rooms = Vec::new();
        for (Pending { sender, room, .. }, outcome) in settled {
            if let Outcome::Refused(refusal) = &outcome {
                *state.refusals.entry(refusal.reason).or_default() += 1;
            }
            match sender {
                Sender::Request(sender) => answers.push((sender, outcome)),
                Sender::Message(ticket) => state.settled.push((ticket, outcome)),
            }
            rooms.push(room);
        }
        drop(state);
        drop(rooms);
        if !answers.is_empty() {
            // Without a server nobody waits any more.
            let _ = self.answers.send(answers);
        }
    }

    /// The answers, for the server; once.
    pub fn answers(&self) -> Option<mpsc::UnboundedReceiver<Answers>> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The messages that are settled since the last call.
    pub fn settled(&self) -> Vec<(u64, Outcome)> {
        std::mem::take(&mut self.state().settled)
    }

    /// Counts a refusal.
    pub fn count(&self, reason: Reason) {
        *self.state().refusals.entry(reason).or_default() += 1;
    }

    /// How often each reason was given.
    pub fn refusals(&self) -> BTreeMap<Reason, u64> {
        self.state().refusals.clone()
    }

    /// Lets nothing wait any more; what waits is still taken.
    pub fn end(&self) {
        let mut state = self.state();
        (state.ended, state.wanted) = (true, 0);
        self.filled.notify_one();
    }

    /// Whether nothing waits, nor will.
    pub fn is_empty(&self) -> bool {
        self.state().waiting.is_empty()
    }
}

/// A share of what may be in memory, given back when it goes.
#[derive(Debug)]
pub struct Room {
    queue: Arc<Queue>,
    readings: usize,
    bytes: usize,
}

impl Room {
    /// Takes more for a body.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let mut state = self.queue.state();
        if state.bytes + bytes > self.queue.limits.bytes && state.bytes > self.bytes {
            let message = format!("{} bytes are waiting for the disk", state.bytes);
            return Err(Refusal::new(Reason::Busy, message));
        }
        state.bytes += bytes;
        self.bytes += bytes;
        Ok(())
    }

    /// Takes what readings need, in the place of their body.
    pub fn hold(mut self, batch: &Batch) -> Result<Self, Refusal> {
        let mut state = self.queue.state();
        if state.ended {
            return Err(Refusal::new(Reason::Unavailable, "the agent is ending"));
        }
        if state.readings > 0 && state.readings + batch.len() > self.queue.limits.readings {
            let message = format!("{} readings are waiting for the disk", state.readings);
            return Err(Refusal::new(Reason::Busy, message));
        }
        state.bytes = state.bytes - self.bytes + batch.bytes();
        state.readings += batch.len();
        drop(state);
        self.bytes = batch.bytes();
        self.readings = batch.len();
        Ok(self)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut state = self.queue.state();
        state.bytes -= self.bytes;
        state.readings -= self.readings;
    }
}
