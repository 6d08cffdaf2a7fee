//! Times by a pattern as `strptime` has it, without a locale.

use crate::calendar::{DAY, days_of, microseconds, of_day, offset};
use crate::format::Reading;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const SHORT: usize = 3;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A byte that must be there.
    Literal(u8),
    /// One blank or more.
    Blanks,
    Year,
    YearOfCentury,
    Month,
    /// Names in full, or their first letters.
    MonthName(bool),
    Weekday(bool),
    Day,
    Hour,
    HourOfHalf,
    Half,
    Minute,
    Second,
    Fraction,
    Offset,
}

pub struct Pattern(Vec<Part>);

/// What the parts of a cell say.
#[derive(Clone, Default)]
struct Found {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    fraction: i64,
    afternoon: Option<bool>,
    offset: Option<Option<i64>>,
}

impl Pattern {
    pub fn new(text: &str) -> Result<Self, String> {
        let mut parts = vec![];
        let mut rest = text.bytes();
        while let Some(byte) = rest.next() {
            parts.push(match byte {
                b'%' => directive(rest.next(), text)?,
                b' ' | b'\t' if parts.last() == Some(&Part::Blanks) => continue,
                b' ' | b'\t' => Part::Blanks,
                other => Part::Literal(other),
            });
        }
        Ok(Self(parts))
    }

    pub fn read(&self, cell: &[u8]) -> Option<Reading> {
        let mut found = Found::default();
        matches(&self.0, cell, &mut found).then_some(())?;
        let hour = match found.afternoon {
            None => found.hour,
            Some(_) if !(1..=12).contains(&found.hour) => return None,
            Some(afternoon) => found.hour % 12 + if afternoon { 12 } else { 0 },
        };
        let days = days_of(found.year, found.month, found.day)?;
        let time = days * DAY + of_day(hour, found.minute, found.second)? + found.fraction;
        Some(match found.offset {
            None => Reading::Clock(time),
            Some(offset) => Reading::Instant(time - offset?),
        })
    }
}

fn directive(letter: Option<u8>, text: &str) -> Result<Part, String> {
    Ok(match letter {
        Some(b'Y') => Part::Year,
        Some(b'y') => Part::YearOfCentury,
        Some(b'm') => Part::Month,
        Some(b'B') => Part::MonthName(true),
        Some(b'b') => Part::MonthName(false),
        Some(b'A') => Part::Weekday(true),
        Some(b'a') => Part::Weekday(false),
        Some(b'd') => Part::Day,
        Some(b'H') => Part::Hour,
        Some(b'I') => Part::HourOfHalf,
        Some(b'p') => Part::Half,
        Some(b'M') => Part::Minute,
        Some(b'S') => Part::Second,
        Some(b'f') => Part::Fraction,
        Some(b'z') => Part::Offset,
        Some(b'%') => Part::Literal(b'%'),
        _ => return Err(format!("{text}: a directive that is not known")),
    })
}

/// Whether the parts are the whole cell; of several ways the one whose first parts are longest.
fn matches(parts: &[Part], cell: &[u8], found: &mut Found) -> bool {
    let Some((part, parts)) = parts.split_first() else {
        return cell.is_empty();
    };
    let (least, most) = lengths(*part, cell);
    (least..=most)
        .rev()
        .any(|length| take(*part, &cell[..length], found) && matches(parts, &cell[length..], found))
}

/// How few and how many bytes of a cell can be a part; none where the first is more.
fn lengths(part: Part, cell: &[u8]) -> (usize, usize) {
    let run = |is: fn(&u8) -> bool, most: usize| {
        cell.iter().take(most).take_while(|byte| is(byte)).count()
    };
    let digits = |least, most| (least, run(u8::is_ascii_digit, most));
    match part {
        Part::Literal(byte) => (1, usize::from(cell.first() == Some(&byte))),
        Part::Blanks => (1, run(|byte| matches!(byte, b' ' | b'\t'), usize::MAX)),
        Part::Year => digits(4, 4),
        Part::YearOfCentury => digits(2, 2),
        Part::Fraction => digits(1, 9),
        Part::Month | Part::Day | Part::Hour | Part::HourOfHalf | Part::Minute | Part::Second => {
            digits(1, 2)
        }
        Part::MonthName(full) => fixed(named(&MONTHS, full, cell).map(|(_, length)| length)),
        Part::Weekday(full) => fixed(named(&WEEKDAYS, full, cell).map(|(_, length)| length)),
        Part::Half => fixed(half(cell).map(|_| 2)),
        Part::Offset => match cell.first() {
            Some(b'Z') => (1, 1),
            Some(b'+' | b'-') => (3, cell.len().min(6)),
            _ => fixed(None),
        },
    }
}

fn fixed(length: Option<usize>) -> (usize, usize) {
    length.map_or((1, 0), |length| (length, length))
}

