"""How long a run may take, and when to look again."""

from datetime import UTC, datetime, timedelta
from typing import Final

from edge_etl_operator.api import EdgeETLJob, Run

WAITING_SECONDS: Final = 5.0
"""How soon to look again at what waits: why it waits comes as events, which ring no bell."""

RUNNING_SECONDS: Final = 60.0
"""How soon to look again at what goes on, in case that a watch has gone silent (kopf#957)."""


def run_end(job: EdgeETLJob, run: Run) -> datetime:
    """Return when the run's time is up: it counts from the start, or from when it was resumed."""
    if run.suspend_time is not None:
        return datetime.max.replace(tzinfo=UTC)
    since = run.resume_time or run.start_time
    return since + timedelta(seconds=job.spec.active_deadline_seconds)


def absent_until(job: EdgeETLJob, run: Run) -> datetime:
    """Return how long a node that is off is waited for where it is: as long as one may work."""
    since = run.resume_time or run.start_time
    return since + timedelta(seconds=job.spec.nodes.active_deadline_seconds)


def seconds_left(job: EdgeETLJob, run: Run, now: datetime) -> int:
    """Return what is left of the run's time in whole seconds, at least 1."""
    return max(1, int((run_end(job, run) - now).total_seconds()))


def look_again(job: EdgeETLJob, run: Run, now: datetime, *, waits: bool) -> float:
    """Return in how many seconds a run that goes on is looked at again without a bell."""
    left = max(0.5, (run_end(job, run) - now).total_seconds() + 0.1)
    return min(left, WAITING_SECONDS if waits else RUNNING_SECONDS)


def until(
    moment: datetime | None,
    again: float | None,
    now: datetime,
    *,
    longest: float = RUNNING_SECONDS,
) -> float | None:
    """Return in how many seconds to look again when a moment to come is waited for besides.

    Timers do not see a clock that is set: they are never longer than a minute, or ``longest``.
    """
    if moment is None:
        return again
    left = min(longest, (moment - now).total_seconds() + 0.01)
    return left if again is None else min(left, again)
