//! What has arrived for one stream, as Python sees it.

use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::super::batch::{Batch, widen};
use super::super::queue::{Limits, Outcome, Pending, Queue, Sender};
use super::super::refusal::{Reason, Refusal};
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
        let pending =
            Pending { stream: stream.clone(), batch, key: None, again: false, sender, room };
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

    /// Says of those at these places that they are there already.
    fn duplicate(&mut self, places: Vec<usize>) {
        let pending: Vec<_> =
            places.into_iter().filter_map(|place| self.waiting[place].take()).collect();
        self.queue.settle(pending, &Outcome::Duplicate);
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
                self.queue.settle([pending], &Outcome::Refused(Refusal::bad(message)));
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
    /// without a time get `now`, and a microsecond more each; without `now` they have none.
    fn rows<'py>(
        &self,
        py: Python<'py>,
        columns: Vec<String>,
        now: Option<i64>,
    ) -> (Bound<'py, PyBytes>, Option<i64>) {
        let mut out = String::new();
        let mut next = now;
        for batch in self.batches() {
            for reading in 0..batch.len() {
                let time = batch.time(reading).or(next);
                if batch.time(reading).is_none() {
                    next = next.map(|next| next + 1);
                }
                batch.line(reading, time, &columns, &mut out);
            }
        }
        (PyBytes::new(py, out.as_bytes()), next.map(|next| next - 1))
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
        self.queue.settle(self.waiting.drain(..).flatten(), &Outcome::Stored);
    }

    /// Refuses all that are left.
    fn refuse(&mut self, reason: &str, message: &str) -> PyResult<()> {
        let reason = Reason::named(reason).ok_or_else(|| PyValueError::new_err("no reason"))?;
        let outcome = Outcome::Refused(Refusal::new(reason, message));
        self.queue.settle(self.waiting.drain(..).flatten(), &outcome);
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
