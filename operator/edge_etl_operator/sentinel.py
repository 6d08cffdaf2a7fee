"""Whether the operator still hears: what it writes must come back by the watches.

A watch can fall silent while everything else works, and so can a loop that hangs. Kubernetes
restarts an operator that says so itself; an open port proves nothing (dask-kubernetes#620).
"""

import threading
import time
from collections.abc import Callable
from typing import Final

DEAF_SECONDS: Final = 60.0
"""How long a write may take to come back: a watch is made again after a few seconds."""

HUNG_SECONDS: Final = 120.0


class Sentinel:
    """Compares what was written with what was seen, by the versions of objects."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._expected: dict[str, tuple[int, float]] = {}
        self._seen: dict[str, int] = {}
        self._beat: float | None = None

    def expect(self, key: str, version: str) -> None:
        """Note that an object was written and must be seen at this version or a later one."""
        with self._lock:
            written = _number(version)
            if written > self._seen.get(key, 0):
                since = self._expected.get(key, (0, self._clock()))[1]
                self._expected[key] = (written, since)

    def saw(self, key: str, version: str) -> None:
        """Note what a watch told."""
        with self._lock:
            seen = self._seen[key] = _number(version)
            if key in self._expected and self._expected[key][0] <= seen:
                del self._expected[key]

    def forget(self, key: str) -> None:
        """Forget an object that is gone."""
        with self._lock:
            self._expected.pop(key, None)
            self._seen.pop(key, None)

    def beat(self) -> None:
        """Note that the loop turns; from the first time on it has to."""
        self._beat = self._clock()

    def problems(self) -> list[str]:
        """Say what has not come back, or that the loop hangs."""
        now = self._clock()
        with self._lock:
            late = [
                f"the status of {key} was written {now - since:.0f} s ago and not seen"
                for key, (_, since) in self._expected.items()
                if now - since > DEAF_SECONDS
            ]
        if self._beat is not None and now - self._beat > HUNG_SECONDS:
            late.append(f"the operator's loop has not turned for {now - self._beat:.0f} s")
        return late


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0
