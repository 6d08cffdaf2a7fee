"""What a job's status tells of its run, as `edge-etl status` shows it: pure."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal

from edge_etl_operator import conditions
from edge_etl_operator.api import EdgeETLJob, NodeStatus, Run, Status
from edge_etl_operator.cli.output import Part

State = Literal["Done", "Now", "Next", "Failed"]

_ORDER: Final = ("Failed", "Offline", "Pending", "Running", "Succeeded")
"""What needs attention first."""


class Progress(Part, frozen=True, kw_only=True):
    """What a pod's log says of how far it is."""

    bytes_done: int = 0
    bytes_total: int = 0
    step: str = ""


class Stage(Part, frozen=True, kw_only=True):
    """A part of a run on its line of time."""

    name: str
    state: State
    seconds: float | None = None
    step: str = ""
    """What it does now."""


class NodeView(Part, frozen=True, kw_only=True):
    """What a node did or does."""

    name: str
    phase: str
    progress: Progress | None = None
    seconds: float | None = None
    rows_read: int | None = None
    rows_per_second: float | None = None
    rejected_ratio: float | None = None
    """From 0 to 1."""
    bytes_read: int | None = None
    bytes_written: int | None = None
    reason: str = ""
    message: str = ""

    @property
    def waits(self) -> bool:
        """Whether a person should look at it."""
        return self.phase in ("Failed", "Offline") or (
            self.phase in ("Pending", "Running") and bool(self.reason or self.message)
        )

    @property
    def why(self) -> str:
        """The reason and the message, as far as there are any."""
        return ": ".join(part for part in (self.reason, self.message) if part)


class RunView(Part, frozen=True, kw_only=True):
    """A job's run on one screen."""

    namespace: str
    job: str
    phase: str
    run: str | None = None
    start_time: datetime | None = None
    seconds: float | None = None
    nodes_summary: str = ""
    stages: tuple[Stage, ...] = ()
    nodes: tuple[NodeView, ...] = ()
    rows_read: int | None = None
    rejected_ratio: str = ""
    rows: int | None = None
    """Of the published table."""
    reason: str = ""
    message: str = ""
    odd: str = ""
    """What should be looked at although the run may succeed."""
    next_run_time: datetime | None = None


def view(job: EdgeETLJob, now: datetime, progress: Mapping[str, Progress] | None = None) -> RunView:
    """Return what is shown of a job; ``progress`` is that of nodes at work, and of Spark by ''."""
    status, run, going = job.status, job.status.run, progress or {}
    success = status.condition(conditions.SUCCEEDED)
    odd = status.condition(conditions.DEGRADED)
    seen = sorted(status.nodes, key=lambda node: (_ORDER.index(node.phase), node.name))
    return RunView(
        namespace=job.namespace,
        job=job.name,
        phase=status.phase or "Pending",
        run=run.id if run else None,
        start_time=run.start_time if run else None,
        seconds=_between(run.start_time, run.completion_time or now) if run else None,
        nodes_summary=status.nodes_summary,
        stages=tuple(_stages(status, run, now, going.get("", Progress()))) if run else (),
        nodes=tuple(_node(node, now, going.get(node.name)) for node in seen),
        rows_read=status.rows_read,
        rejected_ratio=status.rejected_ratio,
        rows=status.rows,
        reason=success.reason if success else conditions.WAITING.code,
        message=success.message if success else "The operator has not looked at it yet",
        odd=odd.message if odd and odd.status == "True" else "",
        next_run_time=status.next_run_time,
    )


def _stages(status: Status, run: Run, now: datetime, spark: Progress) -> list[Stage]:
    """Return cleaning, aggregating and publishing; the table is published when Spark has ended."""
    end = run.completion_time or now
    merging = run.aggregation_start_time
    failed = status.phase == "Failed"
    cleaned: State = "Done" if merging else "Failed" if failed else "Now"
    merged: State = "Next"
    if merging:
        merged = "Now" if run.completion_time is None else "Failed" if failed else "Done"
    return [
        Stage(name="Cleaning", state=cleaned, seconds=_between(run.start_time, merging or end)),
        Stage(
            name="Aggregating",
            state=merged,
            seconds=_between(merging, end) if merging else None,
            step=spark.step if merged == "Now" else "",
        ),
        Stage(name="Published", state="Done" if merged == "Done" else "Next"),
    ]


def _node(node: NodeStatus, now: datetime, progress: Progress | None) -> NodeView:
    at_work = node.phase == "Running"
    seconds = None
    if node.start_time and (at_work or node.completion_time):
        seconds = _between(node.start_time, node.completion_time or now)
    read = node.rows_read
    rate = read / max(seconds, 1.0) if read and seconds is not None and not at_work else None
    return NodeView(
        name=node.name,
        phase=node.phase,
        progress=progress if at_work else None,
        seconds=seconds,
        rows_read=read,
        rows_per_second=round(rate, 1) if rate is not None else None,
        rejected_ratio=round((node.rows_rejected or 0) / read, 4) if read else None,
        bytes_read=node.bytes_read,
        bytes_written=node.bytes_written,
        reason=node.reason,
        message=node.message,
    )


def _between(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())
