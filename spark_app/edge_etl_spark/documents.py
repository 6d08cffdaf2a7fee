"""The JSON documents that enter and leave the aggregation, parsed once at the border.

In: the aggregation document (written by the operator or by ``edge-etl local``) and the manifests
that the nodes committed. Out: the manifest of the published table version, and the report (the
driver's termination message, read by the operator). The JSON Schemas in ``docs/contracts`` are
generated from these classes.
"""

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

API_VERSION: Final = "pi-edge-spark.io/v1alpha1"

Count = Annotated[int, Meta(ge=0)]
Day = Annotated[str, Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$")]
Name = Annotated[str, Meta(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
RunId = Annotated[str, Meta(pattern=r"^[0-9]{8}-[0-9]{6}$")]
Window = Annotated[str, Meta(pattern=r"^[0-9]{1,6}(s|m|h|d)$")]
Attempt = Annotated[str, Meta(pattern=r"^[A-Za-z0-9-]{1,64}$")]


class _Document(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """What our own documents have in common: immutable, camelCase in JSON, no unknown field."""


class _Foreign(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The part of another program's document that the aggregation needs."""


class Field(_Foreign, frozen=True, kw_only=True):
    """One column of the clean table."""

    name: Annotated[str, Meta(pattern=r"^[a-z_][a-z0-9_]{0,62}$")]
    type: Literal["string", "double", "long", "boolean"]
    unit: str | None = None
    circular: float | None = None
    """The value that is the same as 0, where values go round."""


class NodeAttempt(_Document, frozen=True, kw_only=True):
    """A node of the run that has delivered, and which of its attempts did."""

    node: Name
    attempt: Attempt


LOCAL: Final = r"local(?:\[(\d+|\*)(?:,\d+)?\])?"
"""The masters with which all tasks run in the driver's process; the group is how many at once."""


class Spark(_Document, frozen=True, kw_only=True):
    """Where Spark runs and with which configuration."""

    master: str
    conf: dict[str, str] = {}
    event_log: bool = False

    @property
    def has_executors(self) -> bool:
        """Whether tasks run in other processes than the driver's, which can be on other nodes."""
        return not re.fullmatch(LOCAL, self.master)


class Application(_Document, frozen=True, kw_only=True):
    """A person's own aggregation: where its file is, and what a person calls it."""

    path: str
    name: str


class AggregationDocument(_Document, frozen=True, kw_only=True):
    """The whole task of one aggregation."""

    api_version: Literal["pi-edge-spark.io/v1alpha1"]
    kind: Literal["Aggregation"]
    namespace: Name
    job: Name
    run: RunId
    nodes: tuple[NodeAttempt, ...]
    fields: Annotated[tuple[Field, ...], Meta(min_length=1)]
    key: Annotated[tuple[str, ...], Meta(min_length=1)]
    window: Window
    group_by: tuple[str, ...]
    statistics: tuple[str, ...]
    ship: tuple[Literal["rows", "features"], ...]
    missing_nodes: tuple[Name, ...] = ()
    """Nodes of the run that have not delivered; the version manifest names them."""
    missing_because: dict[str, str] = {}
    """Why a node has not, where that is known; for the report."""
    late_data: Literal["Merge", "Ignore"] = "Merge"
    """What becomes of a delivery that came after its own run had been published."""
    on_drift: Literal["Fail", "Evolve", "QuarantineNode"] = "Evolve"
    """What becomes of a node whose files differ from those of its fleet."""
    label_columns: tuple[str, ...] = ()
    """Columns of the table whose values are labels of the nodes."""
    node_labels: dict[str, dict[str, str]] = {}
    """For each node the values of these columns; null where there is none."""
    application: Application | None = None
    keep_versions: Annotated[int, Meta(ge=1)] = 3
    grace_period_seconds: Count = 600
    spark: Spark


class DeliveredFile(_Foreign, frozen=True, kw_only=True):
    """One Parquet file of an attempt's directory, as its manifest lists it."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9._=-]{0,127}$")]
    kind: Literal["rows", "rejected", "features"]
    day: Day | None
    rows: Count
    bytes: Count
    sha256: str


class NodeManifest(_Foreign, frozen=True, kw_only=True):
    """What a node delivered in a run, as far as the aggregation needs it."""

    api_version: Literal["pi-edge-spark.io/v1alpha1"]
    kind: Literal["NodeManifest"]
    run: RunId
    node: Name
    attempt: Attempt
    schema_version: str
    window: Window
    group_by: tuple[str, ...]
    watermark: str | None
    rows_read: Count = 0
    rejected_by_reason: dict[str, Count] = {}
    columns_missing: tuple[str, ...] = ()
    columns_seen: tuple[str, ...] = ()
    files: tuple[DeliveredFile, ...]


class ReadFile(_Foreign, frozen=True, kw_only=True):
    """What a node manifest says of a CSV file, as far as the report tells it."""

    path: str
    bytes_read: Count = 0
    status: str = "read"
    message: str | None = None


class NodeAccount(_Foreign, frozen=True, kw_only=True):
    """A node manifest again, with what only the report of its run tells."""

    run: RunId
    node: Name
    attempt: Attempt
    created_at: str
    rows_read: Count
    rows_clean: Count
    rows_rejected: Count
    rows_duplicate: Count
    rejected_by_reason: dict[str, Count]
    bytes_read: Count
    watermark: str | None
    columns_missing: tuple[str, ...] = ()
    columns_seen: tuple[str, ...] = ()
    inputs: tuple[ReadFile, ...] = ()
    files: tuple[DeliveredFile, ...] = ()


class MergedManifest(_Document, frozen=True, kw_only=True):
    """A node manifest whose rows are in the table."""

    run: RunId
    node: Name
    attempt: Attempt


class TableFile(_Document, frozen=True, kw_only=True):
    """One Parquet file of a published version, its path relative to the version's directory.

    A name is never used twice: files with the same path have the same content in all versions.
    """

    path: Annotated[
        str,
        Meta(
            pattern=r"^((rows|features)/day=[0-9]{4}-[0-9]{2}-[0-9]{2}|application)/[^/]+$",
        ),
    ]
    rows: Count
    bytes: Count
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}$")]


class VersionManifest(_Document, frozen=True, kw_only=True):
    """What a published version of the table holds, and what its run added to the one before."""

    api_version: Literal["pi-edge-spark.io/v1alpha1"] = API_VERSION
    kind: Literal["TableVersion"] = "TableVersion"
    namespace: Name
    job: Name
    run: RunId
    version: Count
    created_at: str
    rows: Count
    feature_rows: Count
    rows_added: Count
    rows_duplicate: Count
    days_written: Count
    manifests_merged: Count
    merged: tuple[MergedManifest, ...]
    set_aside: tuple[MergedManifest, ...] = ()
    """Deliveries that a rollback took out, or that came too late for a job that ignores these.

    Later runs leave them alone, a rebuild takes them.
    """
    restored_from: Count | None = None
    """The version whose content a rollback published again."""
    missing_nodes: tuple[Name, ...] = ()
    fields_had: tuple[str, ...] = ()
    """The fields that some node has had a column for."""
    watermarks: dict[str, str]
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    window: str
    group_by: tuple[str, ...]
    statistics: tuple[str, ...]
    ship: tuple[Literal["rows", "features"], ...]
    label_columns: tuple[str, ...] = ()
    node_labels: dict[str, dict[str, str]] = {}
    application: str | None = None
    """SHA-256 of the person's own aggregation that gave the table ``application``."""
    files: tuple[TableFile, ...]


class Drift(_Document, frozen=True, kw_only=True):
    """A node whose files differ from those of its fleet, and how."""

    node: Name
    difference: str


class AggregationReport(_Document, frozen=True, kw_only=True):
    """What the operator learns of the aggregation: at most 4,096 bytes."""

    api_version: Literal["pi-edge-spark.io/v1alpha1"] = API_VERSION
    kind: Literal["AggregationReport"] = "AggregationReport"
    run: str
    succeeded: bool
    reason: str
    message: str
    version: Count = 0
    rows: Count = 0
    rows_added: Count = 0
    rows_duplicate: Count = 0
    feature_rows: Count = 0
    days_written: Count = 0
    manifests_merged: Count = 0
    quarantined_nodes: tuple[Drift, ...] = ()
    """Nodes whose deliveries wait because they differ from the fleet's, at most ten."""
