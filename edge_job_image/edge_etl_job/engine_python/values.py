"""Cells to values of the schema's types, strictly: what is not written as its type is invalid."""

import math
import re
from collections.abc import Callable
from typing import Final

from edge_etl_job.documents import Field, JobDocument
from edge_etl_job.nulls import null_ranges, null_texts
from edge_etl_job.reasons import INVALID_VALUE, MISSING_KEY, MISSING_REQUIRED, OUT_OF_RANGE
from edge_etl_job.rejection import RejectionError, shown

Value = str | float | int | bool | None

_CACHED_CELLS: Final = 65_536  # of all fields together
_CACHED_LENGTH: Final = 32
_LONG: Final = re.compile(r"[+-]?[0-9]{1,19}")
_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}


class ValueParser(dict[str, Value]):
    """The values of one field by their cells: ``parser[cell]``.

    Sensors repeat themselves: most cells have been read before, and a dictionary is the quickest
    answer that Python has. What was not is read by the rules and kept, up to a bound. A cell that
    is not valid raises RejectionError.
    """

    def __init__(self, read: Callable[[str], Value], room: int) -> None:
        super().__init__()
        self._read = read
        self._room = room

    def __missing__(self, cell: str) -> Value:
        value = self._read(cell)
        if len(cell) <= _CACHED_LENGTH:
            if len(self) >= self._room:
                self.clear()
            self[cell] = value
        return value


def value_parsers(job: JobDocument, decimal: str) -> tuple[ValueParser, ...]:
    """Return the parser of each field of the schema; ``decimal`` is the file's decimal mark."""
    room = max(256, _CACHED_CELLS // len(job.schema.fields))
    return tuple(ValueParser(_reader(field, job, decimal), room) for field in job.schema.fields)


def _reader(field: Field, job: JobDocument, decimal: str) -> Callable[[str], Value]:
    nulls, ranges = null_texts(job, field), null_ranges(job, field)
    convert = _converter(field, decimal, job.source.csv.thousands)
    in_key = field.name in job.key
    missing = MISSING_KEY if in_key else MISSING_REQUIRED if field.required else None
    may_be_nulled = job.schema.on_invalid_field == "SetNull" and missing is None

    def value_of(cell: str) -> Value:
        value = None if cell in nulls else convert(cell)
        if isinstance(value, int | float) and any(a <= value <= b for a, b in ranges):
            value = None
        if value is None and missing is not None:
            raise RejectionError(missing, f"{field.name} has no value")
        _check_range(field, value)
        return value

    def read(cell: str) -> Value:
        try:
            return value_of(cell)
        except RejectionError:
            if may_be_nulled:
                return None
            raise

    return read


def _converter(field: Field, decimal: str, thousands: str) -> Callable[[str], Value]:
    mark = re.escape(decimal)
    group = re.escape(thousands)
    grouped = re.compile(rf"[+-]?[0-9]{{1,3}}(?:{group}[0-9]{{3}})+(?![0-9{group}])")
    number = re.compile(rf"[+-]?(?:[0-9]+(?:{mark}[0-9]*)?|{mark}[0-9]+)(?:[eE][+-]?[0-9]+)?")

    def invalid(cell: str) -> RejectionError:
        return RejectionError(INVALID_VALUE, f"{field.name}: {shown(cell)} is not a {field.type}")

    def plain(cell: str) -> str:
        found = grouped.match(cell) if thousands else None
        return found[0].replace(thousands, "") + cell[found.end() :] if found else cell

    def double(written: str) -> float:
        cell = plain(written)
        # float() alone would take nan, infinity, 1_000 and the digits of every script.
        if number.fullmatch(cell) is None:
            raise invalid(written)
        value = float(cell.replace(",", "."))
        if math.isinf(value):
            raise invalid(written)
        return value

    def long(written: str) -> int:
        cell = plain(written)
        if _LONG.fullmatch(cell) is None or not -(2**63) <= (value := int(cell)) < 2**63:
            raise invalid(written)
        return value

    def boolean(cell: str) -> bool:
        value = _BOOLEANS.get(cell.lower())
        if value is None:
            raise invalid(cell)
        return value

    converters: dict[str, Callable[[str], Value]] = {
        "string": str,
        "double": double,
        "long": long,
        "boolean": boolean,
    }
    return converters[field.type]


def _check_range(field: Field, value: Value) -> None:
    if not isinstance(value, int | float):
        return
    if field.min is not None and value < field.min:
        detail = f"{field.name}: {value} is below {field.min:.15g}"
        raise RejectionError(OUT_OF_RANGE, detail)
    if field.max is not None and value > field.max:
        detail = f"{field.name}: {value} is above {field.max:.15g}"
        raise RejectionError(OUT_OF_RANGE, detail)
