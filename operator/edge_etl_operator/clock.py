"""What time it is, and a clock beside it that nobody can set.

A Pi keeps no time while it is off: it boots with the time of its last shutdown, or with 1970, and
its clock is set when a time server answers, perhaps in the middle of a run.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime


class Clock:
    """The machine's clock; ``steady`` returns seconds that go on evenly, also while it sleeps."""

    def __init__(
        self,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        steady: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        self.now = now
        self._steady = steady

    def ahead(self) -> float:
        """Return by how many seconds it is ahead of the other: that changes when it is set."""
        return self.now().timestamp() - self._steady()
