"""Some rows of a file by the plain engine's rules: to tell of them, not to deliver them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import BufferedIOBase
from typing import Final, cast

import msgspec

from edge_etl_job.dialect import Dialect, DialectError, after_line_end
from edge_etl_job.documents import JobDocument
from edge_etl_job.engine import InputRange
from edge_etl_job.engine_python.history import History
from edge_etl_job.engine_python.reading import Counts, Rules, read_range
from edge_etl_job.engine_python.spool import Rejected, Row

_TAIL: Final = 1 << 16
"""Bytes of a file's end that are looked at."""
_ANY_FUTURE: Final = "999999d"


@dataclass(frozen=True)
class Span:
    """Whole lines of a file."""

    start: int
    end: int
    lines: int = 0
    """Line ends before them; not known of a file's end."""


@dataclass
class Collected:
    """Takes what is read of a file, in memory: it is little."""

    rejected: list[Rejected] = field(default_factory=list)
    latest: int | None = None

    def add(self, rows: Sequence[Row], rejected: Sequence[Rejected]) -> None:
        """Take clean rows, and rejected ones."""
        self.rejected += rejected
        times = [cast("int", row[0]) for row in rows]
        if times:
            self.latest = max(times) if self.latest is None else max(self.latest, *times)


def beginning(content: BufferedIOBase, dialect: Dialect, length: int, *, whole: bool) -> Span:
    """Return the first lines of a file, those within so many bytes; all if it is ``whole``."""
    end = length if whole else after_line_end(content, dialect.start, length, dialect)
    return Span(0, max(end, dialect.start))


def ending(content: BufferedIOBase, dialect: Dialect) -> Span:
    """Return the last lines of a file."""
    end = content.seek(0, 2)
    start = max(dialect.start, end - _TAIL)
    if start > dialect.start:
        start -= (start - dialect.start) % dialect.wide
        content.seek(start)
        mark = dialect.newline.encode(dialect.encoding if dialect.wide == 2 else "ascii")
        piece = content.read(end - start)
        start = min(end, start + piece.find(mark) + len(mark))
    return Span(start, end)


def plainly(
    job: JobDocument, whole: InputRange, content: BufferedIOBase, span: Span, now: datetime
) -> tuple[Counts, Collected]:
    """Read some lines of a file; raise DialectError when it is not what the schema describes."""
    read = Collected()
    part = msgspec.structs.replace(
        whole, start=span.start, end=span.end, lines=span.lines, digested=span.end
    )
    rules = Rules(job, now, History(job, None))
    counts = read_range(content, part, 0, rules, read, lambda _: None)
    return counts, read


def latest_time(
    job: JobDocument,
    whole: InputRange,
    content: BufferedIOBase,
    spans: Sequence[Span],
    now: datetime,
) -> datetime | None:
    """Return the latest time of the lines' clean rows, whether or not it is in the future."""
    schema = job.schema
    timestamp = msgspec.structs.replace(schema.timestamp, max_future=_ANY_FUTURE)
    lenient = msgspec.structs.replace(
        job, schema=msgspec.structs.replace(schema, timestamp=timestamp)
    )
    found = []
    for span in spans:
        try:
            found.append(plainly(lenient, whole, content, span, now)[1].latest)
        except DialectError:
            continue  # what the first lines are has been told already
    known = [each for each in found if each is not None]
    return datetime.fromtimestamp(max(known) / 1e6, UTC) if known else None
