"""Decide: from what is seen to what is done and said. Pure; the clock is an argument."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import msgspec

from edge_etl_operator import conditions, history, names, scheduling, stages, status
from edge_etl_operator.api import EdgeETLJob, NodeStatus, Run, Status
from edge_etl_operator.builders import aggregate, edge
from edge_etl_operator.documents import Delivery
from edge_etl_operator.kube import Job, Pod
from edge_etl_operator.observation import Observation
from edge_etl_operator.policies import (
    acceptance,
    deadlines,
    diagnosis,
    nodes,
    quality,
    schedule,
    trigger,
)
from edge_etl_operator.policies.schedule import Agenda
from edge_etl_operator.policies.trigger import Trigger
from edge_etl_operator.settings import Settings
from edge_etl_operator.status import Finding

STUCK_SECONDS = 30
"""How long after its end of grace a pod that is being deleted is waited for: on a node that is off
it never goes. The lock on the node's state directory keeps two attempts apart in any case."""


@dataclass(frozen=True)
class Create:
    """Create an object; it is fine if it is there and ours."""

    manifest: dict[str, Any]


@dataclass(frozen=True)
class Delete:
    """Delete exactly this object."""

    kind: str
    name: str
    uid: str


Action = Create | Delete


@dataclass(frozen=True)
class Decision:
    """What to do, in this order; the status to write then; when to look again without a bell."""

    actions: tuple[Action, ...]
    status: Status
    again: float | None = None


def plan(seen: Observation, settings: Settings, now: datetime) -> Decision:
    """Decide what happens next with one job."""
    decision = _decide(seen, settings, now)
    told = history.recorded(seen.job.status, decision.status, now)
    return replace(decision, status=told)


def _decide(seen: Observation, settings: Settings, now: datetime) -> Decision:
    job = seen.job
    if refusal := acceptance.refusal(job, settings):
        leftovers = _leftovers(seen, None)
        refused = status.refused(job, *refusal, now)
        return Decision(leftovers, refused, deadlines.WAITING_SECONDS if leftovers else None)
    agenda = schedule.agenda(job, now)
    match trigger.decide(job, agenda):
        case Trigger.START:
            return _start(seen, agenda, now)
        case Trigger.CONTINUE:
            decision = _proceed(seen, _resumed(seen.job.status.run, now), settings, now)
        case Trigger.SUSPEND:
            decision = _suspend(seen, settings, now)
        case Trigger.REST:
            leftovers = _leftovers(seen, None)
            resting = status.resting(job, now)
            again = deadlines.WAITING_SECONDS if leftovers else None
            decision = Decision(leftovers, resting, again)
    return _scheduled(job, decision, agenda, now)


def _scheduled(job: EdgeETLJob, decision: Decision, agenda: Agenda, now: datetime) -> Decision:
    """Say what the schedule says, and look again when it asks for a run."""
    told = scheduling.told(job, decision.status, agenda, now)
    moment = agenda.following if agenda.due else agenda.pending
    again = deadlines.until(moment, decision.again, now)
    return Decision(decision.actions, told, again)


def _start(seen: Observation, agenda: Agenda, now: datetime) -> Decision:
    """Begin a run: only its id and nodes are written, its objects come when that is safe.

    The slot and the request that it is for are settled in the same write: they never begin a
    second one.
    """
    job = seen.job
    leftovers = _leftovers(seen, None)
    if leftovers or _still_there(seen, now):
        waiting = status.not_started(
            job, conditions.STOPPING, "The pods of the run before are being stopped", now
        )
        decision = Decision(leftovers, waiting, deadlines.WAITING_SECONDS)
        return _scheduled(job, decision, agenda, now)
    choice = nodes.choose(job.spec.nodes.selector, seen.nodes)
    if not choice.chosen:
        wanted = nodes.described(job.spec.nodes.selector)
        others = f"; cordoned: {', '.join(choice.cordoned)}" if choice.cordoned else ""
        fact = f"No schedulable node matches {wanted}{others}"
        waiting = status.not_started(job, conditions.NO_MATCHING_NODE, fact, now)
        return _scheduled(job, Decision((), waiting), agenda, now)
    last = job.status.run
    run = Run(
        id=names.run_id(now, last.id if last else None),
        start_time=now.replace(microsecond=0),
        spec_hash=job.spec.hash,
        settings_hash=job.spec.settings_hash,
        nodes=choice.chosen,
    )
    states = tuple(NodeStatus(name=name) for name in run.nodes)
    going = status.going(job, run, states, _edge_goes(states), now)
    settled, after = scheduling.begun(job, going, agenda)
    return _scheduled(job, Decision((), settled, 0.0), after, now)


def _resumed(run: Run | None, now: datetime) -> Run:
    """Return the run that goes on; after a suspension its time counts anew."""
    assert run is not None  # noqa: S101  # the trigger's CONTINUE means that there is one
    if run.suspend_time is None:
        return run
    return msgspec.structs.replace(run, suspend_time=None, resume_time=now.replace(microsecond=0))


