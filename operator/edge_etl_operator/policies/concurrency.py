"""What a run that is asked for does to the one that goes on."""

from enum import Enum

from edge_etl_operator.api import EdgeETLJob


class Meeting(Enum):
    """What happens when a run is asked for: by its slot, or by a person."""

    BEGIN = "begin"
    WAIT = "wait"
    REPLACE = "replace"


def meet(job: EdgeETLJob) -> Meeting:
    """Let nothing go on twice: nodes have one ledger, and the table has one writer."""
    if not job.status.going:
        return Meeting.BEGIN
    return Meeting.REPLACE if job.spec.concurrency_policy == "Replace" else Meeting.WAIT
