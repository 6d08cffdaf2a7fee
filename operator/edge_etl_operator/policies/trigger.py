"""When a run begins."""

from enum import Enum

from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.conditions import SUCCEEDED
from edge_etl_operator.policies import concurrency, run_now
from edge_etl_operator.policies.concurrency import Meeting
from edge_etl_operator.policies.schedule import Agenda


class Trigger(Enum):
    """What to do about runs now."""

    START = "start"
    CONTINUE = "continue"
    SUSPEND = "suspend"
    REST = "rest"


def decide(job: EdgeETLJob, agenda: Agenda) -> Trigger:
    """Start a run that is asked for; without a schedule, also when the spec has changed.

    | the last run | it asks for other results | only how it is run changed |
    |---|---|---|
    | goes on | it is stopped, another starts | it is stopped, another starts |
    | failed | another starts | another starts |
    | succeeded | another starts | nothing |

    With a schedule a change takes effect at the next slot, when no run goes on. To start again
    costs little: nodes read only what they have not delivered yet.
    """
    going = job.status.going
    if job.spec.suspend:
        return Trigger.SUSPEND if going else Trigger.REST
    if going and _changed(job):
        return Trigger.START
    if agenda.due or run_now.wanted(job):
        waits = concurrency.meet(job) is Meeting.WAIT
        return Trigger.CONTINUE if waits else Trigger.START
    if going:
        return Trigger.CONTINUE
    if job.spec.schedule is not None:
        return Trigger.REST
    return Trigger.START if _unanswered(job) else Trigger.REST


def _changed(job: EdgeETLJob) -> bool:
    run, spec = job.status.run, job.spec
    return run is None or (run.spec_hash, run.settings_hash) != (spec.hash, spec.settings_hash)


def _unanswered(job: EdgeETLJob) -> bool:
    """Tell whether the last run, which is over, is not what the spec asks for."""
    run = job.status.run
    if run is None or run.spec_hash != job.spec.hash:
        return True
    succeeded = job.status.condition(SUCCEEDED)
    if succeeded is not None and succeeded.status == "True":
        return False
    return _changed(job) or run.policy_hash not in ("", job.spec.policy_hash)
