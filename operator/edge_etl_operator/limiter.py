"""How often the API server is asked: a bucket of tokens, and a pause when it says so."""

import threading
import time
from collections.abc import Callable


class Limiter:
    """Lets `rate` requests a second through, and up to `burst` at once; safe between threads."""

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._interval = 1 / rate
        self._credit = (burst - 1) * self._interval
        self._clock = clock
        self._lock = threading.Lock()
        self._next = 0.0  # when the next request would be due if all came evenly
        self._paused_until = 0.0

    def reserve(self) -> float:
        """Take the next place in the row; return in how many seconds it is."""
        with self._lock:
            now = self._clock()
            self._next = max(self._next, now - self._credit)
            due = max(self._next, self._paused_until)
            self._next += self._interval
            return max(0.0, due - now)

    def pause(self, seconds: float) -> None:
        """Let nothing through for a while: the API server has asked for it (Retry-After)."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock() + seconds)
