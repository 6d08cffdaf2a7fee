"""The engine: what turns ranges of CSV files into clean, rejected and counted rows.

An implementation must keep to what is written here and in ``docs/cleaning.md``; nothing else of
the program knows how rows are read.

- The inputs are read in their order, each from ``start`` to ``end``, as if they were one stream.
- Each record ends in exactly one place: clean (``rows`` files), rejected (``rejected`` file), or
  duplicate (its key came before in the stream; counted only). For each input
  ``rows_read == rows_clean + rows_rejected + rows_duplicate``.
- An input that is quarantined has no effect but its status, reason and message: none of its rows
  is delivered, counted, or makes another row a duplicate.
- Blank lines, comments and the header at a file's beginning are no records.
- Nothing outside ``work_dir`` is written; what is in it after an exception is garbage.
- Memory is bounded in the number of rows, files and days.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol

import msgspec

from edge_etl_job.compression import Compression
from edge_etl_job.dialect import Dialect
from edge_etl_job.documents import JobDocument


class InputRange(msgspec.Struct, frozen=True):
    """The part of a file that is to be read: whole lines, or up to the file's end."""

    name: str
    """The file's name in reports: relative to the source."""
    path: Path
    start: int
    """Offset in bytes; 0, or the first byte that no earlier run has delivered."""
    end: int
    """Offset in bytes behind the last byte to read."""
    lines: int
    """Line ends before ``start``: the record there is on line ``lines + 1``."""
    dialect: Dialect
    """How the file is written. Nothing before its ``start`` is a record."""
    compression: Compression = ""
    """How it is compressed; offsets are those of what it holds."""
    digested: int = 0
    """Bytes of what it holds of which the digests are known, a multiple of ``content.BLOCK``;
    ``end`` when none are wanted."""


class Quarantined(msgspec.Struct, frozen=True):
    """A file that is left as it is: nothing of the range was delivered."""

    reason: str
    message: str


class Range(NamedTuple):
    """Whole lines of a file."""

    start: int
    end: int
    lines: int
    """Newlines before ``start``."""
    mixed: bool = False
    """Whether rows that were not rejected are between them."""


MOST_RANGES: Final = 200
"""Ranges of rejected rows that are kept apart, of each input; the last goes on to the last row."""


def packed(ranges: Sequence[Range]) -> bytes:
    """Return ranges as the ledger holds them: empty when there is none.

    Of too many the last one goes on to the end of all, so that an entry stays small.
    """
    ordered = sorted(ranges)
    if len(ordered) > MOST_RANGES:
        last = ordered[MOST_RANGES - 1]._replace(end=ordered[-1].end, mixed=True)
        ordered = [*ordered[: MOST_RANGES - 1], last]
    # Most ranges are not mixed, and do not say so.
    return msgspec.msgpack.encode([each[: 3 + each.mixed] for each in ordered]) if ordered else b""


def ranges(packed: bytes) -> tuple[Range, ...]:
    """Return the ranges that were packed."""
    return msgspec.msgpack.decode(packed, type=tuple[Range, ...]) if packed else ()


class InputResult(msgspec.Struct, frozen=True):
    """What became of one range; ValueError when its rows do not add up."""

    rows_read: int
    rows_clean: int
    rows_duplicate: int
    rejected_by_reason: Mapping[str, int]
    lines: int
    """Line ends before the range's ``end``."""
    quarantined: Quarantined | None = None
    refused: bytes = b""
    """Where the rejected rows are, at most ``MOST_RANGES``; ``packed``, since there may be many
    files."""
    content: bytes = b""
    """The digests (``content.digests``) of the file from ``digested`` to ``end``."""

    def __post_init__(self) -> None:
        if self.rows_read != self.rows_clean + self.rows_duplicate + self.rows_rejected:
            raise ValueError(f"rows do not add up: {self}")

    @property
    def rows_rejected(self) -> int:
        """Rows rejected for any reason."""
        return sum(self.rejected_by_reason.values())


class OutputFile(msgspec.Struct, frozen=True):
    """One Parquet file in ``work_dir``, complete, as ``docs/contracts/README.md`` lays it out."""

    path: Path
    kind: Literal["rows", "rejected", "features"]
    day: str | None
    rows: int
    sha256: str | None = None
    """In hexadecimal digits, when the engine knows it."""


class EngineResult(msgspec.Struct, frozen=True):
    """What an engine made of its inputs."""

    inputs: tuple[InputResult, ...]
    """In the order of the ranges."""
    files: tuple[OutputFile, ...]
    """Files without rows are left out; so are kinds that ``results.ship`` does not name."""
    watermark: datetime | None
    """The latest timestamp of a clean row (UTC)."""
    history: str | None = None
    """What the next call is to be given, where rules look back."""


class Engine(Protocol):
    """Cleans."""

    def clean(
        self,
        inputs: Sequence[InputRange],
        job: JobDocument,
        work_dir: Path,
        *,
        now: datetime,
        progress: Callable[[int], None],
        history: str | None = None,
    ) -> EngineResult:
        """Read the ranges and write the files of the result into ``work_dir``.

        ``history`` is what the call before gave (``EngineResult.history``), for rules that look
        back. ``now`` is what ``schema.timestamp.maxFuture`` counts from. ``progress`` is told the
        bytes read so far, in all. A file that cannot be read is quarantined; OSError and
        sqlite3.Error mean that ``work_dir`` cannot be written.
        """
        ...
