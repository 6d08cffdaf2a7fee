//! Clocks on the wall of a time zone.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::Deserialize;

use crate::calendar::{DAY, HOUR, SECOND, civil, clock, shown};
use crate::reason::{Reason, Rejection};

/// The rules of a zone.
#[derive(Deserialize)]
#[serde(try_from = "Source")]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// A zone's name and its file of the time zone database (RFC 8536), in hexadecimal digits.
#[derive(Deserialize)]
struct Source {
    name: String,
    tzif: String,
}

impl TryFrom<Source> for Zone {
    type Error = String;

    fn try_from(source: Source) -> Result<Self, String> {
        let digits = source.tzif.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
        let bytes: Option<Vec<u8>> = digits.map(byte).collect();
        let bytes = bytes.ok_or("the time zone is not in hexadecimal digits")?;
        let rules = TimeZone::tzif(&source.name, &bytes).map_err(|error| error.to_string())?;
        Ok(Self { name: source.name, rules })
    }
}

impl Zone {
    fn offset(&self, time: i64) -> Option<AmbiguousOffset> {
        let (year, month, day) = civil(time.div_euclid(DAY));
        let (hour, minute, second, micros) = clock(time.rem_euclid(DAY));
        let shows = DateTime::new(
            year as i16,
            month as i8,
            day as i8,
            hour as i8,
            minute as i8,
            second as i8,
            micros as i32 * 1_000,
        );
        Some(self.rules.to_ambiguous_timestamp(shows.ok()?).offset())
    }

    /// The offset of the zone while its clocks show this hour, if there is one for all of it.
    fn offset_of_hour(&self, start: i64) -> Option<i64> {
        match (self.offset(start)?, self.offset(start + HOUR - 1)?) {
            (
                AmbiguousOffset::Unambiguous { offset },
                AmbiguousOffset::Unambiguous { offset: last },
            ) if offset == last => Some(i64::from(offset.seconds()) * SECOND),
            _ => None,
        }
    }
}

/// Reads a clock of a zone, UTC if there is none; the last hour is remembered.
pub struct Clock<'a> {
    zone: Option<&'a Zone>,
    hour: Option<i64>,
    offset: i64,
}

impl<'a> Clock<'a> {
    pub const fn new(zone: Option<&'a Zone>) -> Self {
        Self { zone, hour: None, offset: 0 }
    }

    /// Whether all of the hour of a time has one offset.
    pub fn knows_hour_of(&self, time: i64) -> bool {
        let shown = time + self.offset;
        self.zone.is_none() || self.hour == Some(shown - shown.rem_euclid(HOUR))
    }

    /// The time at which the clock showed this, if it did so once.
    pub fn instant(&mut self, time: i64) -> Result<i64, Rejection> {
        let Some(zone) = self.zone else {
            return Ok(time);
        };
        let hour = time - time.rem_euclid(HOUR);
        if self.hour == Some(hour) {
            return Ok(time - self.offset);
        }
        if let Some(offset) = zone.offset_of_hour(hour) {
            (self.hour, self.offset) = (Some(hour), offset);
            return Ok(time - offset);
        }
        let (name, time_shown) = (&zone.name, shown(time));
        match zone.offset(time) {
            Some(AmbiguousOffset::Unambiguous { offset }) => {
                Ok(time - i64::from(offset.seconds()) * SECOND)
            }
            Some(AmbiguousOffset::Fold { .. }) => {
                let detail = format!("{name} clocks showed {time_shown} twice, they were put back");
                Err(Rejection::new(Reason::AmbiguousTimestamp, detail))
            }
            _ => {
                let detail =
                    format!("{name} clocks never showed {time_shown}, they were put forward");
                Err(Rejection::new(Reason::InvalidTimestamp, detail))
            }
        }
    }
}
