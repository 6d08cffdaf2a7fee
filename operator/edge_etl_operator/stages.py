"""What became of each node of a run, and of its driver: from facts to a state, pure."""

from collections.abc import Sequence
from typing import Final

import msgspec

from edge_etl_operator import conditions
from edge_etl_operator.api import NodeStatus, Run
from edge_etl_operator.documents import (
    AggregationReport,
    NodeSummary,
    aggregation_report,
    node_summary,
)
from edge_etl_operator.kube import Job, Pod, shared
from edge_etl_operator.observation import Observation
from edge_etl_operator.policies import absence, diagnosis
from edge_etl_operator.policies.diagnosis import Diagnosis

EVIDENCE_LOST: Final = "EvidenceLost"
"""Reason of a node whose Job is made again: its pod was gone before its summary was read, or its
time passed while the node was off."""


def node_states(seen: Observation, run: Run) -> tuple[NodeStatus, ...]:
    """Return the state of each node of the run, in the run's order.

    While the run is aggregated, what it does without stays as it was.
    """
    known = seen.job.status
    same = known.run is not None and known.run.id == run.id
    before = {node.name: node for node in known.nodes} if same else {}
    settled = set(run.missing) if _aggregating(run) else set[str]()
    states = ((name, before.get(name, NodeStatus(name=name))) for name in run.nodes)
    return tuple(
        state if name in settled else _node_state(seen, run, state) for name, state in states
    )


def _aggregating(run: Run) -> bool:
    return run.aggregation_start_time is not None and run.completion_time is None


def _node_state(seen: Observation, run: Run, before: NodeStatus) -> NodeStatus:
    """Look at the Job and its pods; an end that the status knows needs neither any more."""
    if before.phase in ("Succeeded", "Failed"):
        return before
    name, job = before.name, seen.node_job(run.id, before.name)
    pods = seen.pods_of(job) if job is not None else []
    # The pod says so before the Job does.
    for pod in pods:
        summary = _summary(pod)
        if pod.phase == "Succeeded" and summary is not None and summary.succeeded:
            return _timed(_delivered(name, summary), pod)
    attempt = pods[-1].uid if pods else before.attempt
    if cause := _absent(seen, name, pods):
        ended = job is not None and _ended_by_itself(job)
        return _failed(before, job, pods) if ended else _offline(name, cause, attempt)
    if job is None or job.metadata.deletion_timestamp is not None:
        # Pods that are ended from outside say nothing about the node.
        return NodeStatus(name=name)
    if job.failure is not None and before.phase == "Offline" and not _ended_by_itself(job):
        # Its time passed while it was off: it gets it anew.
        return NodeStatus(name=name, reason=EVIDENCE_LOST)
    if job.failure is not None:
        return _failed(before, job, pods)
    if job.succeeded:
        return _unexplained(name, pods)
    return _going(seen, job, name, pods)


def _absent(seen: Observation, name: str, pods: Sequence[Pod]) -> Diagnosis | None:
    """Say why a node cannot work now: a pod that has its place minds neither cordon nor taint."""
    node = seen.node(name)
    if pods and pods[-1].placed and not pods[-1].finished:
        return absence.gone(name, node)
    return absence.closed(name, node, seen.job.spec.nodes.tolerations)


def _ended_by_itself(job: Job) -> bool:
    """Tell whether a Job failed by what its pods did, and not because its time was over."""
    going = job.metadata.deletion_timestamp is None
    return going and job.failure is not None and job.failure.reason != "DeadlineExceeded"


def _delivered(name: str, summary: NodeSummary) -> NodeStatus:
    state = _with(name, "Succeeded", summary.reason, summary.message, summary.attempt)
    return _counted(state, summary)


def _timed(state: NodeStatus, pod: Pod) -> NodeStatus:
    """Say when the pod's program ran: by the node's own clock."""
    if (ended := pod.terminated) is None:
        return state
    return msgspec.structs.replace(
        state, start_time=ended.started_at, completion_time=ended.finished_at
    )


def _counted(state: NodeStatus, summary: NodeSummary) -> NodeStatus:
    return msgspec.structs.replace(
        state,
        files_read=summary.files_read,
        files_quarantined=summary.files_quarantined,
        rows_read=summary.rows_read,
        rows_clean=summary.rows_clean,
        rows_rejected=summary.rows_rejected,
        rows_duplicate=summary.rows_duplicate,
        rejected_by_reason=summary.rejected_by_reason,
        bytes_read=summary.bytes_read,
        bytes_written=summary.bytes_written,
        watermark=summary.watermark,
        columns_missing=shared(summary.columns_missing),
        columns_seen=shared(summary.columns_seen),
    )


