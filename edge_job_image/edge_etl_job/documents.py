"""The JSON documents that enter and leave the edge program, parsed once at the border.

What comes in is the job document (one for all nodes of a run, written by the operator or by
``edge-etl local``); what goes out is the node manifest (read by the aggregation) and the node
summary (the container's termination message, read by the operator). Field names are those of the
EdgeETLJob resource, in camelCase; unknown fields are refused. The JSON Schemas in
``docs/contracts`` are generated from these classes.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from edge_etl_job.digest import sha256
from edge_etl_job.names import ATTEMPT, FILE, NAME, RUN

API_VERSION: Final = "pi-edge-spark.io/v1alpha1"

Duration = Annotated[str, Meta(pattern=r"^[0-9]{1,6}(s|m|h|d)$")]
Name = Annotated[str, Meta(pattern=NAME)]
Count = Annotated[int, Meta(ge=0)]
Statistic = Annotated[
    str,
    Meta(pattern=r"^(count|mean|stddev|min|max|p[1-9][0-9]?|first|last|circular_mean)$"),
]
RunId = Annotated[str, Meta(pattern=RUN)]
"""The UTC second in which the run began, ``YYYYMMDD-HHMMSS``; sorts in the order of time."""


class Document(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What all documents have in common: immutable, camelCase in JSON, no unknown field."""


class Csv(Document, frozen=True, kw_only=True):
    """How the CSV files are written. ``auto`` decides for each file by what it shows."""

    delimiter: Literal["auto", ",", ";", "\t", "|"] = "auto"
    decimal: Literal["auto", ".", ","] = "auto"
    thousands: Literal["", ",", ".", " ", "'"] = ""
    encoding: Literal["auto", "utf-8", "utf-16", "windows-1252", "iso-8859-1"] = "auto"
    header: Literal["auto", "present", "absent"] = "auto"
    columns: tuple[str, ...] = ()
    """The columns of files that have no header."""
    comment: str = "#"
    """What a line begins with that is no record, unless it is a clean row; empty: none does."""


class Source(Document, frozen=True, kw_only=True):
    """Which files of the node's source directory belong to the job."""

    name: Name
    include: Annotated[tuple[str, ...], Meta(min_length=1)] = (
        "**/*.csv",
        "**/*.csv.gz",
        "**/*.csv.zst",
        "**/*.csv.bz2",
        "**/*.csv.xz",
    )
    settle_seconds: Count = 5
    csv: Csv = Csv()


class Timestamp(Document, frozen=True, kw_only=True):
    """The column that says when a reading was taken, and what is believable in it."""

    from_: Annotated[tuple[str, ...], Meta(min_length=1)] = msgspec.field(
        name="from", default=("timestamp",)
    )
    join: Annotated[tuple[str, ...], Meta(max_length=4)] = ()
    """Columns whose cells, joined by a blank, are the time of files that have none of ``from``."""
    formats: Annotated[tuple[str, ...], Meta(min_length=1)] = ("ISO8601",)
    time_zone: str = "UTC"
    not_before: str | None = None
    max_future: Duration = "1h"


class NullRange(Document, frozen=True, kw_only=True):
    """Numbers that mean that there is no value, the limits among them."""

    min: float | None = None
    max: float | None = None