/// Notes what a part says; whether these bytes can be it.
fn take(part: Part, bytes: &[u8], found: &mut Found) -> bool {
    let number = || bytes.iter().fold(0, |number, byte| number * 10 + i64::from(byte - b'0'));
    match part {
        Part::Literal(_) | Part::Blanks | Part::Weekday(_) => {}
        Part::Year => found.year = number(),
        // As POSIX has it: 69 is 1969, 68 is 2068.
        Part::YearOfCentury => found.year = (number() + 31) % 100 + 1969,
        Part::Month => found.month = number(),
        Part::MonthName(full) => {
            found.month = named(&MONTHS, full, bytes).map_or(0, |(at, _)| at as i64 + 1);
        }
        Part::Day => found.day = number(),
        Part::Hour | Part::HourOfHalf => found.hour = number(),
        Part::Half => found.afternoon = half(bytes),
        Part::Minute => found.minute = number(),
        Part::Second => found.second = number(),
        Part::Fraction => found.fraction = microseconds(bytes).unwrap_or(0),
        Part::Offset => {
            let well_formed = match bytes {
                b"Z" => true,
                [_, _, _] => bytes[1..].iter().all(u8::is_ascii_digit),
                [_, digits @ ..] if digits.len() == 4 => digits.iter().all(u8::is_ascii_digit),
                [_, a, b, b':', c, d] => [a, b, c, d].iter().all(|byte| byte.is_ascii_digit()),
                _ => false,
            };
            found.offset = Some(offset(bytes));
            return well_formed;
        }
    }
    true
}

/// The name with which a text begins, by its place and length.
fn named(names: &[&str], full: bool, text: &[u8]) -> Option<(usize, usize)> {
    names.iter().enumerate().find_map(|(at, name)| {
        let name = if full { name.as_bytes() } else { &name.as_bytes()[..SHORT] };
        let begins = text.len() >= name.len() && text[..name.len()].eq_ignore_ascii_case(name);
        begins.then_some((at, name.len()))
    })
}

/// Whether a text begins with `PM` rather than `AM`.
fn half(text: &[u8]) -> Option<bool> {
    let (half, _) = text.split_first_chunk::<2>()?;
    match &half.to_ascii_uppercase()[..] {
        b"AM" => Some(false),
        b"PM" => Some(true),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::calendar::shown;

    fn read(pattern: &str, cell: &str) -> Option<String> {
        Pattern::new(pattern).unwrap().read(cell.as_bytes()).map(|reading| match reading {
            Reading::Clock(time) => shown(time),
            Reading::Instant(time) => format!("{}Z", shown(time)),
        })
    }

    #[test]
    fn patterns_are_read() {
        for (pattern, cell, time) in [
            ("%d/%m/%Y %H.%M.%S", "31/12/2018 18.00.07", "2018-12-31 18:00:07"),
            ("%d/%m/%Y %H.%M.%S", "1/2/2018  8.5.7", "2018-02-01 08:05:07"),
            ("%Y-%m-%d", "2018-12-31", "2018-12-31 00:00:00"),
            ("%m/%d/%y %I:%M %p", "12/31/68 12:05 am", "2068-12-31 00:05:00"),
            ("%m/%d/%y %I:%M %p", "12/31/69 12:05 PM", "1969-12-31 12:05:00"),
            ("%a %d %b %Y %H:%M", "MON 31 dec 2018 18:00", "2018-12-31 18:00:00"),
            ("%A, %B %d, %Y", "Monday, December 31, 2018", "2018-12-31 00:00:00"),
            ("%Y%m%d%H%M%S%f", "20181231180007123456", "2018-12-31 18:00:07.123456"),
            ("%d.%m.%Y %H:%M:%S.%f", "31.12.2018 18:00:07.5", "2018-12-31 18:00:07.500000"),
            ("%d.%m.%Y %H:%M %z", "31.12.2018 18:00 +0200", "2018-12-31 16:00:00Z"),
            ("%d.%m.%Y %H:%M%z", "31.12.2018 18:00-01:30", "2018-12-31 19:30:00Z"),
            ("%d.%m.%Y %H:%M%z", "31.12.2018 18:00Z", "2018-12-31 18:00:00Z"),
            ("%d%%%m%%%Y", "31%12%2018", "2018-12-31 00:00:00"),
            // The first parts are as long as they can be, and give back what later ones need.
            ("%Y%m%d", "2018111", "2018-11-01 00:00:00"),
            ("%Y-%m-%d %H%M", "2018-11-01 12", "2018-11-01 01:02:00"),
        ] {
            assert_eq!(read(pattern, cell).as_deref(), Some(time), "{cell}");
        }
    }

    #[test]
    fn what_a_pattern_does_not_mean_is_none() {
        for (pattern, cell) in [
            ("%d/%m/%Y", "29/02/2018"),
            ("%d/%m/%Y", "31/12/18"),
            ("%d/%m/%Y", "31/12/2018 "),
            ("%d/%m/%Y", "31-12-2018"),
            ("%d/%m/%Y %H:%M", "31/12/2018 24:00"),
            ("%d/%m/%Y %H:%M", "31/12/201818:00"),
            ("%d/%m/%Y %H:%M:%S", "31/12/2018 18:00:60"),
            ("%d/%m/%Y %I %p", "31/12/2018 13 PM"),
            ("%d/%m/%Y %I %p", "31/12/2018 0 AM"),
            ("%d %b %Y", "31 Dez 2018"),
            ("%d %b %Y", "31 December 2018"),
            ("%d/%m/%Y %H:%M %z", "31/12/2018 18:00 +24:00"),
            ("%d/%m/%Y", "\u{663}1/12/2018"),
        ] {
            assert_eq!(read(pattern, cell), None, "{cell}");
        }
        assert!(Pattern::new("%Q").is_err());
        assert!(Pattern::new("%").is_err());
    }
}
