//! Times as sensors write them, to microseconds since 1970 (UTC).

use crate::plan::TimeRules;
use crate::reason::{Reason, Rejection};
use crate::scan::{HIGHS, byte, word};
use crate::shown;

const SECOND: i64 = 1_000_000;
const HOUR: i64 = 3_600 * SECOND;
pub const DAY: i64 = 24 * HOUR;
/// The first and the last microsecond of the calendar: years 1 to 9999.
const FIRST: i64 = -62_135_596_800 * SECOND;
const LAST: i64 = 253_402_300_800 * SECOND - 1;
/// `YYYY-MM-DDTHH`
const PREFIX: usize = 13;

/// What reads times that are not simply ISO 8601 in UTC: other formats, other zones.
pub type Strict<'a> = dyn Fn(&str) -> Result<i64, Rejection> + 'a;

/// Reads the cells of the timestamp's column. The hour that was read last is remembered, since
/// most readings are of the same hour as the one before.
pub struct Parser<'a> {
    rules: &'a TimeRules,
    strict: &'a Strict<'a>,
    repr: &'a dyn Fn(&str) -> String,
    hour: [u8; PREFIX],
    /// The first eight bytes of the hour, and the last eight.
    first: u64,
    second: u64,
    start: i64,
}

impl<'a> Parser<'a> {
    pub const fn new(
        rules: &'a TimeRules,
        strict: &'a Strict<'a>,
        repr: &'a dyn Fn(&str) -> String,
    ) -> Self {
        Self { rules, strict, repr, hour: [0; PREFIX], first: 0, second: 0, start: 0 }
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
        let start = word(block, at)? ^ self.first | word(block, at + 5)? ^ self.second;
        let tail = word(block, at + PREFIX)?;
        let values = (tail ^ ZEROS) & 0xffff_ffff_ffff;
        let odd = (((values & !HIGHS) + ROOM) | values) & HIGHS;
        if start | odd != 0 {
            return None;
        }
        let digit = |place| i64::from(byte(values, place));
        let seconds = digit(1) * 600 + digit(2) * 60 + digit(4) * 10 + digit(5);
        let is_zulu = byte(tail, 6) == b'Z' && self.rules.native;
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
        Some(self.start + tail(rest, self.rules.native)?)
    }

    #[cold]
    fn read(&mut self, cell: &[u8]) -> Result<i64, Rejection> {
        // A cell is valid UTF-8: what is not has been rejected with its line.
        let text = String::from_utf8_lossy(cell);
        if !self.rules.native {
            let time = (self.strict)(&text)?;
            if self.rules.iso
                && let Some(start) = self.whole_hour(&text, time)
            {
                self.remember(cell, start);
            }
            return Ok(time);
        }
        let time = iso(cell).filter(|time| (FIRST..=LAST).contains(time)).ok_or_else(|| {
            let shown = shown::text(cell, self.repr);
            let detail = format!("{shown} is not a time as {} writes it", self.rules.formats);
            Rejection::new(Reason::InvalidTimestamp, detail)
        })?;
        // A cell with an offset is read by itself: its hour is another one without it.
        if tail(&cell[PREFIX..], true).is_some() {
            self.remember(cell, time - time.rem_euclid(HOUR));
        }
        Ok(time)
    }

    fn remember(&mut self, cell: &[u8], start: i64) {
        self.start = start;
        self.hour.copy_from_slice(&cell[..PREFIX]);
        self.first = word(&self.hour, 0).unwrap_or_default();
        self.second = word(&self.hour, PREFIX - 8).unwrap_or_default();
    }

    /// Where a cell's hour starts, if the clocks of the zone showed all of it once.
    fn whole_hour(&self, text: &str, time: i64) -> Option<i64> {
        let start = time - tail(text.as_bytes().get(PREFIX..)?, false)?;
        let hour = &text[..PREFIX];
        let ask = |minutes: &str| (self.strict)(&format!("{hour}:{minutes}")).ok();
        let is_whole = ask("00:00") == Some(start) && ask("59:59.999999") == Some(start + HOUR - 1);
        is_whole.then_some(start)
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

/// The microseconds of `:MM:SS`, with a fraction or not, and with `Z` where that says nothing new.
#[inline]
fn tail(rest: &[u8], zulu: bool) -> Option<i64> {
    let (minutes, rest) = rest.split_first_chunk::<6>()?;
    let [b':', m1, m0, b':', s1, s0] = *minutes else {
        return None;
    };
    let minute = two(m1, m0)?;
    let second = two(s1, s0)?;
    if minute > 59 || second > 59 {
        return None;
    }
    let time = (minute * 60 + second) * SECOND;
    match rest {
        [] => Some(time),
        [b'Z'] if zulu => Some(time),
        [b'.' | b',', fraction @ ..] => {
            let digits =
                if zulu { fraction.strip_suffix(b"Z").unwrap_or(fraction) } else { fraction };
            Some(time + microseconds(digits)?)
        }
        _ => None,
    }
}

/// The microseconds of one to nine decimals; what is finer is cut off.
fn microseconds(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| digits.get(at).map_or(0, |&byte| i64::from(byte - b'0'));
    Some((0..6).fold(0, |value, at| value * 10 + digit(at)))
}

#[inline]
fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens * 10 + ones))
}

