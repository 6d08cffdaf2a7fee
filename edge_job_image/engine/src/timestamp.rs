//! The column of the times: cells to microseconds since 1970 (UTC).
//!
//! A time is never guessed: what has no meaning in its zone, or two, is rejected.

pub use crate::calendar::{DAY, date};
use crate::calendar::{FIRST, LAST, SECOND};
use crate::format::{Format, Reading, iso_tail};
use crate::plan::TimeRules;
use crate::reason::{Reason, Rejection};
use crate::scan::{HIGHS, byte, word};
use crate::shown;
use crate::zone::Clock;

/// `YYYY-MM-DDTHH`
const PREFIX: usize = 13;

/// Reads the cells of the timestamp's column. The hour that was read last is remembered, since
/// most readings are of the same hour as the one before.
pub struct Parser<'a> {
    rules: &'a TimeRules,
    repr: &'a (dyn Fn(&str) -> String + Sync),
    /// The formats that this file is not written in.
    ruled_out: Vec<bool>,
    clock: Clock<'a>,
    only_iso: bool,
    hour: [u8; PREFIX],
    /// The first eight bytes of the hour, and the last eight.
    first: u64,
    second: u64,
    start: i64,
}

impl<'a> Parser<'a> {
    pub fn new(rules: &'a TimeRules, repr: &'a (dyn Fn(&str) -> String + Sync)) -> Self {
        Self {
            rules,
            repr,
            ruled_out: vec![false; rules.formats.len()],
            clock: Clock::new(rules.zone.as_ref()),
            only_iso: rules.formats.iter().all(Format::is_iso),
            hour: [0; PREFIX],
            first: 0,
            second: 0,
            start: 0,
        }
    }

    /// Leaves the formats aside that the file is not written in.
    pub fn rule_out(&mut self, ruled_out: Vec<bool>) {
        self.ruled_out = ruled_out;
    }

    /// The time of a cell that is neither empty nor a null value.
    #[inline]
    pub fn parse(&mut self, cell: &[u8]) -> Result<i64, Rejection> {
        let time = match self.in_known_hour(cell) {
            Some(time) => time,
            None => self.read(cell)?,
        };
        if time < self.rules.earliest || time > self.rules.latest {
            return Err(self.unbelievable(cell, time));
        }
        Ok(time)
    }

    /// The time of a cell of the hour that was read last, at a position of a block, and where the
    /// byte `until` stands behind it. None when `parse` is to be asked.
    #[inline(always)]
    pub fn quick(&self, block: &[u8], at: usize, until: u8) -> Option<(i64, usize)> {
        // The bytes of `:00:00`, and what takes each of them to its sign bit when it is too much.
        const ZEROS: u64 = 0x3030_3a30_303a;
        const ROOM: u64 = 0x767a_7f76_7a7f;
        let cell: &[u8; PREFIX + 8] = block.get(at..)?.first_chunk()?;
        let word = |at| word(cell, at).unwrap_or_default();
        let start = word(0) ^ self.first | word(PREFIX - 8) ^ self.second;
        let tail = word(PREFIX);
        let values = (tail ^ ZEROS) & 0xffff_ffff_ffff;
        let odd = (((values & !HIGHS) + ROOM) | values) & HIGHS;
        if start | odd != 0 {
            return None;
        }
        let digit = |place| i64::from(byte(values, place));
        let seconds = digit(1) * 600 + digit(2) * 60 + digit(4) * 10 + digit(5);
        let is_zulu = byte(tail, 6) == b'Z' && self.rules.zone.is_none();
        let behind = if is_zulu { 7 } else { 6 };
        let time = self.start + seconds * SECOND;
        let is_believable = self.rules.earliest <= time && time <= self.rules.latest;
        (byte(tail, behind) == until && is_believable)
            .then_some((time, at + PREFIX + behind as usize))
    }

    #[inline]
    fn in_known_hour(&self, cell: &[u8]) -> Option<i64> {
        let (prefix, rest) = cell.split_first_chunk::<PREFIX>()?;
        if *prefix != self.hour {
            return None;
        }
        Some(self.start + iso_tail(rest, self.rules.zone.is_none())?)
    }

    #[cold]
    fn read(&mut self, cell: &[u8]) -> Result<i64, Rejection> {
        let time = self.find(cell)?;
        if self.only_iso
            && let Some((prefix, rest)) = cell.split_first_chunk::<PREFIX>()
            && let Some(tail) = iso_tail(rest, self.rules.zone.is_none())
            && self.clock.knows_hour_of(time)
        {
            self.remember(*prefix, time - tail);
        }
        Ok(time)
    }

    fn remember(&mut self, hour: [u8; PREFIX], start: i64) {
        self.hour = hour;
        self.first = word(&hour, 0).unwrap_or_default();
        self.second = word(&hour, PREFIX - 8).unwrap_or_default();
        self.start = start;
    }

