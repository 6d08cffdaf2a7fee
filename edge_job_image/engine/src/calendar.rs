//! The calendar: days, dates, and clocks, in microseconds since 1970.

pub const SECOND: i64 = 1_000_000;
pub const HOUR: i64 = 3_600 * SECOND;
pub const DAY: i64 = 24 * HOUR;
/// The first and the last microsecond of the calendar: years 1 to 9999.
pub const FIRST: i64 = -62_135_596_800 * SECOND;
pub const LAST: i64 = 253_402_300_800 * SECOND - 1;

/// The days from 1970-01-01 to a date of the calendar, None when there is no such date.
pub fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
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

/// The year, month and day of a day counted from 1970-01-01.
pub fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The date of a day counted from 1970-01-01, as `YYYY-MM-DD`.
pub fn date(days: i64) -> String {
    let (year, month, day) = civil(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Hour, minute and second of a day's microseconds, and what is left of the second.
pub const fn clock(of_day: i64) -> (i64, i64, i64, i64) {
    let seconds = of_day / SECOND;
    (seconds / 3_600, seconds / 60 % 60, seconds % 60, of_day % SECOND)
}

/// A time as messages show it: `YYYY-MM-DD HH:MM:SS`, with a fraction if it has one.
pub fn shown(time: i64) -> String {
    let (hour, minute, second, fraction) = clock(time.rem_euclid(DAY));
    let whole = format!("{} {hour:02}:{minute:02}:{second:02}", date(time.div_euclid(DAY)));
    if fraction == 0 { whole } else { format!("{whole}.{fraction:06}") }
}

/// The microseconds of the day at which a clock shows this, if one does.
pub fn of_day(hour: i64, minute: i64, second: i64) -> Option<i64> {
    (hour < 24 && minute < 60 && second < 60)
        .then_some(hour * HOUR + (minute * 60 + second) * SECOND)
}

/// The number of two digits.
#[inline]
pub fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens * 10 + ones))
}

/// The microseconds of one to nine decimals of a second; what is finer is cut off.
pub fn microseconds(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 9 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| digits.get(at).map_or(0, |&byte| i64::from(byte - b'0'));
    Some((0..6).fold(0, |value, at| value * 10 + digit(at)))
}

/// The microseconds by which a zone mark (`Z`, `±HH`, `±HHMM`, `±HH:MM`) is ahead of UTC.
pub fn offset(mark: &[u8]) -> Option<i64> {
    let (sign, digits) = match mark {
        [b'Z'] => return Some(0),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_days_agree_over_the_calendar() {
        let mut days = FIRST / DAY;
        while days <= LAST / DAY {
            let (year, month, day) = civil(days);
            assert_eq!(days_of(year, month, day), Some(days));
            days += 13;
        }
        assert_eq!(date(0), "1970-01-01");
        assert_eq!(days_of(2018, 2, 29), None);
    }

    #[test]
    fn times_are_shown_as_python_does() {
        assert_eq!(shown(0), "1970-01-01 00:00:00");
        assert_eq!(shown(-1), "1969-12-31 23:59:59.999999");
        assert_eq!(shown(LAST), "9999-12-31 23:59:59.999999");
    }
}
