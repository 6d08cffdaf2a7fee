"""Rules about what a sensor said before: values that do not change, and values that jump.

``edge_job_image/engine/src/history.rs`` says what a series is and how its rows are judged; this is
the same in plain words.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Final, cast

from edge_etl_job.documents import Field, JobDocument
from edge_etl_job.durations import seconds
from edge_etl_job.engine_python.spool import Row
from edge_etl_job.job import TIMESTAMP
from edge_etl_job.reasons import RATE_EXCEEDED, STUCK_VALUE
from edge_etl_job.rejection import RejectionError

MOST_SERIES: Final = 65_536
"""Series that are remembered: those that were heard of last."""
_MINUTE: Final = 60e6


@dataclass(frozen=True)
class _Past:
    """The last good value of a field: when, since when, and how often it was read."""

    value: float
    time: int
    since: int
    count: int


@dataclass(frozen=True)
class _Series:
    time: int
    fields: tuple[_Past | None, ...]


class History:
    """The series that rows are judged by."""

    def __init__(self, job: JobDocument, kept: str | None) -> None:
        fields = [(at, field) for at, field in enumerate(job.schema.fields, 1) if field.looks_back]
        self._ruled = fields
        self._set_null = job.schema.on_invalid_field == "SetNull"
        self._in_key = frozenset(job.key)
        positions = {field.name: at for at, field in enumerate(job.schema.fields, 1)}
        self._key = [positions[name] for name in job.key if name != TIMESTAMP]
        self._names = {
            "key": [name for name in job.key if name != TIMESTAMP],
            "fields": [field.name for _, field in fields],
        }
        self._series: dict[str, _Series] = {}
        self._before: dict[str, _Series | None] = {}
        document = json.loads(kept) if kept else {}
        if fields and {name: document.get(name) for name in self._names} == self._names:
            self._series = {_json(key): _series(each) for key, each in document["series"]}

    def begin(self) -> None:
        """Begin a file; what follows belongs to it until it is dropped or the next one begins."""
        self._before.clear()

    def drop(self) -> None:
        """Forget the rows of the file."""
        for key, before in self._before.items():
            if before is None:
                self._series.pop(key, None)
            else:
                self._series[key] = before
        self._before.clear()

    def kept(self) -> str | None:
        """Return what the next run is to know, in JSON; None where no rule looks back."""
        if not self._ruled:
            return None
        self._forget_the_oldest()
        series = [
            [json.loads(key), {"time": one.time, "fields": [_plain(each) for each in one.fields]}]
            for key, one in sorted(self._series.items(), key=lambda each: each[0].encode())
        ]
        return json.dumps({**self._names, "series": series})

    def judged(self, row: Row) -> Row:
        """Return the row, maybe without some values; raise RejectionError when it is not valid."""
        wrong = self._wrong(row) if self._ruled else []
        for at, field, error in wrong:
            if not self._set_null or field.required or field.name in self._in_key:
                raise error
            row = (*row[:at], None, *row[at + 1 :])
        return row

    def _wrong(self, row: Row) -> list[tuple[int, Field, RejectionError]]:
        parts = [row[at] for at in self._key]
        # Zero and negative zero are one value.
        key = _json([part + 0.0 if isinstance(part, float) else part for part in parts])
        time = cast("int", row[0])
        series = self._series.get(key)
        self._before.setdefault(key, series)
        if series is None:
            if len(self._series) >= 2 * MOST_SERIES:
                self._forget_the_oldest()
            series = _Series(time - 1, (None,) * len(self._ruled))
        if time <= series.time:
            return []
        found: list[tuple[int, Field, RejectionError]] = []
        fields = list(series.fields)
        for place, (at, field) in enumerate(self._ruled):
            if row[at] is not None:
                value = float(cast("float", row[at]))
                fields[place], error = _judged(field, fields[place], time, value)
                if error is not None:
                    found.append((at, field, error))
        self._series[key] = _Series(time, tuple(fields))
        return found

    def _forget_the_oldest(self) -> None:
        if len(self._series) > MOST_SERIES:
            latest = sorted(
                self._series.items(),
                key=lambda each: (each[1].time, each[0].encode()),
                reverse=True,
            )
            for key, one in latest[MOST_SERIES:]:
                self._before.setdefault(key, one)
            self._series = dict(latest[:MOST_SERIES])


def _judged(
    field: Field, past: _Past | None, time: int, value: float
) -> tuple[_Past, RejectionError | None]:
    """Return what is known of the field now, and what is wrong with its value."""
    if past is None:
        return _Past(value, time, time, 1), None
    rate = field.max_rate_per_minute
    if rate is not None and abs(value - past.value) * _MINUTE > rate * (time - past.time):
        detail = (
            f"{field.name}: {value!r} after {past.value!r} changes by more than {rate:g} a minute"
        )
        return past, RejectionError(RATE_EXCEEDED, detail)
    if value != past.value:
        return _Past(value, time, time, 1), None
    now = _Past(past.value, time, past.since, past.count + 1)
    limit = field.stuck_after
    if limit is None:
        return now, None
    if isinstance(limit, int):
        is_stuck, text = now.count > limit, f"{limit} readings"
    else:
        is_stuck, text = time - now.since > seconds(limit) * 1_000_000, limit
    detail = f"{field.name}: {value!r} has not changed for more than {text}"
    return now, RejectionError(STUCK_VALUE, detail) if is_stuck else None


def _json(key: object) -> str:
    return json.dumps(key, ensure_ascii=False, separators=(",", ":"))


def _plain(past: _Past | None) -> dict[str, Any] | None:
    return None if past is None else asdict(past)


def _series(plain: dict[str, Any]) -> _Series:
    fields = (None if each is None else _Past(**each) for each in plain["fields"])
    return _Series(plain["time"], tuple(fields))
