"""Whether a person asks for a run now, or a replay, by an annotation with a new value."""

import hashlib
from typing import Final

from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.names import REPLAY, RUN_NOW

_LONGEST: Final = 64


def request(job: EdgeETLJob, annotation: str = RUN_NOW) -> str:
    """Return what is remembered of the annotation's value once its run has begun."""
    value = job.metadata.annotations.get(annotation, "")
    return value if len(value) <= _LONGEST else hashlib.sha256(value.encode()).hexdigest()


def wanted(job: EdgeETLJob) -> bool:
    """Tell whether a run is asked for that has not begun yet; the same value asks only once."""
    value = request(job)
    return replay_wanted(job) or (bool(value) and value != job.status.last_run_request)


def replay_wanted(job: EdgeETLJob) -> bool:
    """Tell whether what was rejected is to be read again by a run that has not begun yet."""
    value = request(job, REPLAY)
    return bool(value) and value != job.status.last_replay_request
