"""The store: all streams, and the one writer that makes readings durable in groups.

Whatever arrives while the disk is busy is written together next: so many small senders wait for
few fsyncs. A sender is answered only afterwards.
"""

import errno
import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from edge_etl_engine import Part, Recent
from edge_etl_job.logs import log

from edge_etl_agent.budget import Budget
from edge_etl_agent.clock import Clock
from edge_etl_agent.configuration import Storage
from edge_etl_agent.facts import Facts
from edge_etl_agent.refusals import BAD_READING, FULL, UNAVAILABLE, Refusal
from edge_etl_agent.stream import Stream
from edge_etl_agent.undated import Undated

_STREAM: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TICK_SECONDS: Final = 1.0
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


@dataclass
class Store:
    """Readings of all streams below a directory; one thread writes. ``with`` opens and closes it.

    A kill at any moment leaves each part whole or not at all.
    """

    root: Path
    storage: Storage
    clock: Clock
    budget: Budget
    facts: Facts = field(default_factory=Facts)
    _streams: dict[str, Stream] = field(default_factory=dict)
    _keys: dict[str, None] = field(default_factory=dict)
    """Past keys, the oldest first."""
    _ticked: float = 0.0

    def __post_init__(self) -> None:
        self._recent = Recent(self.storage.recent)

    def __enter__(self) -> "Store":
        self._undated = Undated(self.root / ".undated", self.clock)
        self._remember(self._undated.keys)
        for folder in sorted(self.root.iterdir()):
            if folder.is_dir() and _STREAM.fullmatch(folder.name):
                self._stream(folder.name)
        self._recall()
        self.budget.measure()
        return self

    def _recall(self) -> None:
        """Know the newest readings again."""
        for path in reversed(self.budget.closed()):
            if not self._recent.learn(path.parent.name, path.read_bytes()):
                return

    def __exit__(self, *_: object) -> None:
        self._guarded(self._close)

    def store(self, part: Part) -> None:
        """Make a part durable, and tell its senders."""
        try:
            self.budget.make_room()
            stream = self._stream(part.stream)
        except (Refusal, OSError) as error:
            _refuse(part, error)
            return
        # The time is a column as well.
        columns = part.fit(stream.columns, self.storage.columns - 1)
        self._sift(part)
        if not self.clock.believable:
            undated = part.undated()
            self._settle(undated, lambda keys: self._undated.commit(undated, keys))
        self._settle(part, lambda keys: self._commit(stream, part, columns, keys))

    def _sift(self, part: Part) -> None:
        """Leave of those with a key what is new; of two with the same one the first."""
        duplicates, later = [], []
        new: set[str] = set()
        for place, key, again in part.keyed():
            if again and key in self._keys:
                duplicates.append(place)
            elif key in new:
                later.append(place)
            new.add(key)
        self.facts.repeated(part.stream, "key", part.duplicate(duplicates))
        part.defer(later)

    def _settle(self, part: Part, commit: Callable[[Sequence[str]], int]) -> None:
        if not (count := len(part)):
            return
        keys = [key for _, key, _ in part.keyed()]
        try:
            size = commit(keys)
        except OSError as error:
            _refuse(part, error)
            return
        self.budget.used += size
        self._remember(keys)
        repeated = part.repeated()
        self.facts.stored(part.stream, count - repeated, part.last(), size)
        self.facts.repeated(part.stream, "reading", repeated)
        part.accept()

    def _commit(
        self, stream: Stream, part: Part, columns: Sequence[str], keys: Sequence[str]
    ) -> int:
        rows, last = part.rows(columns, self.clock.now(), self._recent)
        if last is not None:
            self.clock.given(last)
        if not rows and not keys:
            return 0
        try:
            return stream.commit(columns, rows, keys)
        except OSError:
            self._recent.forget()
            raise

    def _remember(self, keys: Sequence[str]) -> None:
        if not keys:
            return
        for key in keys:
            self._keys.pop(key, None)
            self._keys[key] = None
        for key in list(islice(self._keys, max(0, len(self._keys) - self.storage.keys))):
            del self._keys[key]

    def _stream(self, name: str) -> Stream:
        stream = self._streams.get(name)
        if stream is None:
            if len(self._streams) >= self.storage.streams:
                raise Refusal(BAD_READING, f"there are {len(self._streams)} streams already")
            stream = self._streams[name] = Stream(self.root / name, self.storage)
            self._remember(stream.keys)
            if stream.repaired:
                facts = {"stream": name, "segments": len(stream.repaired)}
                log.info("took over what an earlier process left", extra=facts)
        return stream

    def tick(self) -> None:
        """Do once a second what nobody waits for."""
        if time.monotonic() - self._ticked >= _TICK_SECONDS:
            self._ticked = time.monotonic()
            self._guarded(self._maintain)

    def _maintain(self) -> None:
        for stream in self._streams.values():
            stream.tick()
        if self.clock.believable:
            self._date()
        self.budget.prune()

    def _date(self) -> None:
        """Move what waited for the clock; a key sees to it that a kill doubles nothing."""
        for kept in self._undated.waiting():
            for part in kept.parts:
                moved = f"undated/{part.stream}/{kept.path.stem}"
                if moved not in self._keys:
                    stream = self._stream(part.stream)
                    # They were acknowledged: nothing may refuse them now.
                    columns = part.fit(stream.columns, sys.maxsize)
                    rows, _ = part.rows(columns, None, None)
                    keys = [moved, *kept.keys]
                    self.budget.used += stream.commit(columns, rows, keys)
                    self._remember(keys)
            self.budget.used -= self._undated.forget(kept.path)

    def _close(self) -> None:
        self._undated.close()
        for stream in self._streams.values():
            stream.close()

    def _guarded(self, work: Callable[[], None]) -> None:
        """Do what nobody waits for; the disk's refusal is said in the log, and tried again."""
        try:
            work()
        except OSError as error:
            log.error("%s", error, extra={"reason": UNAVAILABLE})


def _refuse(part: Part, error: Refusal | OSError) -> None:
    if isinstance(error, Refusal):
        part.refuse(error.reason, error.message)
    elif error.errno in _FULL:
        part.refuse(FULL, "no space is left on the disk")
    else:
        log.error("%s", error, extra={"reason": UNAVAILABLE})
        part.refuse(UNAVAILABLE, f"the disk cannot be written: {error.strerror}")
