"""Times in microseconds since 1970 (UTC), and which of them are believable."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from edge_etl_job.documents import Schema
from edge_etl_job.durations import seconds

EPOCH: Final = datetime(1970, 1, 1)  # naive: a clock that shows UTC
MICROSECOND: Final = timedelta(microseconds=1)
FIRST: Final = (datetime.min - EPOCH) // MICROSECOND
LAST: Final = (datetime.max - EPOCH) // MICROSECOND

EPOCHS: Final = {"EpochSeconds": 6, "EpochMillis": 3, "EpochMicros": 0, "EpochNanos": -3}
"""Formats that count from 1970: ten to the power of how many microseconds is their unit."""


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


def zone_file(name: str) -> bytes:
    """Return the file of the time zone database that ``zoneinfo`` reads for a zone (RFC 8536)."""
    # Most jobs' times are UTC, and these are slow to import.
    from importlib import resources
    from zoneinfo import TZPATH

    for folder in TZPATH:
        path = Path(folder, name)
        if path.is_file():
            return path.read_bytes()
    return resources.files("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()
