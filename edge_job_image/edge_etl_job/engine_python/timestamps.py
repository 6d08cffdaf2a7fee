"""Times as sensors write them, to microseconds since 1970 (UTC).

The rule is that a time is never guessed: what has no meaning in its zone, or two, is rejected.
"""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from edge_etl_job.documents import Schema
from edge_etl_job.engine_python.formats import reader, skeleton
from edge_etl_job.reasons import (
    AMBIGUOUS_TIMESTAMP,
    INVALID_TIMESTAMP,
    MISSING_TIMESTAMP,
    TIMESTAMP_IN_FUTURE,
    TIMESTAMP_TOO_OLD,
)
from edge_etl_job.rejection import RejectionError, shown
from edge_etl_job.times import EPOCH, FIRST, LAST, MICROSECOND, limits

_CACHED: Final = 65_536
"""Cells that are remembered: another sensor's reading often has the same time."""


def timestamp_parser(
    schema: Schema, now: datetime, ruled_out: frozenset[str] = frozenset()
) -> Callable[[str], int]:
    """Return the function that reads a cell; it raises RejectionError for what is not valid.

    ``ruled_out`` are formats that the file is not written in (``ruled_out`` below).
    """
    rules = schema.timestamp
    nulls = frozenset(schema.null_values) | {""}
    zone = ZoneInfo(rules.time_zone)
    earliest, latest = limits(schema, now)
    readers = [reader(form) for form in dict.fromkeys(rules.formats) if form not in ruled_out]
    known: dict[str, int] = {}

    def read(cell: str) -> int:
        if cell in nulls:
            raise RejectionError(MISSING_TIMESTAMP, "the row has no time")
        found: set[int] = set()
        refused: list[RejectionError] = []
        for each in readers:
            said = each(cell)
            try:
                time = _in_zone(said, zone) if isinstance(said, datetime) else said
            except RejectionError as error:
                refused.append(error)
                continue
            if time is not None and FIRST <= time <= LAST:
                found.add(time)
        believable = {time for time in found if time >= earliest} or found
        if len(believable) > 1:
            detail = f"{shown(cell)} is another time by each of {', '.join(rules.formats)}"
            raise RejectionError(AMBIGUOUS_TIMESTAMP, detail)
        if believable:
            return believable.pop()
        if refused:
            raise refused[0]
        detail = f"{shown(cell)} is not a time as {' or '.join(rules.formats)} writes it"
        raise RejectionError(INVALID_TIMESTAMP, detail)

    def parse(cell: str) -> int:
        if cell in known:
            return known[cell]
        time = read(cell)
        if time < earliest:
            detail = f"{shown(cell)} is before {rules.not_before}"
            raise RejectionError(TIMESTAMP_TOO_OLD, detail)
        if time > latest:
            detail = f"{shown(cell)} is more than {rules.max_future} after the node's clock"
            raise RejectionError(TIMESTAMP_IN_FUTURE, detail)
        if len(known) >= _CACHED:
            known.clear()
        known[cell] = time
        return time

    return parse


def has_orders(schema: Schema) -> bool:
    """Return whether some of the formats differ only in the order of day, month and year."""
    return bool(_orders(schema))


def _orders(schema: Schema) -> list[list[str]]:
    groups: dict[str, list[str]] = {}
    for form in dict.fromkeys(schema.timestamp.formats):
        if (common := skeleton(form)) is not None:
            groups.setdefault(common, []).append(form)
    return [group for group in groups.values() if len(group) > 1]


def ruled_out(schema: Schema, cells: Iterable[str]) -> frozenset[str]:
    """Return the formats that a file with these times is not written in.

    Of patterns that differ only in the order of day, month and year, one that cannot read a cell
    that another one can is not meant, as long as one is left that reads all of them.
    """
    groups = [{form: reader(form) for form in group} for group in _orders(schema)]
    nulls = frozenset(schema.null_values) | {""}
    failed: set[str] = set()
    for cell in cells:
        for group in groups if cell not in nulls else ():
            cannot = {form for form, read in group.items() if read(cell) is None}
            if len(cannot) < len(group):
                failed |= cannot
    for group in groups:
        if failed >= group.keys():
            failed -= group.keys()
    return frozenset(failed)


def _in_zone(time: datetime, zone: ZoneInfo) -> int:
    """Return the time that a clock on the wall of the zone showed, if it showed it once."""
    first = time.replace(tzinfo=zone, fold=0).utcoffset() or timedelta()
    second = time.replace(tzinfo=zone, fold=1).utcoffset() or timedelta()
    # PEP 495: in an hour that is skipped the first reading has the smaller offset, in one that
    # comes twice the greater.
    if first < second:
        detail = f"{zone.key} clocks never showed {time}, they were put forward"
        raise RejectionError(INVALID_TIMESTAMP, detail)
    if first > second:
        detail = f"{zone.key} clocks showed {time} twice, they were put back"
        raise RejectionError(AMBIGUOUS_TIMESTAMP, detail)
    return (time - EPOCH - first) // MICROSECOND
