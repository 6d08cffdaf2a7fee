"""A stream: readings of one kind in a folder of their own, as segments one after the other."""

import time
from collections.abc import Sequence
from pathlib import Path

from edge_etl_agent import segment
from edge_etl_agent.configuration import Storage
from edge_etl_agent.records import Reading, columns, line
from edge_etl_agent.refusals import BAD_READING, Refusal
from edge_etl_agent.segment import Segment


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
        self._columns = segment.columns_of(closed[-1]) if closed else ()
        self._number = segment.next_number(folder)

    def commit(self, readings: Sequence[Reading], keys: Sequence[str]) -> int:
        """Store readings durably and return their bytes; a new column begins a new segment."""
        names = columns(readings, self._columns)
        if len(names) > self._storage.columns:
            message = f"{self.folder.name} would have more than {self._storage.columns} columns"
            raise Refusal(BAD_READING, message)
        if self._open and (
            names != self._columns or self._open.size >= self._storage.segment_bytes
        ):
            self.close()
        self._columns = names
        rows = "".join(line(each, names) for each in readings).encode()
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
            self._open = Segment(self.folder, self._number, self._columns)
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
