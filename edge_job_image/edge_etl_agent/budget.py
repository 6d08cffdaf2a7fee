"""The disk budget: what segments may take, and which are removed for it."""

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge_etl_job.logs import log

from edge_etl_agent import segment
from edge_etl_agent.configuration import Storage
from edge_etl_agent.delivered import Busy, delivered
from edge_etl_agent.refusals import FULL, Refusal

_LOOK_SECONDS: Final = 10.0
_ASK_SECONDS: Final = 1.0
"""So long what the disk said of its free space is believed, but for what was written since."""


@dataclass
class Budget:
    """How much is used, and what can go."""

    root: Path
    source: Path
    """The directory that jobs read; ``root`` is it or below it."""
    state: Path | None
    """The directory of all ledgers of this node."""
    storage: Storage
    used: int = 0
    pruned: int = 0
    dropped: int = 0
    """Segments removed that no run had delivered: only when the configuration says so."""
    _looked: float = field(default=-_LOOK_SECONDS)
    _asked: float = field(default=-_ASK_SECONDS)
    _free: int = 0
    """What was free when nothing of ``used`` was there."""

    def measure(self) -> None:
        """Count what is there."""
        self.used = sum(path.stat().st_size for path in self.root.rglob("*") if path.is_file())
        self._asked = -_ASK_SECONDS

    @property
    def over(self) -> bool:
        """Whether there is no room for more."""
        if time.monotonic() - self._asked >= _ASK_SECONDS:
            self._asked = time.monotonic()
            self._free = shutil.disk_usage(self.root).free + self.used
        free = self._free - self.used
        return self.used >= self.storage.budget_bytes or free < self.storage.reserve_bytes

    def make_room(self) -> None:
        """Have room for more, or raise Refusal."""
        if not self.over:
            return
        self._remove_delivered(0)
        if self.storage.on_full == "DropOldest":
            for path in self.closed():
                if not self.over:
                    break
                self._remove(path)
                self.dropped += 1
                log.warning("dropped readings that no run has delivered", extra={"file": path.name})
        if self.over:
            message = "the disk budget is used up by readings that no run has delivered yet"
            raise Refusal(FULL, message)

    def prune(self) -> None:
        """Remove what was delivered long enough ago; looks every ten seconds at most."""
        if time.monotonic() - self._looked >= _LOOK_SECONDS:
            self._looked = time.monotonic()
            self.measure()
            self._remove_delivered(self.storage.keep_delivered_seconds)

    def _remove_delivered(self, seconds: float) -> None:
        if self.state is None:
            return
        oldest = time.time() - seconds
        old = [path for path in self.closed() if path.stat().st_mtime <= oldest]
        try:
            for path in delivered(self.source, old, self.state) if old else ():
                self._remove(path)
                self.pruned += 1
        except Busy:
            return

    def closed(self) -> list[Path]:
        """Return the segments of all streams that jobs see, the oldest first."""
        folders = [path for path in self.root.iterdir() if path.is_dir() and path.name[0] != "."]
        found = [path for folder in folders for path in segment.closed(folder)]
        return sorted(found, key=lambda path: path.stat().st_mtime)

    def _remove(self, path: Path) -> None:
        size = path.stat().st_size
        path.unlink()
        self.used -= size
