//! Why a row is rejected or a file quarantined: the words of `edge_etl_job.reasons`.

/// The reasons of rows, in the order in which they are looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    RowTooLong,
    NotText,
    InvalidEncoding,
    MalformedQuote,
    RepeatedHeader,
    WrongFieldCount,
    MissingTimestamp,
    InvalidTimestamp,
    AmbiguousTimestamp,
    TimestampTooOld,
    TimestampInFuture,
    MissingKey,
    MissingRequired,
    InvalidValue,
    OutOfRange,
    RateExceeded,
    StuckValue,
}

impl Reason {
    pub const ALL: [Self; 17] = [
        Self::RowTooLong,
        Self::NotText,
        Self::InvalidEncoding,
        Self::MalformedQuote,
        Self::RepeatedHeader,
        Self::WrongFieldCount,
        Self::MissingTimestamp,
        Self::InvalidTimestamp,
        Self::AmbiguousTimestamp,
        Self::TimestampTooOld,
        Self::TimestampInFuture,
        Self::MissingKey,
        Self::MissingRequired,
        Self::InvalidValue,
        Self::OutOfRange,
        Self::RateExceeded,
        Self::StuckValue,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::RowTooLong => "row_too_long",
            Self::NotText => "not_text",
            Self::InvalidEncoding => "invalid_encoding",
            Self::MalformedQuote => "malformed_quote",
            Self::RepeatedHeader => "repeated_header",
            Self::WrongFieldCount => "wrong_field_count",
            Self::MissingTimestamp => "missing_timestamp",
            Self::InvalidTimestamp => "invalid_timestamp",
            Self::AmbiguousTimestamp => "ambiguous_timestamp",
            Self::TimestampTooOld => "timestamp_too_old",
            Self::TimestampInFuture => "timestamp_in_future",
            Self::MissingKey => "missing_key",
            Self::MissingRequired => "missing_required",
            Self::InvalidValue => "invalid_value",
            Self::OutOfRange => "out_of_range",
            Self::RateExceeded => "rate_exceeded",
            Self::StuckValue => "stuck_value",
        }
    }

    /// Whether it is about what came before, which is not known when the row is read again alone.
    pub const fn looks_back(self) -> bool {
        matches!(self, Self::RateExceeded | Self::StuckValue)
    }

    /// The reason of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// A row is not valid: the reason, and which field and value it was.
#[derive(Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: Reason,
    pub detail: String,
}

impl Rejection {
    #[cold]
    pub const fn new(reason: Reason, detail: String) -> Self {
        Self { reason, detail }
    }
}

/// A file is left as it is; none of its rows is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantine {
    pub reason: &'static str,
    pub message: String,
}
