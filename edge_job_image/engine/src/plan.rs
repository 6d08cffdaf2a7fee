//! The job as the engine needs it: names resolved, durations in microseconds, texts of messages
//! made beforehand.

use std::cmp::Ordering;

use serde::Deserialize;

use crate::format::Format;
use crate::nulls::Nulls;
use crate::reason::Reason;
use crate::table::Kind;
use crate::zone::Zone;

/// What a run of the engine is to do, the same for all its inputs.
#[derive(Deserialize)]
pub struct Plan {
    /// The ways in which files are written; each input names one of them.
    pub dialects: Vec<Dialect>,
    /// What groups the digits of numbers, where that is declared.
    #[serde(default)]
    pub thousands: Option<char>,
    /// What a line begins with that is no record unless it is a clean row; empty: none does.
    #[serde(default)]
    pub comment: String,
    pub timestamp: TimeRules,
    pub fields: Vec<Field>,
    /// What means that a row has no time.
    pub nulls: Nulls,
    /// What identifies a row.
    pub key: Key,
    pub features: Features,
    pub ship_rows: bool,
    pub ship_features: bool,
    /// What earlier runs know of series, as `history` wrote it, and how many series are kept.
    #[serde(default)]
    pub history: String,
    #[serde(default)]
    pub most_series: usize,
    /// Bytes of rows that are held in memory before days are written.
    pub budget: usize,
    /// None: as many as the container may use.
    #[serde(default)]
    pub threads: Option<usize>,
}

impl Plan {
    /// The kinds of the clean table's columns.
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.fields.iter().map(|field| field.kind)
    }
}

/// How a file is written, and where it has what the schema wants.
#[derive(Deserialize)]
pub struct Dialect {
    /// The names of all fields of a row.
    pub columns: Vec<String>,
    pub delimiter: char,
    pub decimal: char,
    #[serde(default)]
    pub encoding: Encoding,
    /// Whether lines end with carriage returns instead of newlines.
    #[serde(default)]
    pub returns: bool,
    /// Fields at the end of each row that must be empty.
    #[serde(default)]
    pub extra: usize,
    /// Positions of the cells that make the time together.
    pub times: Vec<usize>,
    /// Position of each field of the schema; None where the file has no column for it.
    pub fields: Vec<Option<usize>>,
}

