"""Say: when the next run begins, and what became of the slots before."""

from datetime import datetime

import msgspec

from edge_etl_operator import conditions, status
from edge_etl_operator.api import EdgeETLJob, Status
from edge_etl_operator.conditions import Reason, Truth
from edge_etl_operator.names import REPLAY
from edge_etl_operator.policies import run_now
from edge_etl_operator.policies.schedule import Agenda


def told(job: EdgeETLJob, base: Status, agenda: Agenda, now: datetime) -> Status:
    """Put into a status what the schedule says."""
    if job.spec.schedule is None and not job.spec.suspend:
        return msgspec.structs.replace(status.off_schedule(base), missed_schedule_time=None)
    new = msgspec.structs.replace(
        base,
        next_run_time=agenda.pending,
        schedule=agenda.key,
        missed_schedule_time=agenda.missed,
    )
    truth, reason, fact = _finding(job, new, agenda)
    generation = job.metadata.generation
    found = conditions.condition(conditions.SCHEDULED, truth, reason, fact, generation, now)
    return msgspec.structs.replace(new, conditions=conditions.updated(new.conditions, (found,)))


def begun(job: EdgeETLJob, base: Status, agenda: Agenda) -> tuple[Status, Agenda]:
    """Settle what a run that begins now was asked for by: its slot, and a person's request."""
    # A clock that went back by years must not make a slot that was run look as if it was not.
    slots = (agenda.due, job.status.last_schedule_time)
    slot = max((each for each in slots if each is not None), default=None)
    settled = msgspec.structs.replace(
        base,
        last_schedule_time=slot,
        last_run_request=run_now.request(job) or job.status.last_run_request,
        last_replay_request=run_now.request(job, REPLAY) or job.status.last_replay_request,
    )
    pending = agenda.following if agenda.due else agenda.pending
    return settled, Agenda(agenda.key, None, pending, agenda.following, agenda.missed)


def _finding(job: EdgeETLJob, new: Status, agenda: Agenda) -> tuple[Truth, Reason, str]:
    if job.spec.suspend:
        fact = "spec.suspend is true: no run begins"
        if run_now.wanted(job):
            fact += ", not even the one that the annotation asks for"
        return "False", conditions.SUSPENDED, fact
    if agenda.due is not None:
        why = "EdgeComplete says for what"
        if new.run is not None and new.going:
            why = f"run {new.run.id} goes on"
        return "False", conditions.SLOT_WAITS, f"The run of {_clock(agenda.due)} waits: {why}"
    following = f"the next run begins at {_clock(agenda.pending)}"
    missed, last = agenda.missed, new.last_schedule_time
    if missed is not None and (last is None or last < missed):
        fact = (
            f"No run began within spec.startingDeadlineSeconds after {_clock(missed)}; {following}"
        )
        return "False", conditions.SLOT_MISSED, fact
    if missed is not None:
        following += f"; the last slot without a run of its own was {_clock(missed)}"
    return "True", conditions.ON_SCHEDULE, f"{following[0].upper()}{following[1:]}"


def _clock(moment: datetime | None) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ") if moment else "an unknown time"
