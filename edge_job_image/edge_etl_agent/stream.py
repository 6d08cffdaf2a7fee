"""A stream: readings of one kind in a folder of their own, as segments one after the other."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from edge_etl_agent import segment
from edge_etl_agent.configuration import Storage
from edge_etl_agent.segment import Segment

_TIMESTAMP: Final = "timestamp"
"""The first column of every segment: ISO 8601 in UTC."""


class Stream:
    """What writes a stream. All of it is called by one thread at a time."""

    def __init__(self, folder: Path, storage: Storage) -> None:
        """Repair and close what an earlier process left."""
        self.folder = folder
        self._storage = storage
        self._open: Segment | None = None
        self._since = 0.0
        folder.mkdir(exist_ok=True)
        self.repaired = segment.recover(folder)
        self.keys = segment.remembered(folder, storage.keys)
        closed = segment.closed(folder)
        self.columns: Sequence[str] = segment.columns_of(closed[-1])[1:] if closed else ()
        """Those behind the time."""
        self._number = segment.next_number(folder)

    def commit(self, columns: Sequence[str], rows: bytes, keys: Sequence[str]) -> int:
        """Store rows durably and return their bytes; a new column begins a new segment."""
        if self._open and (
            len(columns) != len(self.columns) or self._open.size >= self._storage.segment_bytes
        ):
            self.close()
        self.columns = columns
        current = self._writable()
        before = current.size
        try:
            current.commit(rows, keys)
        except OSError:
            self._open = None
            current.abandon()
            raise
        return current.size - before

    def _writable(self) -> Segment:
        if self._open is None:
            segment.recover(self.folder)
            self._open = Segment(self.folder, self._number, (_TIMESTAMP, *self.columns))
            self._number += 1
            self._since = time.monotonic()
        return self._open

    def tick(self) -> None:
        """Close a segment that is old enough."""
        if time.monotonic() - self._since >= self._storage.segment_seconds:
            self.close()

    def close(self) -> None:
        """Close the segment that is written, if there is one."""
        current, self._open = self._open, None
        if current:
            current.close()
            segment.remembered(self.folder, self._storage.keys)
