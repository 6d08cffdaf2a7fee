//! The formats in which sensors write times.

use serde::Deserialize;

use crate::calendar::{DAY, FIRST, HOUR, LAST, SECOND, days_of, microseconds, of_day, offset, two};
use crate::pattern::Pattern;

/// What a cell says in one format, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reading {
    /// What a clock on the wall shows, in a zone that the cell does not name.
    Clock(i64),
    /// A time in UTC.
    Instant(i64),
}

enum Kind {
    Iso,
    /// Units since 1970, each of which has ten to the power of this many microseconds.
    Epoch(i32),
    Pattern(Pattern),
}

/// One of the job's formats.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub struct Format {
    /// As the job names it.
    pub text: String,
    kind: Kind,
}

impl TryFrom<String> for Format {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let kind = match text.as_str() {
            "ISO8601" => Kind::Iso,
            "EpochSeconds" => Kind::Epoch(6),
            "EpochMillis" => Kind::Epoch(3),
            "EpochMicros" => Kind::Epoch(0),
            "EpochNanos" => Kind::Epoch(-3),
            pattern => Kind::Pattern(Pattern::new(pattern)?),
        };
        Ok(Self { text, kind })
    }
}

impl Format {
    pub const fn is_iso(&self) -> bool {
        matches!(self.kind, Kind::Iso)
    }

    /// What a cell says, None when it is not written so.
    pub fn read(&self, cell: &[u8]) -> Option<Reading> {
        let reading = match &self.kind {
            Kind::Iso => iso(cell),
            Kind::Epoch(power) => epoch(cell, *power),
            Kind::Pattern(pattern) => pattern.read(cell),
        };
        reading.filter(|reading| {
            let (Reading::Clock(time) | Reading::Instant(time)) = reading;
            (FIRST..=LAST).contains(time)
        })
    }

    /// What is the same in two patterns that differ only in the order of day, month and year.
    pub fn skeleton(&self) -> Option<String> {
        let Kind::Pattern(_) = self.kind else {
            return None;
        };
        let mut skeleton = String::new();
        let mut rest = self.text.chars();
        while let Some(character) = rest.next() {
            skeleton.push(character);
            if character == '%' {
                skeleton.extend(rest.next().map(|one| if "dmy".contains(one) { '?' } else { one }));
            }
        }
        Some(skeleton)
    }
}

/// `YYYY-MM-DD[T ]HH:MM[:SS[.ffffff]][Z|±HH[:MM]]`
fn iso(cell: &[u8]) -> Option<Reading> {
    let (date, rest) = cell.split_first_chunk::<16>()?;
    let [y3, y2, y1, y0, b'-', o1, o0, b'-', d1, d0, b'T' | b' ', h1, h0, b':', m1, m0] = *date
    else {
        return None;
    };
    let year = two(y3, y2)? * 100 + two(y1, y0)?;
    let days = days_of(year, two(o1, o0)?, two(d1, d0)?)?;
    let mut time = days * DAY + of_day(two(h1, h0)?, two(m1, m0)?, 0)?;
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
    if rest.is_empty() {
        return Some(Reading::Clock(time));
    }
    Some(Reading::Instant(time - offset(rest)?))
}

/// The microseconds of `:MM:SS`, with a fraction or not, and with `Z` where that says nothing new.
#[inline]
pub fn iso_tail(rest: &[u8], zulu: bool) -> Option<i64> {
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
    debug_assert!(time < HOUR);
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

/// A sign, up to 19 digits, and up to 9 decimals; what is finer than a microsecond is cut off.
fn epoch(cell: &[u8], power: i32) -> Option<Reading> {
    let (negative, digits) = match cell {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, cell),
    };
    let length = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (whole, rest) = digits.split_at(length);
    let decimals = match rest {
        [] => rest,
        [b'.' | b',', decimals @ ..] if !decimals.is_empty() => decimals,
        _ => return None,
    };
    if !(1..=19).contains(&whole.len())
        || decimals.len() > 9
        || !decimals.iter().all(u8::is_ascii_digit)
    {
        return None;
    }
    let all = whole.iter().chain(decimals);
    let number = all.fold(0_i128, |number, byte| number * 10 + i128::from(byte - b'0'));
    let number = if negative { -number } else { number };
    let power = power - decimals.len() as i32;
    let factor = 10_i128.pow(power.unsigned_abs());
    let time = if power < 0 { number.div_euclid(factor) } else { number * factor };
    i64::try_from(time).ok().map(Reading::Instant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn format(text: &str) -> Format {
        Format::try_from(text.to_owned()).unwrap()
    }

    #[test]
    fn iso_times_are_read() {
        for (text, time) in [
            ("1970-01-01T00:00:00", Reading::Clock(0)),
            ("1970-01-01 00:00", Reading::Clock(0)),
            ("1970-01-01T00:00:01.5Z", Reading::Instant(1_500_000)),
            ("1970-01-01T00:00:01,123456789", Reading::Clock(1_123_456)),
            ("1970-01-01T01:30:00+01:30", Reading::Instant(0)),
            ("1970-01-01T00:00:00-0130", Reading::Instant(5_400 * SECOND)),
            ("1969-12-31T23:59:59", Reading::Clock(-SECOND)),
            ("2000-02-29T12:00:00", Reading::Clock(951_825_600 * SECOND)),
            ("2038-01-19T03:14:08", Reading::Clock((1 << 31) * SECOND)),
            ("0001-01-01T00:00:00", Reading::Clock(FIRST)),
            ("9999-12-31T23:59:59.999999", Reading::Clock(LAST)),
        ] {
            assert_eq!(format("ISO8601").read(text.as_bytes()), Some(time), "{text}");
        }
    }

    #[test]
    fn what_is_no_iso_time_is_none() {
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
            "0001-01-01T00:00:00+01:00",
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
            assert_eq!(format("ISO8601").read(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn epochs_are_counted_in_their_unit() {
        for (unit, text, time) in [
            ("EpochSeconds", "0", 0),
            ("EpochSeconds", "2147483648", (1 << 31) * SECOND),
            ("EpochSeconds", "-1.5", -1_500_000),
            ("EpochSeconds", "+1551657607,1234567", 1_551_657_607_123_456),
            ("EpochMillis", "1551657607123.9999", 1_551_657_607_123_999),
            ("EpochMicros", "1551657607123456.7", 1_551_657_607_123_456),
            ("EpochNanos", "1551657607123456789", 1_551_657_607_123_456),
            ("EpochNanos", "-1", -1),
        ] {
            assert_eq!(format(unit).read(text.as_bytes()), Some(Reading::Instant(time)), "{text}");
        }
        for text in ["", "-", "1.", ".5", "1e9", "1551657607000", "0x10", "1 2", "1.1234567890"] {
            assert_eq!(format("EpochSeconds").read(text.as_bytes()), None, "{text}");
        }
        assert_eq!(format("EpochSeconds").read(&[b'9'; 19]), None);
        assert_eq!(format("EpochNanos").read(&[b'9'; 20]), None);
    }

    #[test]
    fn patterns_that_differ_in_the_order_of_the_date_have_one_skeleton() {
        assert_eq!(format("%d/%m/%Y %H.%M").skeleton(), format("%m/%d/%Y %H.%M").skeleton());
        assert_ne!(format("%d/%m/%Y %H.%M").skeleton(), format("%d-%m-%Y %H.%M").skeleton());
        assert_eq!(format("ISO8601").skeleton(), None);
    }
}
