"""Decide about a run whose nodes clean: pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import msgspec

from edge_etl_operator import conditions, leftovers, names, stages, status
from edge_etl_operator.api import NodeStatus, Run
from edge_etl_operator.builders import edge
from edge_etl_operator.conditions import Reason
from edge_etl_operator.decisions import Action, Create, Decision
from edge_etl_operator.kube import Node
from edge_etl_operator.observation import Observation
from edge_etl_operator.policies import deadlines, nodes, parallel, quality, quorum
from edge_etl_operator.policies.quorum import Verdict
from edge_etl_operator.settings import Settings
from edge_etl_operator.status import Finding

_TOLD = 5

BATCH = 500
"""How many nodes begin before the job is looked at again: it has to be told what goes on, and what
is built for more nodes than can be created would be built again."""


def clean(
    seen: Observation,
    run: Run,
    states: tuple[NodeStatus, ...],
    settings: Settings,
    now: datetime,
) -> Decision:
    """Have the nodes clean until enough have delivered; the others go on when one fails."""
    job, asked = seen.job, seen.job.spec.nodes
    waited = now >= deadlines.absent_until(job, run)
    minimum = quorum.needed(asked.min_success, len(states))
    verdict = quorum.decide(quorum.tally(states), minimum, asked.offline_policy, waited=waited)
    if now >= deadlines.run_end(job, run):
        finding = _too_late(seen, states)
    elif verdict is Verdict.TOO_MANY_FAILED:
        finding = goes(states, minimum)
    elif verdict is Verdict.ABSENCE:
        finding = _absence(states)
    # What is read again had been rejected: its share says nothing.
    elif verdict is Verdict.AGGREGATE and not run.replay and (fact := quality.refusal(job, states)):
        finding = Finding(conditions.EDGE_COMPLETE, "False", conditions.TOO_MANY_REJECTED, fact)
    elif verdict is Verdict.AGGREGATE:
        return settle(seen, run, states, now)
    else:
        return _go_on(seen, run, states, minimum, settings, now)
    return Decision((), status.failed(job, run, states, finding, now), 0.0)


def settle(seen: Observation, run: Run, states: tuple[NodeStatus, ...], now: datetime) -> Decision:
    """Write down what is aggregated and what is missing; only then the aggregation begins.

    Nodes that are off are told to stop, unless the run is completed with what they have: what one
    delivers in spite of that is late.
    """
    job = seen.job
    missing = tuple(node.name for node in states if node.phase != "Succeeded")
    begun = msgspec.structs.replace(
        run, aggregation_start_time=now.replace(microsecond=0), missing=missing
    )
    ends = () if job.spec.nodes.late_data_policy == "Reaggregate" else leftovers.leftovers(seen, "")
    merges = Finding(conditions.AGGREGATED, "False", conditions.AGGREGATING, "Spark merges")
    odd = oddities(seen, run, states)
    going = status.going(job, begun, states, done(states), now, odd, merges)
    return Decision(ends, going, 0.0)


def _go_on(
    seen: Observation,
    run: Run,
    states: tuple[NodeStatus, ...],
    minimum: int,
    settings: Settings,
    now: datetime,
) -> Decision:
    job = seen.job
    actions = (*leftovers.leftovers(seen, run.id), *start(seen, run, states, settings, now))
    told = goes(states, minimum)
    if told.reason is conditions.CLEANING and (held := _held(seen, run, states, actions)):
        fact = f"{told.fact}, {held} wait for their turn (spec.nodes.maxParallel)"
        told = replace(told, fact=fact)
    going = status.going(job, run, states, told, now, oddities(seen, run, states))
    waits = any(node.phase == "Pending" for node in states)
    again = deadlines.look_again(job, run, now, waits=waits)
    if sum(isinstance(each, Create) for each in actions) >= BATCH:
        return Decision(actions, going, 0.0)
    if any(node.phase == "Offline" for node in states):
        moment = deadlines.absent_until(job, run)
        again = again if now >= moment else deadlines.until(moment, again, now) or again
    return Decision(actions, going, again)


def _held(
    seen: Observation, run: Run, states: Sequence[NodeStatus], actions: Sequence[Action]
) -> int:
    """Return how many nodes only wait because enough others are at work."""
    if seen.room is None and seen.job.spec.nodes.max_parallel is None:
        return 0
    creates = [each for each in actions if isinstance(each, Create)]
    begin = sum(1 for each in creates if each.manifest["kind"] == "Job")
    without = sum(
        node.phase == "Pending" and not node.reason and seen.node_job(run.id, node.name) is None
        for node in states
    )
    return without - begin


def start(
    seen: Observation,
    run: Run,
    states: Sequence[NodeStatus],
    settings: Settings,
    now: datetime,
) -> tuple[Action, ...]:
    """Create the Jobs that are not there yet, after the ConfigMap that they mount.

    A node that is off gets its Job when it is back, so that its time does not pass before.
    """
    job = seen.job
    lost: list[Action] = []
    waiting: list[Node] = []
    at_work, begun = 0, False
    config_missing = any(node.reason == conditions.CONFIG_MISSING.code for node in states)
    for state in states:
        if state.phase in ("Succeeded", "Failed"):
            begun = True
            continue
        exists = seen.node_job(run.id, state.name)
        begun = begun or exists is not None
        at_work += exists is not None and state.phase in ("Pending", "Running")
        if state.reason == stages.EVIDENCE_LOST and exists is not None:
            lost.append(leftovers.delete_job(exists))
        elif state.phase == "Pending" and exists is None:
            node = seen.node(state.name)
            if node is not None:
                waiting.append(node)
    if waiting:
        occupied = leftovers.occupied(seen, now)
        waiting = [node for node in waiting if names.label_value(node.name) not in occupied]
    begin = waiting[: parallel.admitted(at_work, job.spec.nodes.max_parallel, seen.room)][:BATCH]
    creates = [Create(each) for each in edge.node_jobs(job, run.id, begin, settings)]
    # Where a Job is, the ConfigMap was created before it.
    if (begin and not begun) or config_missing:
        creates.insert(0, Create(edge.edge_config(job, run.id)))
    return (*lost, *creates)


def goes(states: Sequence[NodeStatus], minimum: int) -> Finding:
    """Say how far the nodes are; a failed node first, then the first that waits with a reason."""
    so_far = _so_far(states)
    failed = [node for node in states if node.phase == "Failed"]
    if failed:
        fact = f"{so_far}, {minimum} are needed, {len(failed)} failed: {_told(failed)}"
        return Finding(conditions.EDGE_COMPLETE, "False", conditions.NODE_FAILED, fact)
    waiting = [node for node in states if node.phase != "Succeeded" and node.reason]
    if waiting:
        first = waiting[0]
        # The node's message ends with the remedy already.
        reason = conditions.Reason(first.reason)
        fact = f"{so_far}, {len(waiting)} wait; {first.name}: {first.message}"
        return Finding(conditions.EDGE_COMPLETE, "False", reason, fact)
    return Finding(conditions.EDGE_COMPLETE, "False", conditions.CLEANING, so_far)


def done(states: Sequence[NodeStatus]) -> Finding:
    """Say that enough nodes have delivered, and which are missing."""
    missing = [node for node in states if node.phase != "Succeeded"]
    if not missing:
        return Finding(
            conditions.EDGE_COMPLETE, "True", conditions.NODES_DELIVERED, _so_far(states)
        )
    fact = f"{_so_far(states)}; missing: {_told(missing)}"
    return Finding(conditions.EDGE_COMPLETE, "True", conditions.QUORUM_REACHED, fact)


def _so_far(states: Sequence[NodeStatus]) -> str:
    delivered = sum(node.phase == "Succeeded" for node in states)
    return f"{delivered} of {len(states)} nodes delivered"


def _told(states: Sequence[NodeStatus]) -> str:
    told = "; ".join(
        f"{node.name}: {node.reason}: {node.message.rstrip('.')}" for node in states[:_TOLD]
    )
    return told + (f"; and {len(states) - _TOLD} more" if len(states) > _TOLD else "")


def _absence(states: Sequence[NodeStatus]) -> Finding:
    absent = [node for node in states if node.phase == "Offline"]
    fact = f"{_so_far(states)}, {len(absent)} offline: {_told(absent)}"
    return Finding(conditions.EDGE_COMPLETE, "False", conditions.NODE_OFFLINE, fact)


def _too_late(seen: Observation, states: Sequence[NodeStatus]) -> Finding:
    """Say what a run whose time is up waited for: what failed, what is off, or something else."""
    phases = {node.phase for node in states if node.phase != "Succeeded"}
    reason: Reason = conditions.RUN_DEADLINE_EXCEEDED
    if "Failed" in phases:
        reason = conditions.NODE_FAILED
    elif phases == {"Offline"}:
        reason = conditions.NODE_OFFLINE
    told = _absence(states) if reason is conditions.NODE_OFFLINE else goes(states, len(states))
    fact = f"The run took longer than {seen.job.spec.active_deadline_seconds} s: {told.fact}"
    return Finding(conditions.EDGE_COMPLETE, "False", reason, fact)


def oddities(
    seen: Observation, run: Run, states: tuple[NodeStatus, ...]
) -> list[tuple[Reason, str]]:
    """Return what is odd about a run: its nodes' results, and who takes no part."""
    spec = seen.job.spec.nodes
    choice = nodes.choose(spec.selector, seen.nodes, spec.tolerations)
    return quality.oddities(seen.job, states, _left_out(choice, run))


def _left_out(choice: nodes.Choice, run: Run) -> nodes.Choice:
    known = set(run.nodes)
    chosen, cordoned, tainted = (
        tuple(name for name in names if name not in known)
        for names in (choice.chosen, choice.cordoned, choice.tainted)
    )
    return nodes.Choice(chosen, cordoned, tainted)
