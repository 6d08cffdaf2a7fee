"""Times as sensors write them, to microseconds since 1970 (UTC).

The rule is that a time is never guessed: what has no meaning in its zone, or two, is rejected.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Final
from zoneinfo import ZoneInfo

from edge_etl_job.documents import Schema
from edge_etl_job.engine_python.rejection import RejectionError, shown
from edge_etl_job.job import ISO8601
from edge_etl_job.reasons import (
    AMBIGUOUS_TIMESTAMP,
    INVALID_TIMESTAMP,
    MISSING_TIMESTAMP,
    TIMESTAMP_IN_FUTURE,
    TIMESTAMP_TOO_OLD,
)
from edge_etl_job.times import EPOCH, FIRST, LAST, MICROSECOND, limits, micros

_CACHED_HOURS: Final = 4096
_ISO: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?"
    r"(Z|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
# "MM:SS" of all seconds of an hour, in microseconds.
_TAILS: Final = {f"{s // 60:02}:{s % 60:02}": s * 1_000_000 for s in range(3600)}


def timestamp_parser(schema: Schema, now: datetime) -> Callable[[str], int]:
    """Return the function that reads a cell; it raises RejectionError for what is not valid."""
    rules = schema.timestamp
    nulls = frozenset(schema.null_values) | {""}
    zone = ZoneInfo(rules.time_zone)
    earliest, latest = limits(schema, now)
    only_iso = rules.formats == (ISO8601,)
    tails = _TAILS | {f"{t}Z": m for t, m in _TAILS.items()} if zone.key == "UTC" else _TAILS
    hours: dict[str, int] = {}

    def read(cell: str) -> int:
        if cell in nulls:
            raise RejectionError(MISSING_TIMESTAMP, "the row has no time")
        found = {time for form in rules.formats if (time := _read(cell, form, zone)) is not None}
        if not found:
            detail = f"{shown(cell)} is not a time as {' or '.join(rules.formats)} writes it"
            raise RejectionError(INVALID_TIMESTAMP, detail)
        if len(found) > 1:
            detail = f"{shown(cell)} is another time by each of {', '.join(rules.formats)}"
            raise RejectionError(AMBIGUOUS_TIMESTAMP, detail)
        time = found.pop()
        # From now on the hour is known, unless its clock is put forward or back in it.
        if only_iso and cell[14:] in tails and (hour := _whole_hour(cell, zone)) is not None:
            if len(hours) >= _CACHED_HOURS:
                hours.clear()
            hours[cell[:14]] = hour
        return time

    def parse(cell: str) -> int:
        try:
            time = hours[cell[:14]] + tails[cell[14:]]
        except KeyError:
            time = read(cell)
        if time < earliest:
            detail = f"{shown(cell)} is before {rules.not_before}"
            raise RejectionError(TIMESTAMP_TOO_OLD, detail)
        if time > latest:
            detail = f"{shown(cell)} is more than {rules.max_future} after the node's clock"
            raise RejectionError(TIMESTAMP_IN_FUTURE, detail)
        return time

    return parse


def _read(cell: str, form: str, zone: ZoneInfo) -> int | None:
    """Return the time that a cell is in one format, None when it is none."""
    try:
        time = _iso(cell) if form == ISO8601 else _strptime(cell, form)
        if time is None:
            return None
        result = micros(time) if time.tzinfo is not None else _in_zone(time, zone)
    except (ValueError, OverflowError):
        return None
    return result if FIRST <= result <= LAST else None


def _strptime(cell: str, form: str) -> datetime | None:
    # strptime takes the digits of every script; sensors write ASCII.
    return datetime.strptime(cell, form) if cell.isascii() else None


def _iso(cell: str) -> datetime | None:
    match = _ISO.fullmatch(cell)
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, offset = match.groups()
    microsecond = int((fraction or "0").ljust(6, "0")[:6])
    time = datetime(
        int(year), int(month), int(day), int(hour), int(minute), int(second or 0), microsecond
    )
    if offset is None:
        return time
    return time.replace(tzinfo=UTC if offset == "Z" else _offset(offset))


def _offset(text: str) -> timezone:
    hours, minutes = int(text[1:3]), int(text[3:].lstrip(":") or 0)
    if minutes > 59:
        raise ValueError(text)
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


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


def _whole_hour(cell: str, zone: ZoneInfo) -> int | None:
    """Return the first microsecond of a cell's hour, if all of the hour has one offset."""
    start = datetime.fromisoformat(cell[:10]).replace(hour=int(cell[11:13]))
    last = start + timedelta(minutes=59, seconds=59, microseconds=999_999)
    try:
        first, final = _in_zone(start, zone), _in_zone(last, zone)
    except RejectionError:
        return None
    return first if final - first == 3_600_000_000 - 1 and first >= FIRST else None
