"""Say: the status of a job as a whole, always written at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from edge_etl_operator import conditions, history
from edge_etl_operator.api import Condition, EdgeETLJob, NodeStatus, Run, Status
from edge_etl_operator.conditions import Reason, Truth
from edge_etl_operator.documents import AggregationReport

_NOT_RUNNING = frozenset(
    {
        conditions.NO_MATCHING_NODE.code,
        conditions.TOO_FEW_NODES.code,
        conditions.STOPPING.code,
        conditions.WAITING.code,
    }
)
_SHOWN = 12
_WAITING = frozenset({conditions.WAITING.code, conditions.SUSPENDED.code})


@dataclass(frozen=True)
class Finding:
    """What a condition says: its type, whether it holds, why, and the facts."""

    kind: str
    truth: Truth
    reason: Reason
    fact: str


_ACCEPTED = Finding(conditions.ACCEPTED, "True", conditions.VALID, "The spec can be run")
_NOT_AGGREGATED = Finding(
    conditions.AGGREGATED, "False", conditions.WAITING, "It begins when enough nodes have delivered"
)
_AS_EXPECTED = Finding(
    conditions.DEGRADED, "False", conditions.AS_EXPECTED, "Nothing odd was found"
)


def refused(job: EdgeETLJob, reason: Reason, fact: str, now: datetime) -> Status:
    """Return the status of a job that may not run."""
    accepted = Finding(conditions.ACCEPTED, "False", reason, fact)
    success = Finding(conditions.SUCCEEDED, "False", reason, fact)
    return _with(job, _superseded(off_schedule(job.status)), (accepted, success), now)


def not_started(job: EdgeETLJob, reason: Reason, fact: str, now: datetime) -> Status:
    """Return the status of a job that waits to begin a run."""
    findings = (
        _ACCEPTED,
        Finding(conditions.EDGE_COMPLETE, "False", reason, fact),
        Finding(conditions.SUCCEEDED, "Unknown", reason, fact),
    )
    return _with(job, _superseded(job.status), findings, now)


def resting(
    job: EdgeETLJob, now: datetime, run: Run | None = None, nodes: Sequence[NodeStatus] = ()
) -> Status:
    """Return the status of a job whose last run is over, or that waits for its first one.

    Only that its spec was seen changes, that it is no longer refused, and what late nodes do.
    """
    accepted = job.status.condition(conditions.ACCEPTED)
    success = job.status.condition(conditions.SUCCEEDED)
    refused_before = accepted is not None and accepted.status == "False"
    if success is None or success.reason in _WAITING or refused_before:
        reason = conditions.SUSPENDED if job.spec.suspend else conditions.WAITING
        waits = Finding(conditions.SUCCEEDED, "Unknown", reason, "No run goes on")
        return _with(job, job.status, (_ACCEPTED, waits), now)
    return _with(job, _counted(job, run, nodes) if run else job.status, (_ACCEPTED,), now)


def suspended(
    job: EdgeETLJob, run: Run, nodes: Sequence[NodeStatus], edge: Finding, now: datetime
) -> Status:
    """Return the status of a run that is stopped and goes on later, where it was."""
    done = sum(node.phase == "Succeeded" for node in nodes)
    fact = f"Run {run.id} is stopped; {done} of {len(nodes)} nodes have delivered, which is kept"
    aggregating = run.aggregation_start_time is not None
    stage = conditions.AGGREGATED if aggregating else conditions.EDGE_COMPLETE
    findings = (
        _ACCEPTED,
        edge,
        Finding(stage, "False", conditions.SUSPENDED, fact),
        Finding(conditions.SUCCEEDED, "Unknown", conditions.SUSPENDED, fact),
    )
    return _with(job, _counted(job, run, nodes), findings, now)


def going(
    job: EdgeETLJob,
    run: Run,
    nodes: Sequence[NodeStatus],
    edge: Finding,
    now: datetime,
    odd: Sequence[tuple[Reason, str]] = (),
    aggregation: Finding = _NOT_AGGREGATED,
) -> Status:
    """Return the status of a run that goes on."""
    leading = edge if aggregation is _NOT_AGGREGATED else aggregation
    success = Finding(conditions.SUCCEEDED, "Unknown", leading.reason, leading.fact)
    findings = (_ACCEPTED, edge, aggregation, success, _degraded(odd))
    return _with(job, _counted(job, run, nodes), findings, now)


def failed(
    job: EdgeETLJob,
    run: Run,
    nodes: Sequence[NodeStatus],
    cause: Finding,
    now: datetime,
    edge: Finding | None = None,
    odd: Sequence[tuple[Reason, str]] = (),
) -> Status:
    """Return the status of a run that failed; ``cause`` is the condition of the stage."""
    waiting = Finding(
        conditions.AGGREGATED, "False", conditions.EDGE_FAILED, "Not enough nodes delivered"
    )
    before = (edge,) if edge else (waiting,)
    success = Finding(conditions.SUCCEEDED, "False", cause.reason, cause.fact)
    findings = (_ACCEPTED, *before, cause, success, _degraded(odd))
    return _with(job, _counted(job, _ended(run, now), nodes), findings, now)


def succeeded(
    job: EdgeETLJob,
    run: Run,
    nodes: Sequence[NodeStatus],
    edge: Finding,
    report: AggregationReport,
    now: datetime,
    odd: Sequence[tuple[Reason, str]],
) -> Status:
    """Return the status of a run that published the table, perhaps without some nodes."""
    missing = [f"{node.name} ({node.phase})" for node in nodes if node.phase != "Succeeded"]
    missing += [
        f"{each.node} ({conditions.SCHEMA_DRIFT.code})" for each in report.quarantined_nodes
    ]
    fact = f"Version {report.version} of the table has {report.rows} rows"
    done = Finding(conditions.AGGREGATED, "True", conditions.PUBLISHED, fact)
    reason = conditions.PARTIALLY_SUCCEEDED if missing else conditions.RUN_SUCCEEDED
    without = f", without {_listed(missing)}" if missing else ""
    success = Finding(conditions.SUCCEEDED, "True", reason, fact + without)
    base = msgspec.structs.replace(_counted(job, _ended(run, now), nodes), rows=report.rows)
    return _with(job, base, (_ACCEPTED, edge, done, success, _degraded(odd)), now)


def unchanged(
    job: EdgeETLJob,
    run: Run,
    nodes: Sequence[NodeStatus],
    edge: Finding,
    now: datetime,
    odd: Sequence[tuple[Reason, str]],
) -> Status:
    """Return the status of a run that succeeded without Spark: there was nothing to merge."""
    fact = f"No node had anything new: the table stays as it is, with {job.status.rows} rows"
    done = Finding(conditions.AGGREGATED, "True", conditions.NOTHING_NEW, fact)
    success = Finding(conditions.SUCCEEDED, "True", conditions.RUN_SUCCEEDED, fact)
    base = _counted(job, _ended(run, now), nodes)
    return _with(job, base, (_ACCEPTED, edge, done, success, _degraded(odd)), now)


def with_problem(job: EdgeETLJob, base: Status, reason: Reason, fact: str, now: datetime) -> Status:
    """Put into a status that the operator could not do what it had decided."""
    edge_done = base.condition(conditions.EDGE_COMPLETE)
    aggregating = edge_done is not None and edge_done.status == "True"
    kind = conditions.AGGREGATED if aggregating else conditions.EDGE_COMPLETE
    findings = (
        Finding(kind, "False", reason, fact),
        Finding(conditions.SUCCEEDED, "Unknown", reason, fact),
    )
    return _with(job, base, findings, now)


def invalid(generation: int, known: Status, fact: str, now: datetime) -> Status:
    """Return the status of a resource that cannot even be parsed."""
    findings = (
        Finding(conditions.ACCEPTED, "False", conditions.INVALID_SPEC, fact),
        Finding(conditions.SUCCEEDED, "False", conditions.INVALID_SPEC, fact),
    )
    return _finished(_superseded(off_schedule(known)), generation, findings, now)


def off_schedule(known: Status) -> Status:
    """Forget when the next run begins: none does while the spec cannot be run."""
    told = tuple(each for each in known.conditions if each.type != conditions.SCHEDULED)
    return msgspec.structs.replace(known, next_run_time=None, schedule="", conditions=told)


def _superseded(known: Status) -> Status:
    """Forget what the last run was for: conditions no longer speak of it.

    When the spec becomes again what it was, another run starts instead of an old result being
    taken for the new one.
    """
    if known.run is None:
        return known
    return msgspec.structs.replace(known, run=msgspec.structs.replace(known.run, spec_hash=""))


def _with(job: EdgeETLJob, base: Status, findings: Sequence[Finding], now: datetime) -> Status:
    return _finished(base, job.metadata.generation, findings, now)


def _finished(base: Status, generation: int, findings: Sequence[Finding], now: datetime) -> Status:
    told = conditions.updated(base.conditions, _conditions(findings, generation, now))
    status = msgspec.structs.replace(base, observed_generation=generation, conditions=told)
    return msgspec.structs.replace(status, phase=phase(status))


def phase(status: Status) -> str:
    """Derive the word of the printer column from the conditions."""

    def is_(kind: str, truth: Truth) -> bool:
        known = status.condition(kind)
        return known is not None and known.status == truth

    if is_(conditions.ACCEPTED, "False"):
        return "Failed"
    success = status.condition(conditions.SUCCEEDED)
    if success is not None and success.status == "True":
        partly = success.reason == conditions.PARTIALLY_SUCCEEDED.code
        return conditions.PARTIALLY_SUCCEEDED.code if partly else "Succeeded"
    if is_(conditions.SUCCEEDED, "False"):
        return "Failed"
    if success is not None and success.reason == conditions.SUSPENDED.code:
        return "Suspended"
    if status.run is None or success is None or success.reason in _NOT_RUNNING:
        return "Pending"
    return "Aggregating" if is_(conditions.EDGE_COMPLETE, "True") else "Cleaning"


def _conditions(findings: Sequence[Finding], generation: int, now: datetime) -> list[Condition]:
    return [
        conditions.condition(each.kind, each.truth, each.reason, each.fact, generation, now)
        for each in findings
    ]


def _degraded(odd: Sequence[tuple[Reason, str]]) -> Finding:
    if not odd:
        return _AS_EXPECTED
    # Each with its own remedy, so that the reason, which is the first's, has none to add.
    told = " ".join(reason.about(fact) for reason, fact in odd)
    return Finding(conditions.DEGRADED, "True", Reason(odd[0][0].code), told)


def _counted(job: EdgeETLJob, run: Run, nodes: Sequence[NodeStatus]) -> Status:
    """Put the run, its nodes and their sums into the status; the table's rows stay."""
    read = sum(node.rows_read or 0 for node in nodes)
    rejected = sum(node.rows_rejected or 0 for node in nodes)
    done = sum(node.phase == "Succeeded" for node in nodes)
    return msgspec.structs.replace(
        job.status,
        run=run,
        nodes=tuple(nodes),
        node_counts=history.counted(nodes),
        nodes_summary=f"{done}/{len(nodes)}",
        rows_read=read,
        rows_rejected=rejected,
        rejected_ratio=f"{100 * rejected / read:.1f}%" if read else "",
        last_run_time=run.start_time,
    )


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def _ended(run: Run, now: datetime) -> Run:
    # A clock that was put back meanwhile does not let it end before it began.
    end = max(now.replace(microsecond=0), run.start_time)
    return msgspec.structs.replace(run, completion_time=end)
