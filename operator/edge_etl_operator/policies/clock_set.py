"""What becomes of a run's time when the clock is set: a duration stays what it is.

Slots of a schedule are times of day and follow the clock; deadlines are durations and do not.
"""

from datetime import datetime, timedelta

import msgspec

from edge_etl_operator.api import Run

NOTICED = timedelta(seconds=5)
"""A clock that is only kept right is never off by so much at once."""


def counted(run: Run, by: timedelta, now: datetime) -> Run:
    """Return a run that goes on with its time counted on, although the clock was set by ``by``.

    No run can have begun in the future: then the clock was put back while no operator was there.
    """
    if run.suspend_time is not None:
        return run
    since = run.resume_time or run.start_time
    moved = since + by if abs(by) >= NOTICED else since
    moved = min(moved, now).replace(microsecond=0)
    return run if moved == since else msgspec.structs.replace(run, resume_time=moved)
