"""Readings: what one record of a sender says, checked once, and how it becomes a line of CSV."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from edge_etl_agent.refusals import BAD_READING, Refusal

TIMESTAMP: Final = "timestamp"
"""The first column of every segment: ISO 8601 in UTC."""

_TIMES: Final = (TIMESTAMP, "time", "ts")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]{0,63}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_QUOTED: Final = re.compile(r'[",;\t|#]|^\s|\s$')
_LONGEST: Final = 1024
_MOST_COLUMNS: Final = 64
_DEEPEST: Final = 4
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# Epoch numbers are taken for what puts them between 1973 and 5138: s, ms, µs or ns.
_UNITS: Final = ((1e11, 1e6), (1e14, 1e3), (1e17, 1.0), (1e20, 1e-3))


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading: its time, when it has one of its own, and its values as text."""

    time: int | None
    """Microseconds since 1970, UTC."""
    values: Mapping[str, str]


def reading(record: object, number: int | None = None) -> Reading:
    """Return what a decoded JSON object says; raise Refusal that names the record and the field.

    Objects within it become columns with joined names (``temperature_tC``); what is null is left
    out.
    """
    if not isinstance(record, Mapping):
        raise Refusal(BAD_READING, "a reading is a JSON object with a field for each value", number)
    values: dict[str, str] = {}
    try:
        _flatten(record, "", values, _DEEPEST)
        time = next((_time(values.pop(name), name) for name in _TIMES if name in values), None)
        if not values:
            raise ValueError("it holds no value")
        if len(values) > _MOST_COLUMNS:
            raise ValueError(f"it has more than {_MOST_COLUMNS} values")
    except ValueError as error:
        raise Refusal(BAD_READING, str(error), number) from None
    return Reading(time, values)


def _flatten(record: Mapping[Any, Any], above: str, values: dict[str, str], depth: int) -> None:
    for key, value in record.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            if not depth:
                raise ValueError(f"{name}: objects lie too deep in one another")
            _flatten(value, f"{name}_", values, depth - 1)
        elif value is not None:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"{name[:80]!r} is no name of a column: letters, digits and _ . : / -, at most "
                    "64, beginning with a letter"
                )
            values[name] = text(value, name)


def text(value: object, name: str) -> str:
    """Return a value as a cell; raise ValueError when no cell can hold it."""
    if isinstance(value, str):
        if len(value) > _LONGEST:
            raise ValueError(f"{name}: longer than {_LONGEST} characters")
        if _CONTROL.search(value):
            raise ValueError(f"{name}: has line breaks or other control characters")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{name}: is not UTF-8") from None
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else "nan"
    if isinstance(value, int):
        # Python itself refuses to print integers of more than 4300 digits.
        if value.bit_length() > 128:
            raise ValueError(f"{name}: a number of more than 128 bits")
        return str(value)
    raise ValueError(f"{name}: {type(value).__name__}s are not taken, send text or numbers")


def _time(value: str, name: str) -> int:
    try:
        number = float(value)
    except ValueError:
        return _iso(value, name)
    return epoch(number, name)


def epoch(number: float, name: str) -> int:
    """Return an epoch time of whatever unit in microseconds."""
    for limit, factor in _UNITS:
        if 0 <= number < limit:
            return round(number * factor)
    raise ValueError(f"{name}: {number} is no time since 1970")


def _iso(value: str, name: str) -> int:
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        message = f"{name}: {value[:80]!r} is neither ISO 8601 nor a time since 1970"
        raise ValueError(message) from None
    moment = moment.replace(tzinfo=moment.tzinfo or UTC)
    try:
        return (moment - _EPOCH) // _MICROSECOND
    except OverflowError:
        raise ValueError(f"{name}: {value[:80]!r} is beyond all calendars") from None


def columns(readings: Iterable[Reading], known: Sequence[str]) -> tuple[str, ...]:
    """Return the columns that hold the readings: those known, and the new ones behind them."""
    names = dict.fromkeys((TIMESTAMP, *known))
    for each in readings:
        names.update(dict.fromkeys(each.values))
    return tuple(names)


def line(each: Reading, names: Sequence[str]) -> str:
    """Return a reading as a line of CSV; one without a time has an empty first cell."""
    cells = [each.values.get(name, "") for name in names[1:]]
    shown = "" if each.time is None else moment(each.time)
    return ",".join([shown, *(_cell(cell) if cell else "" for cell in cells)]) + "\n"


def moment(time: int) -> str:
    """Return microseconds since 1970 as ISO 8601."""
    try:
        return (_EPOCH + timedelta(microseconds=time)).isoformat()[:-6] + "Z"
    except OverflowError:
        return ""


def _cell(cell: str) -> str:
    if _QUOTED.search(cell):
        return '"' + cell.replace('"', '""') + '"'
    return cell
