"""The EdgeETLJob resource, parsed once at the border into immutable objects.

The defaults are those of ``crd.yaml`` (a contract test compares them), so that a resource means
the same whether the API server or ``edge-etl local`` read it. Unknown fields are not an error
here: the API server has refused or pruned them, and an operator that is older than the CRD must
go on working.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any, Final, Literal
from urllib.parse import urlencode

import msgspec

GROUP: Final = "pi-edge-spark.io"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
KIND: Final = "EdgeETLJob"
PLURAL: Final = "edgeetljobs"

Count = int
"""A number of rows, files or bytes, never negative."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of the resource: immutable, camelCase in JSON."""


class LabelExpression(_Part, frozen=True, kw_only=True):
    """A condition on a label, with the meaning that it has in a LabelSelector."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()


class Selector(_Part, frozen=True, kw_only=True):
    """Which nodes take part: those that satisfy all of it."""

    match_labels: dict[str, str] = {}
    match_expressions: tuple[LabelExpression, ...] = ()


class Nodes(_Part, frozen=True, kw_only=True):
    """The nodes that take part, how many must deliver, how often and how long each may try."""

    selector: Selector
    tolerations: tuple[dict[str, Any], ...] = ()
    min_success: int | str = "75%"
    offline_policy: Literal["Skip", "Wait", "Fail"] = "Skip"
    late_data_policy: Literal["NextRun", "Reaggregate", "Ignore"] = "NextRun"
    max_parallel: int | None = None
    backoff_limit: int = 2
    active_deadline_seconds: int = 1200


class Csv(_Part, frozen=True, kw_only=True):
    """How the CSV files are written."""

    delimiter: Literal["auto", ",", ";", "\t", "|"] = "auto"
    decimal: Literal["auto", ".", ","] = "auto"
    thousands: Literal["", ",", ".", " ", "'"] = ""
    encoding: Literal["auto", "utf-8", "utf-16", "windows-1252", "iso-8859-1"] = "auto"
    header: Literal["auto", "present", "absent"] = "auto"
    columns: tuple[str, ...] = ()
    comment: str = "#"


class Source(_Part, frozen=True, kw_only=True):
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


class Timestamp(_Part, frozen=True, kw_only=True):
    """The column that says when a reading was taken."""

    from_: tuple[str, ...] = msgspec.field(name="from", default=("timestamp",))
    join: tuple[str, ...] = ()
    formats: tuple[str, ...] = ("ISO8601",)
    time_zone: str = "UTC"
    not_before: str | None = None
    max_future: str = "1h"


class NullRange(_Part, frozen=True, kw_only=True):
    """Numbers that mean that there is no value, the limits among them."""

    min: float | None = None
    max: float | None = None


class Field(_Part, frozen=True, kw_only=True):
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


class Schema(_Part, frozen=True, kw_only=True):
    """What a valid row is."""

    fields: tuple[Field, ...]
    timestamp: Timestamp = Timestamp()
    null_values: tuple[str, ...] = ("",)
    on_invalid_field: Literal["RejectRow", "SetNull"] = "RejectRow"
    on_drift: Literal["Fail", "Evolve", "QuarantineNode"] = "Evolve"


class Quality(_Part, frozen=True, kw_only=True):
    """How good what is delivered must be."""

    max_rejected_ratio: str | None = None


class Features(_Part, frozen=True, kw_only=True):
    """The statistics for each window of time and group."""

    window: str = "1h"
    group_by: tuple[str, ...] = ()
    statistics: tuple[str, ...] = ("count", "mean", "stddev", "min", "max")


class Resources(_Part, frozen=True, kw_only=True):
    """What a container asks for and may use, as in a pod."""

    requests: dict[str, str | int] = {}
    limits: dict[str, str | int] = {}


class FromConfigMap(_Part, frozen=True, kw_only=True):
    """A file in a ConfigMap of the job's namespace."""

    name: str
    key: str


class Transform(_Part, frozen=True, kw_only=True):
    """A person's own rules of cleaning."""

    config_map: FromConfigMap


class Edge(_Part, frozen=True, kw_only=True):
    """The cleaning pods."""

    transform: Transform | None = None

    resources: Resources = Resources(
        requests={"cpu": "200m", "memory": "128Mi"}, limits={"memory": "512Mi"}
    )


class Landing(_Part, frozen=True, kw_only=True):
    """The chart's landing service takes the results."""


class VolumeClaim(_Part, frozen=True, kw_only=True):
    """A claim of the job's namespace, and the directory in it that holds the results."""

    name: str
    sub_path: str | None = None


class SecretRef(_Part, frozen=True, kw_only=True):
    """A Secret of the job's namespace."""

    name: str


