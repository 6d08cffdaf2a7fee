//! Rules about what a sensor said before: values that do not change, and values that jump.
//!
//! A series is the rows that have the same key but for the time. A row is judged by those of its
//! series that were read before it, in the order of reading, and only if it is later than all of
//! them; so it does not matter where one run ended and the next began. What has to be known of a
//! series is little and is kept from run to run.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::clean::{Batch, Rejected};
use crate::plan::{Field, Plan};
use crate::reason::{Reason, Rejection};
use crate::shown;
use crate::table::{Table, Value};

const MINUTE: f64 = 60e6;

/// The last good value of a field of a series.
#[derive(Clone, Serialize, Deserialize)]
struct Past {
    value: f64,
    time: i64,
    /// When it was first read without another one since, and how often.
    since: i64,
    count: u64,
}

/// What is known of a series: its last time, and each field with rules.
#[derive(Clone, Serialize, Deserialize)]
struct Series {
    time: i64,
    fields: Vec<Option<Past>>,
}

/// What is kept from run to run. It is of use only to the same key and fields.
#[derive(Default, Serialize, Deserialize)]
struct Kept {
    key: Vec<String>,
    fields: Vec<String>,
    series: Vec<(Vec<serde_json::Value>, Series)>,
}

/// The series that rows are judged by.
pub struct History<'a> {
    plan: &'a Plan,
    /// The fields with rules, by position.
    ruled: Vec<usize>,
    /// By the key in JSON.
    series: HashMap<Vec<u8>, Series>,
    key: Vec<u8>,
}

impl<'a> History<'a> {
    /// None where no field has such rules: then nothing of this costs anything.
    pub fn new(plan: &'a Plan) -> Option<Self> {
        let ruled: Vec<usize> =
            (0..plan.fields.len()).filter(|&at| plan.fields[at].looks_back()).collect();
        if ruled.is_empty() {
            return None;
        }
        let mut history = Self { plan, ruled, series: HashMap::new(), key: vec![] };
        let kept: Kept = serde_json::from_str(&plan.history).unwrap_or_default();
        if (kept.key, kept.fields) == history.names() {
            for (key, series) in kept.series {
                history.series.insert(serde_json::to_vec(&key).unwrap_or_default(), series);
            }
        }
        Some(history)
    }

    fn names(&self) -> (Vec<String>, Vec<String>) {
        let name = |&at: &usize| self.plan.fields[at].name.clone();
        (self.plan.key.fields.iter().map(name).collect(), self.ruled.iter().map(name).collect())
    }

    /// What the next run is to know, in JSON.
    pub fn kept(mut self) -> String {
        self.forget_the_oldest(self.plan.most_series);
        let (key, fields) = self.names();
        let mut series: Vec<_> = self.series.into_iter().collect();
        series.sort_by(|a, b| a.0.cmp(&b.0));
        let parsed = |key: &[u8]| serde_json::from_slice(key).unwrap_or_default();
        let series = series.into_iter().map(|(key, series)| (parsed(&key), series)).collect();
        serde_json::to_string(&Kept { key, fields, series }).unwrap_or_default()
    }

    /// Judges the rows of a batch in their order, and rejects some or takes values from them.
    pub fn judge(&mut self, batch: &mut Batch) {
        let mut refused = vec![];
        for row in 0..batch.rows.len() {
            for (at, rejection) in self.of_row(&batch.rows, row) {
                let field = &self.plan.fields[at];
                if field.set_null && field.missing.is_none() {
                    batch.rows.columns[at].set_null(row);
                } else if refused.last().is_none_or(|&(last, _)| last != row) {
                    refused.push((row, rejection));
                }
            }
        }
        if refused.is_empty() {
            return;
        }
        let mut kept = batch.rows.empty();
        let mut refused = refused.into_iter().peekable();
        for row in 0..batch.rows.len() {
            match refused.next_if(|&(at, _)| at == row) {
                None => kept.push(&batch.rows, row),
                Some((_, Rejection { reason, detail })) => {
                    let place = &batch.places[row];
                    let (line, offset, size) = (place.line, place.offset, place.size);
                    let raw = place.raw.clone();
                    batch.rejected.push(Rejected { line, offset, size, reason, detail, raw });
                }
            }
        }
        batch.rows = kept;
        batch.rejected.sort_by_key(|row| row.line);
    }

