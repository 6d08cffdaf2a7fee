"""Readings that arrived before the clock could be believed: kept with the time since the boot.

They lie in segments of their own, in a folder that no job reads, and move to their streams when
the clock is right. Those of an earlier boot can never be dated: they move without a time, and the
edge program rejects them as such (``missing_timestamp``), so that a person sees them.
"""

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from edge_etl_agent import segment
from edge_etl_agent.clock import Clock
from edge_etl_agent.records import Reading
from edge_etl_agent.segment import Segment

_COLUMNS: Final = ("boot", "sinceBoot", "stream", "values")


class Undated:
    """The readings that wait for a time."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._clock = clock
        self._open: Segment | None = None
        segment.recover(folder)

    def commit(self, stream: str, readings: Sequence[Reading]) -> int:
        """Store readings durably with what the clock since the boot shows; return their bytes."""
        if self._open is None:
            segment.recover(self._folder)
            self._open = Segment(self._folder, segment.next_number(self._folder), _COLUMNS)
        rows = bytearray()
        for each in readings:
            values = msgspec.json.encode(each.values).decode().replace('"', '""')
            rows += f'{self._clock.boot},{self._clock.since_boot()},{stream},"{values}"\n'.encode()
        current, before = self._open, self._open.size
        try:
            current.commit(bytes(rows), ())
        except OSError:
            self._open = None
            current.abandon()
            raise
        return current.size - before

    def waiting(self) -> Iterator[tuple[Path, dict[str, list[Reading]]]]:
        """Give what can be dated now, a segment at a time; ``forget`` it when it is stored."""
        self.close()
        for path in segment.closed(self._folder):
            streams: dict[str, list[Reading]] = {}
            with path.open(newline="") as lines:
                for row in csv.DictReader(lines):
                    here = row["boot"] == self._clock.boot
                    time = self._clock.dated(int(row["sinceBoot"])) if here else None
                    values = msgspec.json.decode(row["values"], type=dict[str, str])
                    streams.setdefault(row["stream"], []).append(Reading(time, values))
            yield path, streams

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