class S3(_Part, frozen=True, kw_only=True):
    """A bucket of an S3-compatible server."""

    bucket: str
    secret_ref: SecretRef
    endpoint: str | None = None
    region: str = "us-east-1"
    prefix: str = ""

    @property
    def location(self) -> str:
        """The bucket, as the programs are told of it."""
        query = {"region": self.region}
        if self.endpoint:
            query["endpoint"] = self.endpoint
        prefix = f"/{self.prefix}" if self.prefix else ""
        return f"s3://{self.bucket}{prefix}?{urlencode(query)}"


class Results(_Part, frozen=True, kw_only=True):
    """Where the results go, and what travels."""

    landing: Landing | None = None
    volume_claim: VolumeClaim | None = None
    s3: S3 | None = None
    ship: tuple[Literal["rows", "features"], ...] = ("rows", "features")
    keep_versions: int = 3
    grace_period_seconds: int = 600


class Driver(_Part, frozen=True, kw_only=True):
    """Spark's driver: cores, and memory of its Java heap such as ``768m``; None is chosen."""

    cores: int | None = None
    memory: str | None = None


class Executor(_Part, frozen=True, kw_only=True):
    """Spark's executors of mode Cluster; None is chosen."""

    instances: int | None = None
    cores: int | None = None
    memory: str | None = None


class Application(_Part, frozen=True, kw_only=True):
    """A person's own aggregation."""

    config_map: FromConfigMap


class Aggregate(_Part, frozen=True, kw_only=True):
    """How Spark merges what the nodes delivered."""

    mode: Literal["Auto", "Local", "Cluster"] = "Auto"
    driver: Driver = Driver()
    executor: Executor = Executor()
    window: str | None = None
    group_by: tuple[str, ...] | None = None
    node_labels: dict[str, str] = {}
    spark_conf: dict[str, str] = {}
    event_log: bool = False
    application: Application | None = None


class Spec(_Part, frozen=True, kw_only=True):
    """What a person wants."""

    nodes: Nodes
    source: Source
    schema: Schema
    key: tuple[str, ...]
    schedule: str | None = None
    time_zone: str = "UTC"
    starting_deadline_seconds: int | None = None
    concurrency_policy: Literal["Forbid", "Replace"] = "Forbid"
    suspend: bool = False
    active_deadline_seconds: int = 3600
    ttl_seconds_after_finished: int | None = 86400
    successful_runs_history_limit: int = 3
    failed_runs_history_limit: int = 3
    quality: Quality = Quality()
    reprocess: Literal["Never", "Changed"] = "Never"
    features: Features = Features()
    edge: Edge = Edge()
    results: Results = Results(landing=Landing())
    aggregate: Aggregate = Aggregate()

    @property
    def hash(self) -> str:
        """Identify what the job does: another value starts a new run even after a success."""
        results = msgspec.structs.replace(
            self.results,
            keep_versions=Results().keep_versions,
            grace_period_seconds=Results().grace_period_seconds,
        )
        aggregate = Aggregate(
            window=self.aggregate.window,
            group_by=self.aggregate.group_by,
            node_labels=self.aggregate.node_labels,
            application=self.aggregate.application,
        )
        what = (self.nodes.selector, self.source, self.schema, self.key, self.features, results)
        # Only where they are set: what came later changes no hash of a job without it.
        own = (self.edge.transform,) if self.edge.transform else ()
        again = (self.reprocess,) if self.reprocess != "Never" else ()
        merged = (aggregate,) if aggregate != Aggregate() else ()
        return _digest((*what, *merged, *own, *again))

    @property
    def settings_hash(self) -> str:
        """Identify how the job is run: another value restarts only what has not succeeded."""
        limits = (
            self.nodes.tolerations,
            self.nodes.backoff_limit,
            self.nodes.active_deadline_seconds,
        )
        # Only where it is set: it came later than the hashes of older runs.
        gates = (self.quality,) if self.quality != Quality() else ()
        return _digest((limits, self.edge, self.aggregate, *gates))

    @property
    def policy_hash(self) -> str:
        """Identify what counts as a success: it changes a run that goes on, and restarts none.

        One that failed begins again with another value.
        """
        nodes = self.nodes
        return _digest((nodes.min_success, nodes.offline_policy, self.active_deadline_seconds))


