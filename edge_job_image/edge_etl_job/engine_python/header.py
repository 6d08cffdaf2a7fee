"""The header of a file: which column is which field, and what separates them."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import BinaryIO, Final

from edge_etl_job.documents import JobDocument
from edge_etl_job.engine_python.records import MAX_LINE, split, text_of
from edge_etl_job.engine_python.rejection import QuarantineError, RejectionError, shown
from edge_etl_job.reasons import (
    DUPLICATE_COLUMN,
    EMPTY_HEADER,
    INVALID_ENCODING,
    MISSING_COLUMN,
    NOT_TEXT,
)

_BOM: Final = b"\xef\xbb\xbf"
_DELIMITERS: Final = (";", ",", "\t", "|")
_SHOWN_COLUMNS: Final = 30


@dataclass(frozen=True)
class Header:
    """The first line of a file that is not blank."""

    columns: tuple[str, ...]
    delimiter: str
    end: int
    """The offset behind it, in bytes."""
    lines: int
    """Newlines before ``end``."""


@dataclass(frozen=True)
class Layout:
    """Where a file has what the schema wants: positions of cells, None where it has no column."""

    timestamp: int
    fields: tuple[int | None, ...]


def read_header(file: BinaryIO, end: int, job: JobDocument) -> Header | None:
    """Return the header; None when the first ``end`` bytes of the file are blank."""
    file.seek(0)
    position = lines = 0
    while position < end:
        line = file.readline(min(MAX_LINE + 1, end - position))
        if not line:
            return None
        position += len(line)
        lines += line.endswith(b"\n")
        if position == len(line):
            line = line.removeprefix(_BOM)
        if line.strip():
            columns, delimiter = _columns(line.removesuffix(b"\n"), job)
            return Header(columns, delimiter, position, lines)
    return None


def _columns(line: bytes, job: JobDocument) -> tuple[tuple[str, ...], str]:
    try:
        text = text_of(line)
        wanted = _wanted(job)
        if job.source.csv.delimiter != "auto":
            delimiter = job.source.csv.delimiter
        else:
            # The separator under which the header names most of what the schema looks for.
            delimiter = max(_DELIMITERS, key=lambda each: _fit(text, each, wanted))
        columns = tuple(split(text, delimiter))
    except RejectionError as error:
        reason = NOT_TEXT if error.reason == INVALID_ENCODING else error.reason
        raise QuarantineError(reason, f"the header cannot be read: {error.detail}") from None
    if not any(columns):
        raise QuarantineError(EMPTY_HEADER, "the header names no column")
    return columns, delimiter


def _fit(text: str, delimiter: str, wanted: frozenset[str]) -> tuple[int, int]:
    try:
        columns = split(text, delimiter)
    except RejectionError:
        return (-1, 0)
    return (len(wanted.intersection(columns)), len(columns))


def _wanted(job: JobDocument) -> frozenset[str]:
    names = [*job.schema.timestamp.from_]
    for field in job.schema.fields:
        names += field.columns
    return frozenset(names)


def lay_out(header: Header, job: JobDocument) -> Layout:
    """Find the schema's columns in a header; quarantine a file that lacks what each row needs."""
    timestamp = _find("timestamp", job.schema.timestamp.from_, header)
    fields = tuple(_find(field.name, field.columns, header) for field in job.schema.fields)
    needed = [("timestamp", job.schema.timestamp.from_, timestamp)] + [
        (field.name, field.columns, position)
        for field, position in zip(job.schema.fields, fields, strict=True)
        if field.required or field.name in job.key
    ]
    missing = [(name, columns) for name, columns, position in needed if position is None]
    if timestamp is None or missing:
        wants = ", ".join(f"{name} ({_listed(columns)})" for name, columns in missing)
        message = f"no column for {wants}; columns seen: {_listed(header.columns)}"
        raise QuarantineError(MISSING_COLUMN, message, header.columns)
    return Layout(timestamp, fields)


def _find(field: str, columns: Iterable[str], header: Header) -> int | None:
    for column in columns:
        if header.columns.count(column) > 1:
            message = f"the header has the column {shown(column)} of {field} more than once"
            raise QuarantineError(DUPLICATE_COLUMN, message, header.columns)
        if column in header.columns:
            return header.columns.index(column)
    return None


def _listed(columns: Iterable[str]) -> str:
    names = [name if len(name) <= 40 else name[:40] + "…" for name in columns]
    more = len(names) - _SHOWN_COLUMNS
    return ", ".join(names[:_SHOWN_COLUMNS]) + (f" and {more} more" if more > 0 else "")
