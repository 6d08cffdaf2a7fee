"""Where a file has what the schema wants."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from edge_etl_job.dialect import DialectError
from edge_etl_job.documents import JobDocument
from edge_etl_job.reasons import DUPLICATE_COLUMN, MISSING_COLUMN
from edge_etl_job.rejection import shown

_SHOWN_COLUMNS: Final = 30


class Layout(msgspec.Struct, frozen=True):
    """Positions of cells; None where the file has no column for a field."""

    timestamp: tuple[int, ...]
    """Of the cells that make the time together, joined by a blank."""
    fields: tuple[int | None, ...]


def lay_out(columns: Sequence[str], job: JobDocument) -> Layout:
    """Find the schema's columns; raise DialectError where one that each row needs is missing."""
    timestamp = _timestamp(columns, job)
    fields = tuple(_find(field.name, field.columns, columns) for field in job.schema.fields)
    missing = []
    if timestamp is None:
        rules = job.schema.timestamp
        ways = [_listed(rules.from_), *([" + ".join(rules.join)] if rules.join else [])]
        missing.append(f"timestamp ({', or '.join(ways)})")
    missing += [
        f"{field.name} ({_listed(field.columns)})"
        for field, position in zip(job.schema.fields, fields, strict=True)
        if position is None and (field.required or field.name in job.key)
    ]
    if timestamp is None or missing:
        message = f"no column for {', '.join(missing)}; columns seen: {_listed(columns)}"
        raise DialectError(MISSING_COLUMN, message, tuple(columns))
    return Layout(timestamp, fields)


def _timestamp(columns: Sequence[str], job: JobDocument) -> tuple[int, ...] | None:
    rules = job.schema.timestamp
    whole = _find("timestamp", rules.from_, columns)
    if whole is not None:
        return (whole,)
    parts = [_find("timestamp", (name,), columns) for name in rules.join]
    found = tuple(part for part in parts if part is not None)
    return found if found and len(found) == len(parts) else None


def _find(field: str, names: Iterable[str], columns: Sequence[str]) -> int | None:
    for name in names:
        if columns.count(name) > 1:
            message = f"the header has the column {shown(name)} of {field} more than once"
            raise DialectError(DUPLICATE_COLUMN, message, tuple(columns))
        if name in columns:
            return columns.index(name)
    return None


def wanted_names(job: JobDocument) -> frozenset[str]:
    """Return all names that columns of the schema can have in a file."""
    rules = job.schema.timestamp
    return frozenset([*rules.from_, *rules.join]).union(
        *(field.columns for field in job.schema.fields)
    )


def missing_columns(job: JobDocument, seen: Iterable[frozenset[str]]) -> tuple[str, ...]:
    """Return the schema's columns that none of these headers had; none without a header."""
    headers = set(seen)
    if not headers:
        return ()
    rules = job.schema.timestamp
    ways = [frozenset([name]) for name in rules.from_]
    ways += [frozenset(rules.join)] if rules.join else []
    wanted = [("timestamp", ways)]
    wanted += [
        (field.name, [frozenset([name]) for name in field.columns]) for field in job.schema.fields
    ]
    return tuple(
        name
        for name, ways in wanted
        if not any(way <= header for way in ways for header in headers)
    )


def _listed(columns: Iterable[str]) -> str:
    names = [name if len(name) <= 40 else name[:40] + "…" for name in columns]
    more = len(names) - _SHOWN_COLUMNS
    return ", ".join(names[:_SHOWN_COLUMNS]) + (f" and {more} more" if more > 0 else "")