    /// The one time that a cell is by the formats.
    fn find(&mut self, cell: &[u8]) -> Result<i64, Rejection> {
        let mut found: Vec<i64> = vec![];
        let mut refused = None;
        for (format, ruled_out) in self.rules.formats.iter().zip(&self.ruled_out) {
            let time = match format.read(cell) {
                Some(_) if *ruled_out => continue,
                Some(Reading::Instant(time)) => Ok(time),
                Some(Reading::Clock(time)) => self.clock.instant(time),
                None => continue,
            };
            match time {
                Ok(time) if found.contains(&time) || !(FIRST..=LAST).contains(&time) => {}
                Ok(time) => found.push(time),
                Err(rejection) => {
                    refused.get_or_insert(rejection);
                }
            }
        }
        if found.iter().any(|&time| time >= self.rules.earliest) {
            found.retain(|&time| time >= self.rules.earliest);
        }
        match found[..] {
            [time] => Ok(time),
            [] => Err(refused.unwrap_or_else(|| self.no_time(cell))),
            _ => Err(self.ambiguous(cell)),
        }
    }

    fn no_time(&self, cell: &[u8]) -> Rejection {
        let shown = shown::text(cell, self.repr);
        let detail = format!("{shown} is not a time as {} writes it", self.formats(" or "));
        Rejection::new(Reason::InvalidTimestamp, detail)
    }

    fn ambiguous(&self, cell: &[u8]) -> Rejection {
        let shown = shown::text(cell, self.repr);
        let detail = format!("{shown} is another time by each of {}", self.formats(", "));
        Rejection::new(Reason::AmbiguousTimestamp, detail)
    }

    fn formats(&self, between: &str) -> String {
        let texts = self.rules.formats.iter().map(|format| format.text.as_str());
        texts.collect::<Vec<_>>().join(between)
    }

    #[cold]
    fn unbelievable(&self, cell: &[u8], time: i64) -> Rejection {
        let shown = shown::text(cell, self.repr);
        if time < self.rules.earliest {
            let detail = format!("{shown} is before {}", self.rules.not_before);
            return Rejection::new(Reason::TimestampTooOld, detail);
        }
        let detail =
            format!("{shown} is more than {} after the node's clock", self.rules.max_future);
        Rejection::new(Reason::TimestampInFuture, detail)
    }
}

/// In which order a file writes day, month and year: what all its cells say together.
///
/// Of patterns that differ in nothing else, one that cannot read a cell that another one can is
/// not how the file is written, as long as one is left that reads all of them.
pub struct Evidence<'a> {
    formats: &'a [Format],
    /// Patterns that differ only in the order, by position.
    groups: Vec<Vec<usize>>,
    failed: Vec<bool>,
}

impl<'a> Evidence<'a> {
    /// None where no two formats differ only in the order: then there is nothing to find out.
    pub fn new(rules: &'a TimeRules) -> Option<Self> {
        let formats = &rules.formats;
        let mut groups: Vec<(String, Vec<usize>)> = vec![];
        for (at, format) in formats.iter().enumerate() {
            let Some(skeleton) = format.skeleton() else {
                continue;
            };
            match groups.iter_mut().find(|(known, _)| *known == skeleton) {
                Some((_, members)) => members.push(at),
                None => groups.push((skeleton, vec![at])),
            }
        }
        let groups: Vec<_> =
            groups.into_iter().map(|(_, group)| group).filter(|group| group.len() > 1).collect();
        (!groups.is_empty()).then(|| Self { formats, groups, failed: vec![false; formats.len()] })
    }

    /// Takes one cell of the file.
    pub fn observe(&mut self, cell: &[u8]) {
        for group in &self.groups {
            let reads = |at: usize| self.formats[at].read(cell).is_some();
            if group.iter().any(|&at| reads(at)) {
                let cannot = group.iter().filter(|&&at| !reads(at));
                cannot.for_each(|&at| self.failed[at] = true);
            }
        }
    }

    /// The formats that the file is not written in.
    pub fn ruled_out(mut self) -> Vec<bool> {
        for group in &self.groups {
            if group.iter().all(|&at| self.failed[at]) {
                group.iter().for_each(|&at| self.failed[at] = false);
            }
        }
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruled_out(formats: &[&str], cells: &[&str]) -> Option<Vec<bool>> {
        let rules = TimeRules::of(formats);
        let mut evidence = Evidence::new(&rules)?;
        cells.iter().for_each(|cell| evidence.observe(cell.as_bytes()));
        Some(evidence.ruled_out())
    }

    #[test]
    fn the_order_of_the_date_follows_from_all_cells() {
        let both = ["%d/%m/%Y", "ISO8601", "%m/%d/%Y"];
        assert_eq!(ruled_out(&both, &[]), Some(vec![false; 3]));
        assert_eq!(ruled_out(&both, &["01/02/2018"]), Some(vec![false; 3]));
        let days_first = ["01/02/2018", "31/01/2018", "no time", "2018-02-01T00:00:00"];
        assert_eq!(ruled_out(&both, &days_first), Some(vec![false, false, true]));
        let neither = ["31/01/2018", "01/31/2018"];
        assert_eq!(ruled_out(&both, &neither), Some(vec![false; 3]));
        assert_eq!(ruled_out(&["%d/%m/%Y", "%m-%d-%Y"], &days_first), None);
    }
}
