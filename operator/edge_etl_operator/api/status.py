"""What the operator found and did: the status of the resource."""

from datetime import datetime
from typing import Literal

import msgspec

from edge_etl_operator.api.part import Count, Part


class Condition(Part, frozen=True, kw_only=True, omit_defaults=True):
    """One aspect of the state, as Kubernetes' own conditions."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    last_transition_time: datetime
    observed_generation: int = 0


class Run(Part, frozen=True, kw_only=True, omit_defaults=True):
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


class NodeStatus(Part, frozen=True, kw_only=True, omit_defaults=True):
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
    rejected_by_reason: dict[str, Count] = msgspec.field(default_factory=dict)
    bytes_read: Count | None = None
    bytes_written: Count | None = None
    watermark: str | None = None
    columns_missing: tuple[str, ...] = ()
    columns_seen: tuple[str, ...] = ()


class PastRun(Part, frozen=True, kw_only=True, omit_defaults=True):
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


class Status(Part, frozen=True, kw_only=True, omit_defaults=True):
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
    node_counts: dict[str, Count] = msgspec.field(default_factory=dict)
    nodes: tuple[NodeStatus, ...] = ()
    runs: tuple[PastRun, ...] = ()

    @property
    def going(self) -> bool:
        """Whether a run has begun and is not over."""
        return self.run is not None and self.run.completion_time is None

    def condition(self, kind: str) -> Condition | None:
        """Return the condition of a type, None when it has not been set yet."""
        return next((known for known in self.conditions if known.type == kind), None)