class Field(Document, frozen=True, kw_only=True):
    """One column of the clean table."""

    name: Annotated[str, Meta(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
    type: Literal["string", "double", "long", "boolean"]
    from_: tuple[str, ...] = msgspec.field(name="from", default=())
    required: bool = False
    unit: str | None = None
    min: float | None = None
    max: float | None = None
    null_values: tuple[str, ...] = ()
    null_ranges: tuple[NullRange, ...] = ()
    stuck_after: Annotated[int, Meta(ge=1)] | Duration | None = None
    """For so many readings, or so long, a value may stay the same."""
    max_rate_per_minute: float | None = None
    circular: float | None = None
    """The value that is the same as 0, where values go round: 360 of a direction in degrees."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of CSV columns that can hold this field, the first present one wins."""
        return self.from_ or (self.name,)

    @property
    def looks_back(self) -> bool:
        """Whether it has rules about what came before."""
        return self.stuck_after is not None or self.max_rate_per_minute is not None

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers."""
        return self.type in ("double", "long")


class Schema(Document, frozen=True, kw_only=True):
    """What a valid row is."""

    fields: Annotated[tuple[Field, ...], Meta(min_length=1)]
    timestamp: Timestamp = Timestamp()
    null_values: tuple[str, ...] = ("",)
    on_invalid_field: Literal["RejectRow", "SetNull"] = "RejectRow"


class Features(Document, frozen=True, kw_only=True):
    """The statistics that the node computes for each window and group."""

    window: Duration = "1h"
    group_by: tuple[str, ...] = ()
    statistics: tuple[Statistic, ...] = ("count", "mean", "stddev", "min", "max")

    @property
    def quantiles(self) -> tuple[int, ...]:
        """The quantiles that are asked for, in percent and in their order."""
        return tuple(sorted(int(name[1:]) for name in self.statistics if name[1:].isdecimal()))


class Results(Document, frozen=True, kw_only=True):
    """What travels from the node."""

    ship: Annotated[tuple[Literal["rows", "features"], ...], Meta(min_length=1)] = (
        "rows",
        "features",
    )


class Quality(Document, frozen=True, kw_only=True):
    """What a node may deliver."""

    max_rejected_ratio: (
        Annotated[str, Meta(pattern=r"^(100(\.0+)?|[0-9]{1,2}(\.[0-9]{1,4})?)%$")] | None
    ) = None
    """The share of the rows read in a run that may be rejected, such as ``25%``."""


class JobDocument(Document, frozen=True, kw_only=True):
    """The whole task of one run, the same for each of its nodes."""

    api_version: Literal["pi-edge-spark.io/v1alpha1"]
    kind: Literal["EdgeJob"]
    namespace: Name
    job: Name
    run: RunId
    source: Source
    schema: Schema
    key: Annotated[tuple[str, ...], Meta(min_length=1)]
    features: Features = Features()
    results: Results = Results()
    reprocess: Literal["Never", "Changed"] = "Never"
    """Whether files that were read by other rules are read again by these."""
    replay: str | None = None
    """A request to read again what was rejected or quarantined; each is heard once by a node."""
    quality: Quality = Quality()

    @property
    def schema_version(self) -> str:
        """Identify the cleaning rules: 12 hex digits of the SHA-256 of what decides on rows."""
        rules = msgspec.json.encode((self.schema, self.key, self.source.csv), order="sorted")
        return sha256(rules)[:12]


class Known(Document, frozen=True, kw_only=True):
    """What the ledger knows a file by, so that a lost one can be made again from manifests."""

    offset: Count
    """Bytes of what it holds, from its start, that have been delivered."""
    lines: Count
    """Line ends in them."""
    head: bytes
    content: bytes
    """Digests of its first bytes and of all that was delivered, in base64."""
    continues: bool = False
    """Whether what earlier manifests say of this path is the beginning of these bytes."""


class Input(Document, frozen=True, kw_only=True):
    """What became of one CSV file in this run."""

    path: str
    bytes_read: Count
    rows_read: Count
    rows_clean: Count
    rows_rejected: Count
    rows_duplicate: Count
    status: Literal["read", "quarantined"] = "read"
    read_again: bool = False
    """Whether what was rejected of this file in earlier runs is among these rows again."""
    rejected_by_reason: dict[str, Count] = {}
    message: str | None = None
    dialect: str | None = None
    """How the file is written, where that is not plain, and what showed it."""
    known: Known | None = None
    """How far the file has been delivered; nothing when none of it has."""


class DeliveredFile(Document, frozen=True, kw_only=True):
    """One Parquet file of the attempt's directory; only listed files exist for a reader."""

    name: Annotated[str, Meta(pattern=FILE)]
    kind: Literal["rows", "rejected", "features"]
    day: Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")] | None
    rows: Count
    bytes: Count
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class NodeManifest(Document, frozen=True, kw_only=True):
    """What a node delivered in a run; its appearance in the results is the commit."""

    api_version: Literal["pi-edge-spark.io/v1alpha1"] = API_VERSION
    kind: Literal["NodeManifest"] = "NodeManifest"
    namespace: Name
    job: Name
    run: RunId
    node: Name
    attempt: Annotated[str, Meta(pattern=ATTEMPT)]
    schema_version: str
    window: Duration
    """The length of the windows in the features files."""
    group_by: tuple[str, ...]
    """The fields by which the features files group each window."""
    created_at: str
    rows_read: Count
    rows_clean: Count
    rows_rejected: Count
    rows_duplicate: Count
    rejected_by_reason: dict[str, Count]
    bytes_read: Count
    bytes_written: Count
    watermark: str | None
    columns_missing: tuple[str, ...]
    columns_seen: tuple[str, ...]
    inputs: tuple[Input, ...]
    files: tuple[DeliveredFile, ...]


class NodeSummary(Document, frozen=True, kw_only=True):
    """What the operator learns of a node: the termination message, at most 4,096 bytes."""

    api_version: Literal["pi-edge-spark.io/v1alpha1"] = API_VERSION
    kind: Literal["NodeSummary"] = "NodeSummary"
    run: str
    node: str
    attempt: str
    succeeded: bool
    reason: str
    message: str
    files_read: Count = 0
    files_quarantined: Count = 0
    rows_read: Count = 0
    rows_clean: Count = 0
    rows_rejected: Count = 0
    rows_duplicate: Count = 0
    rejected_by_reason: dict[str, Count] = {}
    bytes_read: Count = 0
    bytes_written: Count = 0
    watermark: str | None = None
    columns_missing: tuple[str, ...] = ()
    columns_seen: tuple[str, ...] = ()