impl Dialect {
    /// Whether the bytes of a file are what the engine reads: UTF-8 with newlines.
    pub fn is_plain(&self) -> bool {
        self.encoding == Encoding::Utf8 && !self.returns
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub enum Encoding {
    #[default]
    #[serde(rename = "utf-8")]
    Utf8,
    #[serde(rename = "utf-16-le")]
    Utf16Le,
    #[serde(rename = "utf-16-be")]
    Utf16Be,
    #[serde(rename = "windows-1252")]
    Windows1252,
    #[serde(rename = "iso-8859-1")]
    Latin1,
}

impl Encoding {
    /// How many bytes any part of a text has in the file, of which these are the UTF-8.
    pub fn size(self, text: &[u8]) -> u64 {
        let characters = || text.iter().filter(|&&byte| byte & 0xc0 != 0x80).count() as u64;
        match self {
            Self::Utf8 => text.len() as u64,
            Self::Windows1252 | Self::Latin1 => characters(),
            // Each character is one unit, those of four bytes in UTF-8 are two.
            Self::Utf16Le | Self::Utf16Be => {
                let pairs = text.iter().filter(|&&byte| byte & 0xf8 == 0xf0).count() as u64;
                2 * (characters() + pairs)
            }
        }
    }

    /// The bytes of a newline in the file.
    pub const fn newline(self) -> u64 {
        match self {
            Self::Utf16Le | Self::Utf16Be => 2,
            _ => 1,
        }
    }
}

/// The rules of the timestamp's column.
#[derive(Deserialize)]
pub struct TimeRules {
    /// How the times are written.
    pub formats: Vec<Format>,
    /// Where the clocks stand that name no zone; None: they show UTC.
    #[serde(default)]
    pub zone: Option<Zone>,
    /// The first and the last time to believe, in microseconds since 1970.
    pub earliest: i64,
    pub latest: i64,
    /// For messages: the limits as the job states them.
    pub not_before: String,
    pub max_future: String,
}

#[cfg(test)]
impl TimeRules {
    /// Rules without limits, in UTC.
    pub fn of(formats: &[&str]) -> Self {
        let format = |text: &&str| Format::try_from((*text).to_owned()).unwrap();
        Self {
            formats: formats.iter().map(format).collect(),
            zone: None,
            earliest: i64::MIN,
            latest: i64::MAX,
            not_before: String::new(),
            max_future: String::new(),
        }
    }
}

/// A column of the clean table.
#[derive(Deserialize)]
pub struct Field {
    pub name: String,
    pub kind: Kind,
    /// Why a row without a value is rejected; None: it is not.
    #[serde(default)]
    pub missing: Option<Missing>,
    /// What means that there is no value: texts, and numbers from one to another.
    pub nulls: Nulls,
    #[serde(default)]
    pub null_ranges: Vec<(f64, f64)>,
    /// The value that is the same as 0, where values go round.
    #[serde(default)]
    pub circular: Option<f64>,
    /// From when on a value that does not change is not believed, and how much it may change in a
    /// minute, with the text of messages.
    #[serde(default)]
    pub stuck_after: Option<Stuck>,
    #[serde(default)]
    pub max_rate: Option<(f64, String)>,
    /// An invalid value becomes null instead of rejecting the row.
    pub set_null: bool,
    /// The limits, each with the text of messages.
    #[serde(default)]
    pub min: Option<(f64, String)>,
    #[serde(default)]
    pub max: Option<(f64, String)>,
}

/// How long a value may stay the same: for so many readings, or microseconds.
#[derive(Deserialize)]
pub struct Stuck {
    pub readings: Option<u64>,
    pub micros: Option<i64>,
    /// For messages.
    pub text: String,
}

impl Field {
    /// Whether it has rules about what came before.
    pub const fn looks_back(&self) -> bool {
        self.stuck_after.is_some() || self.max_rate.is_some()
    }

    /// Whether a value is within the limits.
    pub fn holds(&self, value: f64) -> bool {
        let (least, most) = self.limits();
        least <= value && value <= most
    }

    /// The least and the greatest value.
    pub fn limits(&self) -> (f64, f64) {
        let least = self.min.as_ref().map_or(f64::NEG_INFINITY, |limit| limit.0);
        (least, self.max.as_ref().map_or(f64::INFINITY, |limit| limit.0))
    }

    /// Whether a value is within the limits.
    pub fn holds_long(&self, value: i64) -> bool {
        self.min.as_ref().is_none_or(|limit| order(value, limit.0).is_ge())
            && self.max.as_ref().is_none_or(|limit| order(value, limit.0).is_le())
    }
}

impl Field {
    /// Whether a number says that there is no value.
    #[inline(always)]
    pub fn means_null(&self, value: f64) -> bool {
        !self.null_ranges.is_empty()
            && self.null_ranges.iter().any(|&(least, most)| least <= value && value <= most)
    }

    /// Whether a number says that there is no value.
    pub fn means_null_long(&self, value: i64) -> bool {
        let within =
            |&(least, most): &(f64, f64)| order(value, least).is_ge() && order(value, most).is_le();
        self.null_ranges.iter().any(within)
    }
}

/// An integer against a double, exactly: no integer is rounded to a double first.
pub fn order(value: i64, limit: f64) -> Ordering {
    let floor = limit.floor();
    // Each floor within these bounds is an integer that i128 holds.
    let whole = if floor.abs() < 1e30 {
        floor as i128
    } else {
        return 0.0_f64.total_cmp(&limit);
    };
    let order = i128::from(value).cmp(&whole);
    if order.is_eq() && floor < limit { Ordering::Less } else { order }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Missing {
    MissingKey,
    MissingRequired,
}

impl Missing {
    pub const fn reason(self) -> Reason {
        match self {
            Self::MissingKey => Reason::MissingKey,
            Self::MissingRequired => Reason::MissingRequired,
        }
    }
}

/// What identifies a row: fields by position, and its time or not.
#[derive(Deserialize)]
pub struct Key {
    pub fields: Vec<usize>,
    pub timestamp: bool,
}

/// The statistics of windows.
#[derive(Deserialize)]
pub struct Features {
    /// Microseconds.
    pub window: i64,
    /// Fields by position.
    pub group_by: Vec<usize>,
    /// Quantiles, in percent.
    #[serde(default)]
    pub quantiles: Vec<usize>,
    /// Whether the first and the last value are asked for, and the mean of values that go round.
    #[serde(default)]
    pub first: bool,
    #[serde(default)]
    pub last: bool,
    #[serde(default)]
    pub circular: bool,
}