def _failed(before: NodeStatus, job: Job | None, pods: Sequence[Pod]) -> NodeStatus:
    """Say why a Job failed: by its last failed pod, or by what it waited for to the end."""
    failure = job.failure if job is not None else None
    reason, message = (failure.reason, failure.message) if failure else ("", "")
    ended = [pod for pod in pods if pod.phase == "Failed"]
    if reason == "DeadlineExceeded":
        waited = f"; before: {before.message}" if before.message else ""
        cause = Diagnosis(
            conditions.NODE_DEADLINE_EXCEEDED, f"The node took longer than allowed{waited}"
        )
    elif ended:
        cause = diagnosis.failed(ended[-1], _summary(ended[-1]))
    else:
        cause = Diagnosis(conditions.by_code(before.reason or reason), before.message or message)
        return _with(before.name, "Failed", cause.reason.code, cause.fact, before.attempt)
    attempt = ended[-1].uid if ended else before.attempt
    state = _with(before.name, "Failed", cause.reason.code, cause.message, attempt)
    said = _summary(ended[-1]) if ended else None
    state = _timed(state, ended[-1]) if ended else state
    return _counted(state, said) if said is not None and said.rows_read else state


def _unexplained(name: str, pods: Sequence[Pod]) -> NodeStatus:
    """Handle a Job that is complete, but without a summary.

    Where its pod is gone, the Job has to run again: it then finds that it has delivered, and says
    so. Where the pod is there, its program is not one of ours.
    """
    if not pods:
        return NodeStatus(name=name, reason=EVIDENCE_LOST)
    cause = Diagnosis(
        conditions.NO_SUMMARY, f"Pod {pods[-1].name} ended without a summary of what it did"
    )
    return _with(name, "Failed", cause.reason.code, cause.message, pods[-1].uid)


def _going(seen: Observation, job: Job, name: str, pods: Sequence[Pod]) -> NodeStatus:
    if not pods:
        cause = diagnosis.refused(job, seen.warnings_of(job.metadata.uid))
        return _pending(name, cause, "")
    last = pods[-1]
    if last.phase == "Running":
        running = _with(name, "Running", "", _earlier(pods), last.uid)
        return msgspec.structs.replace(running, start_time=last.started)
    if last.finished:
        # The Job is about to try again, or to say that it is done.
        return _with(name, "Pending", "", _earlier(pods), last.uid)
    warnings = seen.warnings_of(last.uid)
    return _pending(name, diagnosis.waiting(last, warnings), last.uid)


def _offline(name: str, cause: Diagnosis, attempt: str) -> NodeStatus:
    return _with(name, "Offline", cause.reason.code, cause.message, attempt)


def _pending(name: str, cause: Diagnosis | None, attempt: str) -> NodeStatus:
    if cause is None:
        return NodeStatus(name=name, attempt=attempt)
    return _with(name, "Pending", cause.reason.code, cause.message, attempt)


def _earlier(pods: Sequence[Pod]) -> str:
    """Tell of the tries of a node that failed before."""
    ended = [pod for pod in pods if pod.phase == "Failed"]
    if not ended:
        return ""
    cause = diagnosis.failed(ended[-1], _summary(ended[-1]))
    return f"Try {len(ended)} failed ({cause.reason.code}): {cause.fact}"


def _with(name: str, phase: str, reason: str, message: str, attempt: str) -> NodeStatus:
    return msgspec.structs.replace(
        NodeStatus(name=name), phase=phase, reason=reason, message=message, attempt=attempt
    )


def _summary(pod: Pod) -> NodeSummary | None:
    return node_summary(pod.terminated.message) if pod.terminated else None


def report(driver: Pod) -> AggregationReport | None:
    """Return what the driver said in the end."""
    return aggregation_report(driver.terminated.message) if driver.terminated else None


def driver_waits(seen: Observation, driver: Pod) -> Diagnosis | None:
    """Say why the driver, or one of its executors, does not run."""
    if found := diagnosis.waiting(driver, seen.warnings_of(driver.uid)):
        return found
    waits = (diagnosis.waiting(pod, seen.warnings_of(pod.uid)) for pod in seen.executors(driver))
    return next((found for found in waits if found), None)
