"""When a run begins."""

from enum import Enum

from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.conditions import SUCCEEDED


class Trigger(Enum):
    """What to do about runs now."""

    START = "start"
    CONTINUE = "continue"
    REST = "rest"


def decide(job: EdgeETLJob) -> Trigger:
    """Start the first run, and another when the spec asks for something else.

    | the last run | it asks for other results | only how it is run changed |
    |---|---|---|
    | goes on | it is stopped, another starts | it is stopped, another starts |
    | failed | another starts | another starts |
    | succeeded | another starts | nothing |

    To start again costs little: nodes read only what they have not delivered yet.
    """
    run, spec = job.status.run, job.spec
    if run is None or run.spec_hash != spec.hash:
        return Trigger.START
    same = run.settings_hash == spec.settings_hash
    if run.completion_time is None:
        return Trigger.CONTINUE if same else Trigger.START
    succeeded = job.status.condition(SUCCEEDED)
    if same or (succeeded is not None and succeeded.status == "True"):
        return Trigger.REST
    return Trigger.START
