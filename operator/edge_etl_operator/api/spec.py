"""What a person wants of a job: where it runs, how often, how its stages do."""

from typing import Any, Literal
from urllib.parse import urlencode

import msgspec

from edge_etl_operator.api.data import Features, Quality, Schema, Source
from edge_etl_operator.api.digest import digest
from edge_etl_operator.api.part import Part


class LabelExpression(Part, frozen=True, kw_only=True):
    """A condition on a label, with the meaning that it has in a LabelSelector."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()


class Selector(Part, frozen=True, kw_only=True):
    """Which nodes take part: those that satisfy all of it."""

    match_labels: dict[str, str] = msgspec.field(default_factory=dict)
    match_expressions: tuple[LabelExpression, ...] = ()


class Nodes(Part, frozen=True, kw_only=True):
    """The nodes that take part, how many must deliver, how often and how long each may try."""

    selector: Selector
    tolerations: tuple[dict[str, Any], ...] = ()
    min_success: int | str = "75%"
    offline_policy: Literal["Skip", "Wait", "Fail"] = "Skip"
    late_data_policy: Literal["NextRun", "Reaggregate", "Ignore"] = "NextRun"
    max_parallel: int | None = None
    backoff_limit: int = 2
    active_deadline_seconds: int = 1200


class Resources(Part, frozen=True, kw_only=True):
    """What a container asks for and may use, as in a pod."""

    requests: dict[str, str | int] = msgspec.field(default_factory=dict)
    limits: dict[str, str | int] = msgspec.field(default_factory=dict)


class FromConfigMap(Part, frozen=True, kw_only=True):
    """A file in a ConfigMap of the job's namespace."""

    name: str
    key: str


class Transform(Part, frozen=True, kw_only=True):
    """A person's own rules of cleaning."""

    config_map: FromConfigMap


class Edge(Part, frozen=True, kw_only=True):
    """The cleaning pods."""

    transform: Transform | None = None

    resources: Resources = Resources(
        requests={"cpu": "200m", "memory": "128Mi"}, limits={"memory": "512Mi"}
    )


class Landing(Part, frozen=True, kw_only=True):
    """The chart's landing service takes the results."""


class VolumeClaim(Part, frozen=True, kw_only=True):
    """A claim of the job's namespace, and the directory in it that holds the results."""

    name: str
    sub_path: str | None = None


class SecretRef(Part, frozen=True, kw_only=True):
    """A Secret of the job's namespace."""

    name: str


class S3(Part, frozen=True, kw_only=True):
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


class Results(Part, frozen=True, kw_only=True):
    """Where the results go, and what travels."""

    landing: Landing | None = None
    volume_claim: VolumeClaim | None = None
    s3: S3 | None = None
    ship: tuple[Literal["rows", "features"], ...] = ("rows", "features")
    keep_versions: int = 3
    grace_period_seconds: int = 600


class Driver(Part, frozen=True, kw_only=True):
    """Spark's driver: cores, and memory of its Java heap such as ``768m``; None is chosen."""

    cores: int | None = None
    memory: str | None = None


class Executor(Part, frozen=True, kw_only=True):
    """Spark's executors of mode Cluster; None is chosen."""

    instances: int | None = None
    cores: int | None = None
    memory: str | None = None


class Application(Part, frozen=True, kw_only=True):
    """A person's own aggregation."""

    config_map: FromConfigMap


class Aggregate(Part, frozen=True, kw_only=True):
    """How Spark merges what the nodes delivered."""

    mode: Literal["Auto", "Local", "Cluster"] = "Auto"
    driver: Driver = Driver()
    executor: Executor = Executor()
    window: str | None = None
    group_by: tuple[str, ...] | None = None
    node_labels: dict[str, str] = msgspec.field(default_factory=dict)
    spark_conf: dict[str, str] = msgspec.field(default_factory=dict)
    event_log: bool = False
    application: Application | None = None


class Spec(Part, frozen=True, kw_only=True):
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
        return digest((*what, *merged, *own, *again))

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
        return digest((limits, self.edge, self.aggregate, *gates))

    @property
    def policy_hash(self) -> str:
        """Identify what counts as a success: it changes a run that goes on, and restarts none.

        One that failed begins again with another value.
        """
        nodes = self.nodes
        return digest((nodes.min_success, nodes.offline_policy, self.active_deadline_seconds))