def _suspend(seen: Observation, settings: Settings, now: datetime) -> Decision:
    """Stop a run so that it can go on later: what has delivered stays, as does a run's end."""
    run = seen.job.status.run
    assert run is not None  # noqa: S101  # the trigger's SUSPEND means that there is one
    decision = _proceed(seen, run, settings, now)
    if not decision.status.going:
        return decision
    leftovers = _leftovers(seen, None)
    since = run.suspend_time or now.replace(microsecond=0)
    stopped = msgspec.structs.replace(run, suspend_time=since)
    states = tuple(
        state if state.phase in ("Succeeded", "Failed") else NodeStatus(name=state.name)
        for state in decision.status.nodes
    )
    told = status.suspended(seen.job, stopped, states, _edge_goes(states), now)
    return Decision(leftovers, told, deadlines.WAITING_SECONDS if leftovers else None)


def _proceed(seen: Observation, run: Run, settings: Settings, now: datetime) -> Decision:
    states = stages.node_states(seen, run)
    if all(node.phase == "Succeeded" for node in states):
        return _aggregate(seen, run, states, settings, now)
    return _clean(seen, run, states, settings, now)


def _clean(
    seen: Observation,
    run: Run,
    states: tuple[NodeStatus, ...],
    settings: Settings,
    now: datetime,
) -> Decision:
    """Have every node clean: all must deliver, and the others go on when one fails."""
    job = seen.job
    failed = [node for node in states if node.phase == "Failed"]
    if now >= deadlines.run_end(job, run):
        finding = _edge_goes(states)
        reason = conditions.NODE_FAILED if failed else conditions.RUN_DEADLINE_EXCEEDED
        fact = f"The run took longer than {job.spec.active_deadline_seconds} s: {finding.fact}"
        finding = Finding(conditions.EDGE_COMPLETE, "False", reason, fact)
        return Decision((), status.failed(job, run, states, finding, now), 0.0)
    if all(node.phase in ("Succeeded", "Failed") for node in states):
        return Decision((), status.failed(job, run, states, _edge_goes(states), now), 0.0)
    actions = (*_leftovers(seen, run.id), *_edge_actions(seen, run, states, settings))
    waits = any(node.phase == "Pending" for node in states)
    going = status.going(job, run, states, _edge_goes(states), now, _oddities(seen, run, states))
    return Decision(actions, going, deadlines.look_again(job, run, now, waits=waits))


def _edge_actions(
    seen: Observation, run: Run, states: tuple[NodeStatus, ...], settings: Settings
) -> tuple[Action, ...]:
    """Create the Jobs that are not there yet, after the ConfigMap that they mount."""
    job = seen.job
    actions: list[Action] = []
    config_missing = any(node.reason == conditions.CONFIG_MISSING.code for node in states)
    for state in states:
        exists = seen.node_job(run.id, state.name)
        if state.reason == stages.EVIDENCE_LOST and exists is not None:
            actions.append(_delete_job(exists))
        elif state.phase == "Pending" and exists is None:
            node = seen.node(state.name)
            if node is not None:
                actions.append(Create(edge.node_job(job, run.id, node, settings)))
    if any(isinstance(action, Create) for action in actions) or config_missing:
        actions.insert(0, Create(edge.edge_config(job, run.id)))
    return tuple(actions)


def _edge_goes(states: tuple[NodeStatus, ...]) -> Finding:
    """Say how far the nodes are; a failed node first, then the first that waits with a reason."""
    done = sum(node.phase == "Succeeded" for node in states)
    so_far = f"{done} of {len(states)} nodes delivered"
    failed = [node for node in states if node.phase == "Failed"]
    if failed:
        told = "; ".join(f"{node.name}: {node.reason}: {node.message}" for node in failed[:5])
        more = f"; and {len(failed) - 5} more" if len(failed) > 5 else ""
        fact = f"{so_far}, {len(failed)} failed: {told.rstrip('.')}{more}"
        return Finding(conditions.EDGE_COMPLETE, "False", conditions.NODE_FAILED, fact)
    waiting = [node for node in states if node.phase != "Succeeded" and node.reason]
    if waiting:
        first = waiting[0]
        # The node's message ends with the remedy already.
        reason = conditions.Reason(first.reason)
        fact = f"{so_far}, {len(waiting)} wait; {first.name}: {first.message}"
        return Finding(conditions.EDGE_COMPLETE, "False", reason, fact)
    if done == len(states):
        return Finding(conditions.EDGE_COMPLETE, "True", conditions.NODES_DELIVERED, so_far)
    return Finding(conditions.EDGE_COMPLETE, "False", conditions.CLEANING, so_far)