class Condition(_Part, frozen=True, kw_only=True, omit_defaults=True):
    """One aspect of the state, as Kubernetes' own conditions."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    last_transition_time: datetime
    observed_generation: int = 0


class Run(_Part, frozen=True, kw_only=True, omit_defaults=True):
    """A run: it is in the status before any of its objects exists.

    The nodes are those that matched when it began, and the late ones that it is completed with.
    The time that it may take counts from its start, or from ``resume_time``. What is
    missing is settled before the aggregation begins.
    """

    id: str
    start_time: datetime
    spec_hash: str
    settings_hash: str = ""
    policy_hash: str = ""
    nodes: tuple[str, ...] = ()
    suspend_time: datetime | None = None
    resume_time: datetime | None = None
    aggregation_start_time: datetime | None = None
    aggregations: Count = 0
    missing: tuple[str, ...] = ()
    replay: bool = False
    completion_time: datetime | None = None


class NodeStatus(_Part, frozen=True, kw_only=True, omit_defaults=True):
    """What a node of the run did."""

    name: str
    # By a factory: omit_defaults leaves out values and empty containers, but never this.
    phase: Literal["Pending", "Running", "Succeeded", "Failed", "Offline"] = msgspec.field(
        default_factory=lambda: "Pending"
    )
    attempt: str = ""
    start_time: datetime | None = None
    completion_time: datetime | None = None
    reason: str = ""
    message: str = ""
    files_read: Count | None = None
    files_quarantined: Count | None = None
    rows_read: Count | None = None
    rows_clean: Count | None = None
    rows_rejected: Count | None = None
    rows_duplicate: Count | None = None
    rejected_by_reason: dict[str, Count] = {}
    bytes_read: Count | None = None
    bytes_written: Count | None = None
    watermark: str | None = None
    columns_missing: tuple[str, ...] = ()
    columns_seen: tuple[str, ...] = ()


class PastRun(_Part, frozen=True, kw_only=True, omit_defaults=True):
    """What is kept of a run that is over."""

    id: str
    result: str
    reason: str = ""
    start_time: datetime
    completion_time: datetime
    nodes_summary: str = ""
    rows_read: Count | None = None
    rows_rejected: Count | None = None
    missing: tuple[str, ...] = ()


class Status(_Part, frozen=True, kw_only=True, omit_defaults=True):
    """What the operator found and did; conditions hold the truth."""

    observed_generation: int = 0
    phase: str = ""
    conditions: tuple[Condition, ...] = ()
    run: Run | None = None
    nodes_summary: str = ""
    rows: Count | None = None
    rows_read: Count | None = None
    rows_rejected: Count | None = None
    rejected_ratio: str = ""
    last_run_time: datetime | None = None
    next_run_time: datetime | None = None
    schedule: str = ""
    last_schedule_time: datetime | None = None
    missed_schedule_time: datetime | None = None
    last_run_request: str = ""
    last_replay_request: str = ""
    node_counts: dict[str, Count] = {}
    nodes: tuple[NodeStatus, ...] = ()
    runs: tuple[PastRun, ...] = ()

    @property
    def going(self) -> bool:
        """Whether a run has begun and is not over."""
        return self.run is not None and self.run.completion_time is None

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of a type, None when it has not been set yet."""
        return next((known for known in self.conditions if known.type == kind), None)


class Metadata(_Part, frozen=True, kw_only=True):
    """The part of the metadata that matters here."""

    name: str
    namespace: str = "default"
    uid: str = ""
    generation: int = 0
    resource_version: str = ""
    annotations: dict[str, str] = {}
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class EdgeETLJob(_Part, frozen=True, kw_only=True):
    """The whole resource."""

    metadata: Metadata
    spec: Spec
    status: Status = Status()

    @property
    def name(self) -> str:
        """The resource's name."""
        return self.metadata.name

    @property
    def namespace(self) -> str:
        """The resource's namespace."""
        return self.metadata.namespace


class InvalidResourceError(ValueError):
    """A resource that the CRD would have refused; the message names the field."""


def parse(document: Mapping[str, Any]) -> EdgeETLJob:
    """Parse a resource as the API server or YAML gives it; InvalidResourceError if it is wrong."""
    try:
        return msgspec.convert(document, EdgeETLJob)
    except msgspec.ValidationError as error:
        raise InvalidResourceError(str(error)) from None


def parse_metadata(document: Mapping[str, Any]) -> Metadata:
    """Parse only the metadata, for a resource whose spec cannot be."""
    return msgspec.convert(document["metadata"], Metadata)


def parse_status(document: Mapping[str, Any]) -> Status:
    """Parse only the status, for a resource whose spec cannot be."""
    return msgspec.convert(document.get("status", {}), Status)


def as_document(part: msgspec.Struct) -> dict[str, Any]:
    """Return a part as JSON has it, without fields that are None."""
    document: dict[str, Any] = _without_none(msgspec.to_builtins(part))
    return document


def _without_none(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_none(item) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [_without_none(item) for item in value]
        case _:
            return value


def _digest(parts: tuple[Any, ...]) -> str:
    """Hash what differs from the defaults: a field that a later version adds changes no hash."""
    content = msgspec.json.encode(_without_defaults(parts), order="sorted")
    return hashlib.sha256(content).hexdigest()[:12]


def _without_defaults(value: Any) -> Any:
    match value:
        case msgspec.Struct():
            return {
                field.encode_name: _without_defaults(content)
                for field in _fields(type(value))
                if (content := getattr(value, field.name)) != _default(field)
            }
        case tuple():
            return [_without_defaults(item) for item in value]
        case _:
            return value


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Return a type's fields, which msgspec finds out anew each time."""
    return msgspec.structs.fields(kind)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default
