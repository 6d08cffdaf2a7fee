"""Times in microseconds since 1970 (UTC), and which of them are believable."""

from datetime import UTC, datetime, timedelta
from typing import Final

from edge_etl_job.documents import Schema
from edge_etl_job.durations import seconds

EPOCH: Final = datetime(1970, 1, 1)  # naive: a clock that shows UTC
MICROSECOND: Final = timedelta(microseconds=1)
FIRST: Final = (datetime.min - EPOCH) // MICROSECOND
LAST: Final = (datetime.max - EPOCH) // MICROSECOND


def micros(time: datetime) -> int:
    """Return a naive time, taken as UTC, or an aware one, in microseconds since 1970."""
    if time.tzinfo is not None:
        time = time.astimezone(UTC).replace(tzinfo=None)
    return (time - EPOCH) // MICROSECOND


def limits(schema: Schema, now: datetime) -> tuple[int, int]:
    """Return the first and the last believable time, in microseconds since 1970."""
    rules = schema.timestamp
    earliest = micros(datetime.fromisoformat(rules.not_before)) if rules.not_before else FIRST
    return earliest, min(LAST, micros(now) + seconds(rules.max_future) * 1_000_000)
