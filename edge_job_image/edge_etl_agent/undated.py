"""Readings that arrived before the clock could be believed: kept with the time since the boot.

They lie in segments of their own, in a folder that no job reads, and move to their streams when
the clock is right. Those of an earlier boot can never be dated: they move without a time, and the
edge program rejects them as such (``missing_timestamp``), so that a person sees them.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
from edge_etl_engine import Part

from edge_etl_agent import segment
from edge_etl_agent.clock import Clock
from edge_etl_agent.readings import Reading, Values
from edge_etl_agent.segment import Segment

_COLUMNS: Final = ("boot", "sinceBoot", "stream", "timestamp", "values")


@dataclass(frozen=True)
class Kept:
    """A segment whose readings can be dated now."""

    path: Path
    parts: Sequence[Part]
    keys: Sequence[str]
    """The idempotency keys of its readings."""


class Undated:
    """The readings that wait for a time."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._clock = clock
        self._open: Segment | None = None
        segment.recover(folder)
        self.keys = [key for path in segment.closed(folder) for key in segment.keys_of(path)]
        """The idempotency keys of what still waits."""

    def commit(self, part: Part, keys: Sequence[str]) -> int:
        """Store readings durably with what the clock since the boot shows; return their bytes.

        Those of the same sender that have a time wait with the others: all are stored, or none.
        """
        if self._open is None:
            segment.recover(self._folder)
            self._open = Segment(self._folder, segment.next_number(self._folder), _COLUMNS)
        rows = bytearray()
        for time, values in part.readings():
            cells = msgspec.json.encode(values).decode().replace('"', '""')
            head = f"{self._clock.boot},{self._clock.since_boot()},{part.stream}"
            rows += f'{head},{"" if time is None else time},"{cells}"\n'.encode()
        current, before = self._open, self._open.size
        try:
            current.commit(bytes(rows), keys)
        except OSError:
            self._open = None
            current.abandon()
            raise
        return current.size - before

    def waiting(self) -> Iterator[Kept]:
        """Give what can be dated now, a segment at a time; ``forget`` it when it is stored."""
        self.close()
        for path in segment.closed(self._folder):
            streams: dict[str, list[Reading]] = {}
            with path.open(newline="") as lines:
                for row in csv.DictReader(lines):
                    values = msgspec.json.decode(row["values"], type=Values)
                    streams.setdefault(row["stream"], []).append((self._time(row), values))
            parts = [Part.of(stream, readings) for stream, readings in streams.items()]
            yield Kept(path, parts, segment.keys_of(path))

    def _time(self, row: dict[str, str]) -> int | None:
        if row["timestamp"]:
            return int(row["timestamp"])
        here = row["boot"] == self._clock.boot
        return self._clock.dated(int(row["sinceBoot"])) if here else None

    def forget(self, path: Path) -> int:
        """Remove a segment whose readings are in their streams; return its bytes."""
        size = path.stat().st_size
        path.unlink()
        segment.remembered(self._folder, 0)
        return size

    def close(self) -> None:
        """Close the segment that is written, if there is one."""
        current, self._open = self._open, None
        if current:
            current.close()
