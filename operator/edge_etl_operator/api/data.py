"""What the readings are: their files, what a valid row is, the statistics of each window."""

from typing import Literal

import msgspec

from edge_etl_operator.api.part import Part


class Csv(Part, frozen=True, kw_only=True):
    """How the CSV files are written."""

    delimiter: Literal["auto", ",", ";", "\t", "|"] = "auto"
    decimal: Literal["auto", ".", ","] = "auto"
    thousands: Literal["", ",", ".", " ", "'"] = ""
    encoding: Literal["auto", "utf-8", "utf-16", "windows-1252", "iso-8859-1"] = "auto"
    header: Literal["auto", "present", "absent"] = "auto"
    columns: tuple[str, ...] = ()
    comment: str = "#"


class Source(Part, frozen=True, kw_only=True):
    """Which files of an allowed directory of each node belong to the job."""

    name: str
    include: tuple[str, ...] = (
        "**/*.csv",
        "**/*.csv.gz",
        "**/*.csv.zst",
        "**/*.csv.bz2",
        "**/*.csv.xz",
    )
    settle_seconds: int = 5
    csv: Csv = Csv()


class Timestamp(Part, frozen=True, kw_only=True):
    """The column that says when a reading was taken."""

    from_: tuple[str, ...] = msgspec.field(name="from", default=("timestamp",))
    join: tuple[str, ...] = ()
    formats: tuple[str, ...] = ("ISO8601",)
    time_zone: str = "UTC"
    not_before: str | None = None
    max_future: str = "1h"


class NullRange(Part, frozen=True, kw_only=True):
    """Numbers that mean that there is no value, the limits among them."""

    min: float | None = None
    max: float | None = None


class Field(Part, frozen=True, kw_only=True):
    """One column of the clean table."""

    name: str
    type: Literal["string", "double", "long", "boolean"]
    from_: tuple[str, ...] = msgspec.field(name="from", default=())
    required: bool = False
    unit: str | None = None
    min: float | None = None
    max: float | None = None
    null_values: tuple[str, ...] = ()
    null_ranges: tuple[NullRange, ...] = ()
    stuck_after: int | str | None = None
    max_rate_per_minute: float | None = None
    circular: float | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The names that the column can have in the CSV files."""
        return self.from_ or (self.name,)


class Schema(Part, frozen=True, kw_only=True):
    """What a valid row is."""

    fields: tuple[Field, ...]
    timestamp: Timestamp = Timestamp()
    null_values: tuple[str, ...] = ("",)
    on_invalid_field: Literal["RejectRow", "SetNull"] = "RejectRow"
    on_drift: Literal["Fail", "Evolve", "QuarantineNode"] = "Evolve"


class Quality(Part, frozen=True, kw_only=True):
    """How good what is delivered must be."""

    max_rejected_ratio: str | None = None


class Features(Part, frozen=True, kw_only=True):
    """The statistics for each window of time and group."""

    window: str = "1h"
    group_by: tuple[str, ...] = ()
    statistics: tuple[str, ...] = ("count", "mean", "stddev", "min", "max")
