"""Decide: from what is seen to what is done and said. Pure; the clock is an argument."""

from datetime import datetime
from typing import Final

import msgspec

from edge_etl_operator import cleaning, conditions, history, names, scheduling, stages, status
from edge_etl_operator.aggregating import aggregate_run
from edge_etl_operator.api import EdgeETLJob, NodeStatus, Run
from edge_etl_operator.decisions import Decision
from edge_etl_operator.leftovers import leftovers, still_there
from edge_etl_operator.observation import Observation
from edge_etl_operator.policies import (
    acceptance,
    clock_set,
    deadlines,
    late,
    nodes,
    quorum,
    retention,
    run_now,
    schedule,
    trigger,
)
from edge_etl_operator.policies.schedule import Agenda
from edge_etl_operator.policies.trigger import Trigger
from edge_etl_operator.retiring import retired
from edge_etl_operator.settings import Settings

RETENTION_SECONDS: Final = 3600.0
"""How soon at the latest to look again whether what is kept has had its time."""


def plan(seen: Observation, settings: Settings, now: datetime) -> Decision:
    """Decide what happens next with one job."""
    decision = _decide(seen, settings, now)
    told = history.recorded(seen.job.status, decision.status, now)
    keeps = retention.kept(seen.job, now)
    again = deadlines.until(keeps.until, decision.again, now, longest=RETENTION_SECONDS)
    return Decision((*decision.actions, *retired(seen, keeps.runs)), told, again)


def _decide(seen: Observation, settings: Settings, now: datetime) -> Decision:
    job = seen.job
    if refusal := acceptance.refusal(job, settings):
        stops = leftovers(seen, None)
        refused = status.refused(job, *refusal, now)
        return Decision(stops, refused, deadlines.WAITING_SECONDS if stops else None)
    agenda = schedule.agenda(job, now)
    match trigger.decide(job, agenda):
        case Trigger.START:
            return _start(seen, agenda, now)
        case Trigger.CONTINUE:
            decision = _proceed(seen, _resumed(seen, now), settings, now)
        case Trigger.SUSPEND:
            decision = _suspend(seen, settings, now)
        case Trigger.REST if late.completes(job):
            decision = _complete(seen, settings, now)
        case Trigger.REST:
            stops = leftovers(seen, None)
            resting = status.resting(job, now)
            decision = Decision(stops, resting, deadlines.WAITING_SECONDS if stops else None)
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
    stops = leftovers(seen, None)
    if stops or still_there(seen, now):
        waiting = status.not_started(
            job, conditions.STOPPING, "The pods of the run before are being stopped", now
        )
        decision = Decision(stops, waiting, deadlines.WAITING_SECONDS)
        return _scheduled(job, decision, agenda, now)
    choice = nodes.choose(job.spec.nodes.selector, seen.nodes, job.spec.nodes.tolerations)
    if lack := _lack(job, choice):
        waiting = status.not_started(job, *lack, now)
        return _scheduled(job, Decision((), waiting), agenda, now)
    last = job.status.run
    run = Run(
        id=names.run_id(now, last.id if last else None),
        start_time=now.replace(microsecond=0),
        spec_hash=job.spec.hash,
        settings_hash=job.spec.settings_hash,
        policy_hash=job.spec.policy_hash,
        nodes=choice.chosen,
        replay=run_now.replay_wanted(job),
    )
    states = tuple(NodeStatus(name=name) for name in run.nodes)
    going = status.going(job, run, states, cleaning.goes(states, len(states)), now)
    settled, after = scheduling.begun(job, going, agenda)
    return _scheduled(job, Decision((), settled, 0.0), after, now)


def _lack(job: EdgeETLJob, choice: nodes.Choice) -> tuple[conditions.Reason, str] | None:
    """Say why a run cannot begin with the nodes that there are."""
    wanted = nodes.described(job.spec.nodes.selector)
    left_out = "".join(
        f"; {why}: {', '.join(who)}"
        for why, who in (("cordoned", choice.cordoned), ("tainted", choice.tainted))
        if who
    )
    if not choice.chosen:
        fact = f"No schedulable node matches {wanted}{left_out}"
        return conditions.NO_MATCHING_NODE, fact
    minimum = quorum.needed(job.spec.nodes.min_success, len(choice.chosen))
    if minimum > len(choice.chosen):
        fact = f"{len(choice.chosen)} schedulable nodes match {wanted}, {minimum} are needed"
        return conditions.TOO_FEW_NODES, fact + left_out
    return None


def _resumed(seen: Observation, now: datetime) -> Run:
    """Return the run that goes on; after a suspension its time counts anew."""
    run = seen.job.status.run
    assert run is not None  # noqa: S101  # the trigger's CONTINUE means that there is one
    if run.suspend_time is None:
        return clock_set.counted(run, seen.clock_set, now)
    return msgspec.structs.replace(run, suspend_time=None, resume_time=now.replace(microsecond=0))


def _suspend(seen: Observation, settings: Settings, now: datetime) -> Decision:
    """Stop a run so that it can go on later: what has delivered stays, as does a run's end."""
    run = seen.job.status.run
    assert run is not None  # noqa: S101  # the trigger's SUSPEND means that there is one
    run = clock_set.counted(run, seen.clock_set, now)
    decision = _proceed(seen, run, settings, now)
    if not decision.status.going:
        return decision
    stops = leftovers(seen, None)
    since = run.suspend_time or now.replace(microsecond=0)
    stopped = msgspec.structs.replace(run, suspend_time=since)
    if run.aggregation_start_time is not None:
        states, edge = decision.status.nodes, cleaning.done(decision.status.nodes)
    else:
        states = tuple(
            state if state.phase in ("Succeeded", "Failed") else NodeStatus(name=state.name)
            for state in decision.status.nodes
        )
        edge = cleaning.goes(states, len(states))
    told = status.suspended(seen.job, stopped, states, edge, now)
    return Decision(stops, told, deadlines.WAITING_SECONDS if stops else None)


def _proceed(seen: Observation, run: Run, settings: Settings, now: datetime) -> Decision:
    states = stages.node_states(seen, run)
    if run.aggregation_start_time is not None:
        return aggregate_run(seen, run, states, settings, now)
    return cleaning.clean(seen, run, states, settings, now)


def _complete(seen: Observation, settings: Settings, now: datetime) -> Decision:
    """Have late nodes clean for the last run, and aggregate it again with what they delivered."""
    job, run = seen.job, seen.job.status.run
    assert run is not None  # noqa: S101  # a run that is completed is there
    choice = nodes.choose(job.spec.nodes.selector, seen.nodes, job.spec.nodes.tolerations)
    if more := late.joined(run, choice.chosen):
        run = msgspec.structs.replace(run, nodes=(*run.nodes, *more), missing=(*run.missing, *more))
        # Their Jobs come when the status knows of them.
        grown = status.resting(job, now, run, stages.node_states(seen, run))
        return Decision((), grown, 0.0)
    states = stages.node_states(seen, run)
    if late.delivered(run, states):
        again = msgspec.structs.replace(
            run,
            aggregations=run.aggregations + 1,
            resume_time=now.replace(microsecond=0),
            completion_time=None,
        )
        return cleaning.settle(seen, again, states, now)
    actions = (
        *leftovers(seen, run.id),
        *cleaning.start(seen, run, states, settings, now),
    )
    resting = status.resting(job, now, run, states)
    waits = any(node.phase in ("Pending", "Running") for node in states)
    return Decision(actions, resting, deadlines.WAITING_SECONDS if waits or actions else None)
