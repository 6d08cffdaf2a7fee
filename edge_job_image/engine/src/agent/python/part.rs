//! What has arrived for one stream, as Python sees it.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::super::batch::{Batch, widen};
use super::super::queue::{Limits, Outcome, Pending, Queue, Sender};
use super::super::refusal::{Reason, Refusal};
use super::recent::Recent;
use super::{Values, raised};

/// What has arrived for one stream. Each method tells some senders what became of their readings.
#[pyclass]
pub struct Part {
    #[pyo3(get)]
    pub stream: String,
    pub queue: Arc<Queue>,
    pub waiting: Vec<Option<Pending>>,
}

#[pymethods]
impl Part {
    /// Readings that a person or the agent itself kept: time (microseconds since 1970) and values.
    #[staticmethod]
    fn of(stream: String, readings: Vec<(Option<i64>, Values)>) -> PyResult<Self> {
        let queue = Queue::new(Limits { readings: usize::MAX, bytes: usize::MAX });
        let mut batch = Batch::default();
        for (time, values) in &readings {
            batch.restore(*time, values).map_err(raised)?;
        }
        let room = queue.room().hold(&batch).map_err(raised)?;
        let sender = Sender::Message(0);
        let pending = Pending {
            stream: stream.clone(),
            batch,
            key: None,
            again: false,
            sender,
            repeated: 0,
            room,
        };
        Ok(Self { stream, queue, waiting: vec![Some(pending)] })
    }

    fn __len__(&self) -> usize {
        self.batches().map(Batch::len).sum()
    }

    /// The keys, with where they stand and whether they may have come before.
    fn keyed(&self) -> Vec<(usize, String, bool)> {
        let pending = self.waiting.iter().enumerate();
        let pending = pending.filter_map(|(place, pending)| Some((place, pending.as_ref()?)));
        pending
            .filter_map(|(place, pending)| Some((place, pending.key.clone()?, pending.again)))
            .collect()
    }

    /// Says of those at these places that they are there already; returns how many readings.
    fn duplicate(&mut self, places: Vec<usize>) -> usize {
        let pending: Vec<_> =
            places.into_iter().filter_map(|place| self.waiting[place].take()).collect();
        let count = pending.iter().map(|pending| pending.batch.len()).sum();
        self.queue.settle(pending.into_iter().map(|pending| (pending, Outcome::Stored(0))));
        count
    }

    /// Lets those at these places wait until the rest is settled.
    fn defer(&mut self, places: Vec<usize>) {
        for place in places {
            if let Some(pending) = self.waiting[place].take() {
                self.queue.put(pending);
            }
        }
    }

    /// The columns that hold all readings, those known first; who would make them more than `most`
    /// is refused.
    fn fit(&mut self, known: Vec<String>, most: usize) -> Vec<String> {
        let mut columns = known;
        for slot in &mut self.waiting {
            let fits =
                slot.as_ref().is_none_or(|pending| widen(&mut columns, &pending.batch, most));
            if !fits && let Some(pending) = slot.take() {
                let message = format!("{} would have more than {most} columns", self.stream);
                self.queue.settle([(pending, Outcome::Refused(Refusal::bad(message)))]);
            }
        }
        columns
    }

    /// Takes what has readings without a time out of this part, as a part of its own.
    fn undated(&mut self) -> Self {
        let undated = |batch: &Batch| (0..batch.len()).any(|reading| batch.time(reading).is_none());
        let waiting = self.waiting.iter_mut().map(|slot| {
            let undated = slot.as_ref().is_some_and(|pending| undated(&pending.batch));
            if undated { slot.take() } else { None }
        });
        let waiting = waiting.collect();
        Self { stream: self.stream.clone(), queue: Arc::clone(&self.queue), waiting }
    }

    /// The readings as lines of CSV with these columns, and the last time that was given: those
    /// without a time get `now`, and a microsecond more each; without `now` they have none. Those
    /// that `recent` knows are left out: `repeated` counts them.
    fn rows<'py>(
        &mut self,
        py: Python<'py>,
        columns: Vec<String>,
        now: Option<i64>,
        mut recent: Option<PyRefMut<'py, Recent>>,
    ) -> (Bound<'py, PyBytes>, Option<i64>) {
        let mut out = String::new();
        let mut next = now;
        if let Some(Recent(recent)) = recent.as_deref_mut() {
            recent.begin();
        }
        for Pending { batch, repeated, .. } in self.waiting.iter_mut().flatten() {
            for reading in 0..batch.len() {
                let said = batch.time(reading);
                let begin = out.len();
                batch.line(reading, said.or(next), &columns, &mut out);
                if said.is_none() {
                    next = next.map(|next| next + 1);
                } else if let Some(Recent(recent)) = recent.as_deref_mut() {
                    let line = out[begin..].trim_end_matches('\n');
                    if !recent.note(&self.stream, line.as_bytes()) {
                        out.truncate(begin);
                        *repeated += 1;
                    }
                }
            }
        }
        (PyBytes::new(py, out.as_bytes()), next.map(|next| next - 1))
    }

    /// How many readings `rows` has left out.
    fn repeated(&self) -> usize {
        self.waiting.iter().flatten().map(|pending| pending.repeated).sum()
    }

    /// The readings: time, if they have one, and values.
    fn readings(&self) -> Vec<(Option<i64>, Values)> {
        self.batches().flat_map(listed).collect()
    }

    /// The last reading.
    fn last(&self) -> Option<(Option<i64>, Values)> {
        let batch = self.batches().last()?;
        let reading = batch.len().checked_sub(1)?;
        Some((batch.time(reading), values(batch, reading)))
    }

    /// Says of all that are left that they are stored.
    fn accept(&mut self) {
        let waiting = self.waiting.drain(..).flatten();
        self.queue.settle(waiting.map(|pending| {
            let count = pending.batch.len() - pending.repeated;
            (pending, Outcome::Stored(count))
        }));
    }

    /// Refuses all that are left.
    fn refuse(&mut self, reason: &str, message: &str) -> PyResult<()> {
        let reason = Reason::named(reason).ok_or_else(|| PyValueError::new_err("no reason"))?;
        let outcome = Outcome::Refused(Refusal::new(reason, message));
        let waiting = self.waiting.drain(..).flatten();
        self.queue.settle(waiting.map(|pending| (pending, outcome.clone())));
        Ok(())
    }
}

impl Part {
    fn batches(&self) -> impl DoubleEndedIterator<Item = &Batch> {
        self.waiting.iter().flatten().map(|pending| &pending.batch)
    }
}

fn values(batch: &Batch, reading: usize) -> Values {
    batch.values(reading).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The readings with their times and values.
pub fn listed(batch: &Batch) -> Vec<(Option<i64>, Values)> {
    (0..batch.len()).map(|reading| (batch.time(reading), values(batch, reading))).collect()
}
