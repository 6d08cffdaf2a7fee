"""Read one range of a file into the spool, and count what becomes of each record."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from io import BufferedIOBase
from typing import TYPE_CHECKING, Final

from edge_etl_job.cells import split, text_of
from edge_etl_job.dialect import Dialect, DialectError
from edge_etl_job.documents import JobDocument
from edge_etl_job.engine import MOST_RANGES, InputRange, Range
from edge_etl_job.engine_python.history import History
from edge_etl_job.engine_python.records import lines
from edge_etl_job.engine_python.spool import BATCH, Rejected, Row, Sink
from edge_etl_job.engine_python.timestamps import has_orders, ruled_out, timestamp_parser
from edge_etl_job.engine_python.values import Value, value_parsers
from edge_etl_job.layout import Layout, lay_out
from edge_etl_job.reasons import (
    LOOKING_BACK,
    NOT_TEXT,
    REJECTED_BY_TRANSFORM,
    REPEATED_HEADER,
    WRONG_FIELD_COUNT,
)
from edge_etl_job.rejection import RejectionError, shown

if TYPE_CHECKING:
    from edge_etl_job.transform import Transform

_RAW: Final = 4096  # bytes of a rejected line that are kept
_NEARLY_ALL: Final = 0.9
_ENOUGH: Final = 10  # records from which on a share says something about the file


@dataclass
class Counts:
    """What has been read of one range."""

    lines: int
    rows: int = 0
    clean: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    widths: Counter[int] = field(default_factory=Counter)
    """Field counts of the records that disagree with the header."""
    refused: list[Range] = field(default_factory=list)
    content: bytes = b""
    """The digests of what was read (``content.digests``)."""

    def refuse(self, row: Rejected, size: int) -> None:
        """Count a rejected line of so many bytes, and remember where it is."""
        _, line, offset, reason, *_ = row
        self.rejected[reason] += 1
        if reason in LOOKING_BACK:
            return
        last = self.refused[-1] if self.refused else None
        if last and (last.end == offset or len(self.refused) == MOST_RANGES):
            mixed = last.mixed or last.end < offset
            self.refused[-1] = last._replace(end=offset + size, mixed=mixed)
        else:
            self.refused.append(Range(offset, offset + size, line - 1))


class Rules:
    """The schema, compiled once for all files."""

    def __init__(
        self,
        job: JobDocument,
        now: datetime,
        history: History,
        transform: "Transform | None" = None,
    ) -> None:
        self.job = job
        self.history = history
        self.transform = transform
        self.nulls = frozenset(job.schema.null_values) | {""}
        self.timestamp = cache(partial(timestamp_parser, job.schema, now))
        """Given the formats that a file is not written in, the function that reads its times."""
        self.fields = cache(partial(value_parsers, job))
        """Given the decimal mark of a file, the parsers of the fields."""


class Absent(dict[str, Value]):
    """The parser of a field that the file has no column for."""

    def __missing__(self, cell: str) -> Value:
        return None


def read_range(
    file: BufferedIOBase,
    part: InputRange,
    index: int,
    rules: Rules,
    spool: Sink,
    progress: Callable[[int], None],
) -> Counts:
    """Put the records of a range into the spool; return what was counted.

    Raise DialectError when the file is not what the schema describes; the spool must then drop
    what it was given.
    """
    dialect = part.dialect
    layout = lay_out(dialect.columns, rules.job)
    unused = _unused_formats(file, part, layout, rules)
    parse = row_parser(dialect, layout, rules, rules.timestamp(unused), index)
    start, passed = max((part.start, part.lines), (dialect.start, dialect.lines))
    counts = Counts(passed)
    batch = _Batch(index, part.name, rules.transform)
    offset = start
    for line, size, ended in lines(file, start, part.end, dialect):
        try:
            batch.add(rules.history.judged(parse(line)), line, (counts.lines + 1, offset, size))
        except RejectionError as error:
            if (reason := _reason(line, dialect, rules, error, counts)) is not None:
                batch.refuse(line, (counts.lines + 1, offset, size), reason, error.detail)
        offset += size
        counts.lines += ended
        if len(batch) >= BATCH:
            batch.flush(spool, counts)
            progress(offset - part.start)
    batch.flush(spool, counts)
    _judge(dialect, counts)
    return counts


Place = tuple[int, int, int]
"""The line, offset and size of a record."""


class _Batch:
    """Rows on their way to the spool, by way of the job's own rules if it has some."""

    def __init__(self, index: int, file: str, transform: "Transform | None") -> None:
        self._index = index
        self._file = file
        self._transform = transform
        self._rows: list[Row] = []
        self._raw: list[tuple[bytes, Place]] = []
        self._rejected: list[tuple[Rejected, int]] = []

    def __len__(self) -> int:
        return len(self._rows) + len(self._rejected)

    def add(self, row: Row, raw: bytes, place: Place) -> None:
        self._rows.append(row)
        if self._transform is not None:
            self._raw.append((raw[:_RAW], place))

    def refuse(self, raw: bytes, place: Place, reason: str, detail: str) -> None:
        line, offset, size = place
        shown = raw[:_RAW].decode("utf-8", "backslashreplace")
        self._rejected.append(((self._index, line, offset, reason, detail, shown), size))

    def flush(self, spool: Sink, counts: Counts) -> None:
        """Give what there is to the spool, and count it."""
        counts.rows += len(self)
        if self._transform is not None and self._rows:
            self._rows = list(self._transformed(self._transform))
        for row, size in self._rejected:
            counts.refuse(row, size)
        counts.clean += len(self._rows)
        spool.add(self._rows, [row for row, _ in self._rejected])
        self._rows.clear()
        self._raw.clear()
        self._rejected.clear()

    def _transformed(self, transform: "Transform") -> Iterable[Row]:
        kept, lacking = transform(self._rows, [place[0] for _, place in self._raw], self._file)
        for raw, place in self._raw:
            line = place[0]
            if line in lacking:
                self.refuse(raw, place, lacking[line], "no value behind edge.transform")
            elif line not in kept:
                self.refuse(raw, place, REJECTED_BY_TRANSFORM, "edge.transform dropped it")
        self._rejected.sort(key=lambda row: row[0][1])
        return kept.values()