    /// What is wrong with a row, field by field; the series goes on.
    fn of_row(&mut self, rows: &Table, row: usize) -> Vec<(usize, Rejection)> {
        self.name_series(rows, row);
        let time = rows.times[row];
        if !self.series.contains_key(&self.key) {
            if self.series.len() >= 2 * self.plan.most_series {
                self.forget_the_oldest(self.plan.most_series);
            }
            let fields = vec![None; self.ruled.len()];
            self.series.insert(self.key.clone(), Series { time: i64::MIN, fields });
        }
        let Some(series) = self.series.get_mut(&self.key) else { return vec![] };
        if time <= series.time {
            return vec![];
        }
        series.time = time;
        let mut wrong = vec![];
        for (&at, past) in self.ruled.iter().zip(&mut series.fields) {
            let value = match rows.columns[at].own_value(row) {
                Value::Double(value) => value,
                Value::Long(value) => value as f64,
                _ => continue,
            };
            if let Some(rejection) = judge(&self.plan.fields[at], past, time, value) {
                wrong.push((at, rejection));
            }
        }
        wrong
    }

    /// Writes the key of a row without its time as a JSON array.
    fn name_series(&mut self, rows: &Table, row: usize) {
        let key = &mut self.key;
        key.clear();
        key.push(b'[');
        for &at in &self.plan.key.fields {
            if key.len() > 1 {
                key.push(b',');
            }
            // To write into memory does not fail.
            let _ = match rows.columns[at].own_value(row) {
                Value::Null => serde_json::to_writer(&mut *key, &()),
                Value::String(text) | Value::Binary(text) => {
                    serde_json::to_writer(&mut *key, &String::from_utf8_lossy(text))
                }
                Value::Double(value) => serde_json::to_writer(&mut *key, &(value + 0.0)),
                Value::Long(value) => serde_json::to_writer(&mut *key, &value),
                Value::Boolean(value) => serde_json::to_writer(&mut *key, &value),
            };
        }
        key.push(b']');
    }

    /// Keeps so many series: those that were heard of last.
    fn forget_the_oldest(&mut self, most: usize) {
        if self.series.len() <= most {
            return;
        }
        let mut latest: Vec<_> = std::mem::take(&mut self.series)
            .into_iter()
            .map(|(key, one)| (one.time, key, one))
            .collect();
        latest.sort_by(|a, b| (b.0, &b.1).cmp(&(a.0, &a.1)));
        latest.truncate(most);
        self.series = latest.into_iter().map(|(_, key, one)| (key, one)).collect();
    }
}

/// What is wrong with a value, by what came before it in its series.
fn judge(field: &Field, past: &mut Option<Past>, time: i64, value: f64) -> Option<Rejection> {
    let Some(before) = past else {
        *past = Some(Past { value, time, since: time, count: 1 });
        return None;
    };
    if let Some((limit, text)) = &field.max_rate {
        let change = (value - before.value).abs();
        if change * MINUTE > limit * (time - before.time) as f64 {
            let (value, before) = (shown::double(value), shown::double(before.value));
            let detail = format!(
                "{}: {value} after {before} changes by more than {text} a minute",
                field.name
            );
            return Some(Rejection::new(Reason::RateExceeded, detail));
        }
    }
    if value != before.value {
        *before = Past { value, time, since: time, count: 1 };
        return None;
    }
    before.time = time;
    before.count += 1;
    let stuck = field.stuck_after.as_ref()?;
    let is_stuck = stuck.readings.is_some_and(|most| before.count > most)
        || stuck.micros.is_some_and(|most| time - before.since > most);
    is_stuck.then(|| {
        let value = shown::double(value);
        let detail =
            format!("{}: {value} has not changed for more than {}", field.name, stuck.text);
        Rejection::new(Reason::StuckValue, detail)
    })
}
