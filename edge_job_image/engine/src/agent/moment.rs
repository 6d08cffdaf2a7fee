//! A reading's time: ISO 8601, or a number since 1970 in whatever unit.

use jiff::civil::DateTime;
use jiff::{Timestamp, tz::TimeZone};

use crate::calendar::{DAY, FIRST, LAST, civil, clock};

/// Numbers are taken for what puts them between 1973 and 5138: s, ms, µs or ns.
const UNITS: [(f64, f64); 4] = [(1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (1e20, 1e-3)];

/// The microseconds since 1970; says what is wrong with a value that is no time.
pub fn parse(name: &str, value: &str) -> Result<i64, String> {
    let shown = || value.chars().take(80).collect::<String>();
    if let Ok(number) = value.parse::<f64>() {
        let unit = UNITS.iter().find(|(limit, _)| (0.0..*limit).contains(&number));
        let (_, factor) =
            unit.ok_or_else(|| format!("{name}: {} is no time since 1970", shown()))?;
        return Ok((number * factor).round() as i64);
    }
    let time = iso(value).ok_or_else(|| {
        format!("{name}: {:?} is neither ISO 8601 nor a time since 1970", shown())
    })?;
    if !(FIRST..=LAST).contains(&time) {
        return Err(format!("{name}: {:?} is beyond all calendars", shown()));
    }
    Ok(time)
}

/// A time without a zone is UTC.
fn iso(value: &str) -> Option<i64> {
    if let Ok(time) = value.parse::<Timestamp>() {
        return Some(time.as_microsecond());
    }
    let local: DateTime = value.parse().ok()?;
    Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp().as_microsecond())
}

/// Appends microseconds since 1970 as ISO 8601.
pub fn write(time: i64, out: &mut String) {
    let (year, month, day) = civil(time.div_euclid(DAY));
    let (hour, minute, second, fraction) = clock(time.rem_euclid(DAY));
    for (value, digits, mark) in
        [(year, 4, '-'), (month, 2, '-'), (day, 2, 'T'), (hour, 2, ':'), (minute, 2, ':')]
    {
        write_digits(value, digits, out);
        out.push(mark);
    }
    write_digits(second, 2, out);
    if fraction > 0 {
        out.push('.');
        write_digits(fraction, 6, out);
    }
    out.push('Z');
}

fn write_digits(value: i64, digits: u32, out: &mut String) {
    for place in (0..digits).rev() {
        let digit = value / 10_i64.pow(place) % 10;
        out.push(char::from(b'0' + digit as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_772_366_400_000_000;

    #[test]
    fn times_of_every_kind_are_read() {
        for value in [
            "2026-03-01T12:00:00Z",
            "2026-03-01T13:00:00+01:00",
            "2026-03-01 12:00:00",
            "2026-03-01T12:00",
            "20260301T120000Z",
            "1772366400",
            "1772366400000",
            "1772366400000000",
            "1772366400000000000",
            "1.7723664e9",
        ] {
            assert_eq!(parse("ts", value), Ok(NOON), "{value}");
        }
    }

    #[test]
    fn what_is_no_time_is_named() {
        for value in ["yesterday", "-5", "nan", "inf", "", "2026-13-01", "1e21"] {
            assert!(parse("ts", value).unwrap_err().starts_with("ts: "), "{value}");
        }
        assert!(parse("ts", "-000001-01-01").unwrap_err().contains("calendars"));
    }

    #[test]
    fn times_are_written_as_they_are_read() {
        for value in ["2026-03-01T12:00:00Z", "0001-01-01T00:00:00.000001Z"] {
            let mut text = String::new();
            write(parse("ts", value).unwrap(), &mut text);
            assert_eq!(text, value);
        }
    }
}