def _unused_formats(
    file: BufferedIOBase, part: InputRange, layout: Layout, rules: Rules
) -> frozenset[str]:
    """Return the formats of times that the file's whole rows, from its first on, rule out."""
    schema, dialect = rules.job.schema, part.dialect
    if not has_orders(schema):
        return frozenset()

    def cells() -> Iterator[str]:
        for line, _, _ in lines(file, dialect.start, part.end, dialect):
            with suppress(RejectionError):
                row = split(text_of(line), dialect.delimiter)
                if len(row) == len(dialect.columns):
                    yield _time(row, layout, rules)

    return ruled_out(schema, cells())


def _time(cells: list[str], layout: Layout, rules: Rules) -> str:
    """Return the cell of a row's time, which can be spread over several."""
    parts = [cells[at] for at in layout.timestamp]
    return "" if rules.nulls.issuperset(parts) else " ".join(parts).strip(" \t")


def row_parser(
    dialect: Dialect, layout: Layout, rules: Rules, timestamp: Callable[[str], int], index: int
) -> Callable[[bytes], Row]:
    """Return the function that makes a row of a line of this file, or raises RejectionError."""
    delimiter, width = dialect.delimiter, len(dialect.columns)
    known = width - dialect.extra
    fields = [
        (parser, position) if position is not None else (Absent(), 0)
        for parser, position in zip(
            rules.fields(dialect.decimal or "."), layout.fields, strict=True
        )
    ]

    def parse(line: bytes) -> Row:
        cells = split(text_of(line), delimiter)
        if len(cells) != width:
            detail = f"{len(cells)} fields in the row, {width} in the header"
            raise RejectionError(WRONG_FIELD_COUNT, detail)
        if any(cells[known:]):
            detail = f"{shown(next(filter(None, cells[known:])))} stands behind the last column"
            raise RejectionError(WRONG_FIELD_COUNT, detail)
        return (
            timestamp(_time(cells, layout, rules)),
            *[parser[cells[position]] for parser, position in fields],
            index,
        )

    return parse


def _reason(
    line: bytes, dialect: Dialect, rules: Rules, error: RejectionError, counts: Counts
) -> str | None:
    """Return why a line is rejected, None when it is blank or a comment.

    Only lines that are not clean rows pay for the look.
    """
    comment = rules.job.source.csv.comment.encode()
    if not line.strip(b" \t\r" + dialect.delimiter.encode()):
        return None
    if comment and line.startswith(comment):
        return None
    try:
        cells = split(text_of(line), dialect.delimiter)
    except RejectionError:
        return error.reason
    if tuple(cells) == dialect.columns:
        error.detail = "the header comes again"
        return REPEATED_HEADER
    if error.reason == WRONG_FIELD_COUNT:
        counts.widths[len(cells)] += 1
    return error.reason


def _judge(dialect: Dialect, counts: Counts) -> None:
    """Quarantine a file that is not a CSV of this header, rather than reject all of its rows."""
    if counts.rows < _ENOUGH:
        return
    if counts.rejected[NOT_TEXT] >= _NEARLY_ALL * counts.rows:
        message = "nearly all lines hold NUL bytes: this is not text"
        raise DialectError(NOT_TEXT, message, dialect.columns)
    if counts.rejected[WRONG_FIELD_COUNT] >= _NEARLY_ALL * counts.rows:
        width = counts.widths.most_common(1)[0][0]
        message = f"{width} fields in rows, {len(dialect.columns)} in the header"
        raise DialectError(WRONG_FIELD_COUNT, message, dialect.columns)
