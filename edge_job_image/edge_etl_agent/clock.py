"""What time it is, and whether that can be believed: a Pi has no clock that runs without power.

It boots with the time of its last shutdown, or in 1970, and is right once it has reached a time
server. Until then readings without a time of their own wait (``undated``).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from edge_etl_job.machine import synchronised

_MICROSECONDS: Final = 1_000_000
_LEAST: Final = 1_767_225_600 * _MICROSECONDS
"""The first of January 2026: no clock was right before that and ran this program."""


def boot() -> str:
    """Return what tells this start of the machine from all others (proc(5))."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@dataclass
class Clock:
    """The time in microseconds since 1970, which no two readings get."""

    trusted: Callable[[], bool | None] = synchronised
    wall: Callable[[], int] = lambda: time.time_ns() // 1000
    since_boot: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    boot: str = field(default_factory=boot)
    _last: int = 0
    _believed: bool = False

    @property
    def believable(self) -> bool:
        """Whether readings can be dated; once so, then for good."""
        if not self._believed:
            self._believed = self.wall() >= _LEAST and bool(self.trusted())
        return self._believed

    def now(self) -> int:
        """Return the time, a microsecond more than the last one that was given at least.

        Readings of one sensor within a microsecond would have the same key otherwise.
        """
        return max(self.wall(), self._last + 1)

    def given(self, last: int) -> None:
        """Remember the last time that a reading got."""
        self._last = max(self._last, last)

    def dated(self, since_boot: int) -> int:
        """Return the time at which so many microseconds had passed since the boot."""
        return self.wall() - self.since_boot() + since_boot