def _aggregate(
    seen: Observation,
    run: Run,
    states: tuple[NodeStatus, ...],
    settings: Settings,
    now: datetime,
) -> Decision:
    """Have Spark merge what the nodes delivered, once."""
    job = seen.job
    driver = seen.driver(run.id)
    odd = _oddities(seen, run, states)
    edge_done = _edge_goes(states)
    if driver is not None and driver.phase == "Succeeded":
        answer = stages.report(driver)
        if answer is not None and answer.succeeded:
            done = status.succeeded(job, run, states, edge_done, answer, now, odd)
            return Decision((), done, 0.0)
        cause = conditions.NO_SUMMARY
        fact = f"Pod {driver.name} ended without a report of what it did"
        return _aggregation_failed(seen, run, states, cause.about(fact), now)
    if driver is not None and driver.phase == "Failed" and not _ended_from_outside(driver):
        found = diagnosis.failed(driver, stages.report(driver))
        told = f"{found.reason.code}: {found.message}"
        return _aggregation_failed(seen, run, states, told, now)
    waits = stages.driver_waits(seen, driver) if driver is not None else None
    if now >= deadlines.run_end(job, run):
        told = f" {waits.message}" if waits else ""
        reason = conditions.RUN_DEADLINE_EXCEEDED
        fact = f"The run took longer than {job.spec.active_deadline_seconds} s.{told}".rstrip(".")
        finding = Finding(conditions.AGGREGATED, "False", reason, fact)
        return Decision((), status.failed(job, run, states, finding, now, edge_done, odd), 0.0)
    actions = _aggregate_actions(seen, run, states, driver, settings, now)
    finding = Finding(conditions.AGGREGATED, "False", conditions.AGGREGATING, "Spark merges")
    if waits:
        finding = Finding(conditions.AGGREGATED, "False", waits.reason, waits.fact)
    pending = driver is None or driver.phase == "Pending" or waits is not None
    going = status.going(job, run, states, edge_done, now, odd, finding)
    return Decision(actions, going, deadlines.look_again(job, run, now, waits=pending))


def _ended_from_outside(driver: Pod) -> bool:
    """Tell whether a driver failed because it was evicted or deleted: then it is made again."""
    return driver.disrupted or driver.metadata.deletion_timestamp is not None


def _aggregate_actions(
    seen: Observation,
    run: Run,
    states: tuple[NodeStatus, ...],
    driver: Pod | None,
    settings: Settings,
    now: datetime,
) -> tuple[Action, ...]:
    job = seen.job
    if driver is None:
        deliveries = [
            Delivery(node.name, node.attempt) for node in states if node.phase == "Succeeded"
        ]
        missing = [node.name for node in states if node.phase != "Succeeded"]
        seconds = deadlines.seconds_left(job, run, now)
        return (
            Create(aggregate.driver_config(job, run.id, deliveries, settings, missing)),
            Create(aggregate.driver_pod(job, run.id, seconds, settings)),
        )
    if driver.phase == "Failed" and driver.metadata.deletion_timestamp is None:
        # Evicted or drained: not its fault, it is made again as soon as it is gone.
        return (Delete("Pod", driver.name, driver.uid),)
    return ()


def _aggregation_failed(
    seen: Observation, run: Run, states: tuple[NodeStatus, ...], fact: str, now: datetime
) -> Decision:
    finding = Finding(
        conditions.AGGREGATED, "False", conditions.AGGREGATION_FAILED, fact.rstrip(".")
    )
    odd = _oddities(seen, run, states)
    failed = status.failed(seen.job, run, states, finding, now, _edge_goes(states), odd)
    return Decision((), failed, 0.0)


def _oddities(
    seen: Observation, run: Run, states: tuple[NodeStatus, ...]
) -> list[tuple[conditions.Reason, str]]:
    cordoned = nodes.choose(seen.job.spec.nodes.selector, seen.nodes).cordoned
    left_out = [name for name in cordoned if name not in run.nodes]
    return quality.oddities(seen.job, states, left_out)


def _leftovers(seen: Observation, current: str | None) -> tuple[Delete, ...]:
    """Return what goes on, but does not belong to the current run; finished ones stay for logs."""
    jobs = (
        _delete_job(job)
        for job in seen.jobs
        if _foreign(job, current) and not job.finished and not _delivered(seen, job)
    )
    drivers = (
        Delete("Pod", pod.name, pod.uid)
        for pod in seen.pods
        if _foreign(pod, current)
        and not pod.finished
        and pod.metadata.owned_by(seen.job.metadata.uid)
    )
    return (*jobs, *drivers)


def _delivered(seen: Observation, job: Job) -> bool:
    """Tell whether a Job has done its work; its controller says so up to a second later."""
    return any(pod.phase == "Succeeded" for pod in seen.pods_of(job))


def _foreign(thing: Job | Pod, current: str | None) -> bool:
    going = thing.metadata.deletion_timestamp is None
    return going and thing.metadata.labels.get(names.RUN) != current


def _still_there(seen: Observation, now: datetime) -> bool:
    """Tell whether pods of an earlier run may still be at work."""
    for pod in seen.pods:
        leaving = pod.metadata.deletion_timestamp
        stuck = leaving is not None and (now - leaving).total_seconds() > STUCK_SECONDS
        if not pod.finished and not stuck:
            return True
    return False


def _delete_job(job: Job) -> Delete:
    return Delete("Job", job.name, job.metadata.uid)