/// `YYYY-MM-DD[T ]HH:MM[:SS[.ffffff]][Z|±HH[:MM]]`
fn iso(cell: &[u8]) -> Option<i64> {
    let (date, rest) = cell.split_first_chunk::<16>()?;
    let [y3, y2, y1, y0, b'-', o1, o0, b'-', d1, d0, b'T' | b' ', h1, h0, b':', m1, m0] = *date
    else {
        return None;
    };
    let year = two(y3, y2)? * 100 + two(y1, y0)?;
    let days = days_of(year, two(o1, o0)?, two(d1, d0)?)?;
    let (hour, minute) = (two(h1, h0)?, two(m1, m0)?);
    if hour > 23 || minute > 59 {
        return None;
    }
    let mut time = days * DAY + hour * HOUR + minute * 60 * SECOND;
    let mut rest = rest;
    if let [b':', s1, s0, after @ ..] = rest {
        let second = two(*s1, *s0)?;
        if second > 59 {
            return None;
        }
        time += second * SECOND;
        rest = after;
        if let [b'.' | b',', after @ ..] = rest {
            let length = after.iter().take_while(|byte| byte.is_ascii_digit()).count();
            time += microseconds(&after[..length])?;
            rest = &after[length..];
        }
    }
    Some(time - offset(rest)?)
}

/// The microseconds by which a zone mark is ahead of UTC.
fn offset(mark: &[u8]) -> Option<i64> {
    let (sign, digits) = match mark {
        [] | [b'Z'] => return Some(0),
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    let (hours, minutes) = match *digits {
        [h1, h0] => (two(h1, h0)?, 0),
        [h1, h0, m1, m0] | [h1, h0, b':', m1, m0] => (two(h1, h0)?, two(m1, m0)?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then(|| sign * (hours * HOUR + minutes * 60 * SECOND))
}

/// The days from 1970-01-01 to a date of the calendar, None when there is no such date.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i64::from(leap),
        1..=12 => 31,
        _ => return None,
    };
    if year == 0 || day == 0 || day > length {
        return None;
    }
    // Years that begin in March put the leap day last (Hinnant, "chrono-compatible algorithms").
    let year = year - i64::from(month <= 2);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468)
}

/// The date of a day counted from 1970-01-01, as `YYYY-MM-DD`.
pub fn date(days: i64) -> String {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iso_times_are_read() {
        for (text, time) in [
            ("1970-01-01T00:00:00", 0),
            ("1970-01-01 00:00", 0),
            ("1970-01-01T00:00:01.5Z", 1_500_000),
            ("1970-01-01T00:00:01,123456789", 1_123_456),
            ("1970-01-01T01:30:00+01:30", 0),
            ("1970-01-01T00:00:00-0130", 5_400 * SECOND),
            ("1969-12-31T23:59:59", -SECOND),
            ("2000-02-29T12:00:00", 951_825_600 * SECOND),
            ("2019-03-01T00:02:09", 1_551_398_529 * SECOND),
            ("0001-01-01T00:00:00", FIRST),
            ("9999-12-31T23:59:59.999999", LAST),
        ] {
            assert_eq!(iso(text.as_bytes()), Some(time), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2019",
            "2019-03-01",
            "2019-03-01T",
            "2018-02-29T00:00:00",
            "1900-02-29T00:00:00",
            "2019-13-01T00:00:00",
            "2019-00-01T00:00:00",
            "2019-01-32T00:00:00",
            "2019-01-01T24:00:00",
            "2019-01-01T00:60:00",
            "2019-01-01T00:00:60",
            "0000-01-01T00:00:00",
            "2019-01-01T00:00:00.",
            "2019-01-01T00:00:00.1234567890",
            "2019-01-01T00:00:00+24",
            "2019-01-01T00:00:00+1",
            "2019-01-01T00:00:00z",
            "2019-01-01t00:00:00",
            "2019-01-01T00:00.5",
            "2019/01/01T00:00:00",
            "2019-01-01T00:00:00+01:60",
            "2019-01-01T0\u{661}:00:00",
            " 2019-01-01T00:00:00",
        ] {
            assert_eq!(iso(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn dates_and_days_agree_over_the_calendar() {
        let mut days = FIRST / DAY;
        while days <= LAST / DAY {
            let text = date(days);
            let number = |range: std::ops::Range<usize>| text[range].parse().unwrap();
            assert_eq!(days_of(number(0..4), number(5..7), number(8..10)), Some(days), "{text}");
            days += 13;
        }
    }
}
