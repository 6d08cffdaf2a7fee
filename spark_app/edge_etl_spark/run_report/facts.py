"""What a report tells, as plain facts; texts in them may be anybody's and are not trusted."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

NodeState = Literal["delivered", "late", "set apart", "missing"]
"""Whether a node's rows came in this run, came now from an earlier one, wait because they differ
from their fleet's, or did not come."""


@dataclass(frozen=True)
class QuarantinedFile:
    """A file that no row was taken from, and why."""

    path: str
    why: str


@dataclass(frozen=True)
class NodeFacts:
    """What arrived from a node; sizes in bytes."""

    name: str
    state: NodeState
    run: str
    """The run in which it was delivered; an earlier one for what came late."""
    note: str = ""
    files: int = 0
    rows_read: int = 0
    rows_clean: int = 0
    rows_rejected: int = 0
    rows_duplicate: int = 0
    rejected_by_reason: dict[str, int] = field(default_factory=dict)
    bytes_read: int = 0
    bytes_shipped: int = 0
    bytes_of_features: int = 0
    delivered_at: datetime | None = None
    latest_reading: datetime | None = None
    quarantined: tuple[QuarantinedFile, ...] = ()
    columns_missing: tuple[str, ...] = ()
    columns_seen: tuple[str, ...] = ()
    drift: str = ""


@dataclass(frozen=True)
class Example:
    """A rejected line as it stands in the file of a node."""

    node: str
    file: str
    line: int
    reason: str
    detail: str
    raw: str


@dataclass(frozen=True)
class Step:
    """A step of the aggregation, and when it began."""

    name: str
    what: str
    began: datetime


@dataclass(frozen=True)
class Point:
    """A field's features in one window."""

    window: datetime
    count: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Series:
    """A field's features of one group, in the order of time; windows without values are absent."""

    group: str
    points: tuple[Point, ...]


@dataclass(frozen=True)
class FieldSeries:
    """All shown groups of one field."""

    field: str
    unit: str
    series: tuple[Series, ...]


@dataclass(frozen=True)
class Features:
    """The latest windows of the table, as far as they have room."""

    window_seconds: int
    fields: tuple[FieldSeries, ...] = ()
    groups: int = 0
    """How many groups there are, shown or not."""
    groups_shown: int = 0
    fields_left_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How the run ended, and what its table holds then."""

    succeeded: bool
    reason: str
    message: str
    version: int = 0
    rows: int = 0
    rows_added: int = 0
    rows_duplicate: int = 0
    days_written: int = 0


@dataclass(frozen=True)
class RunFacts:
    """All that a report tells of one run."""

    namespace: str
    job: str
    run: str
    began: datetime
    ended: datetime
    outcome: Outcome
    nodes: tuple[NodeFacts, ...]
    fields: tuple[str, ...]
    ships_rows: bool = True
    examples: tuple[Example, ...] = ()
    examples_missing: str = ""
    """Why there are no examples although rows were rejected."""
    steps: tuple[Step, ...] = ()
    features: Features | None = None
