"""Whose turn it is: bells are rung for keys, and one piece of work at a time is done for each.

The rules are those of client-go's work queue. A bell that rings while its key is at work is not
lost: the work is done once more afterwards. Many rings before the work begins are one.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import Final, Generic, TypeVar

from edge_etl_operator import metrics

log = logging.getLogger(__name__)

FIRST_BACKOFF_SECONDS: Final = 0.5
LONGEST_BACKOFF_SECONDS: Final = 60.0

REST: Final = 8
"""A key rests after its work for so many times what the work took: of many rings in a row (a
thousand pods that end) most are answered together, and a key cannot take all the time. What takes
a few milliseconds is as good as immediate."""

LONGEST_REST_SECONDS: Final = 1.0

Key = TypeVar("Key", bound=Hashable)


class WorkQueue(Generic[Key]):
    """Runs ``work`` for keys; its result is the delay in seconds after which it is done again.

    When it raises, it is done again after a delay that doubles each time. An expected error is a
    matter of one line in the log.
    """

    def __init__(
        self,
        work: Callable[[Key], Awaitable[float | None]],
        *,
        workers: int = 8,
        expected: tuple[type[Exception], ...] = (),
    ) -> None:
        self._work = work
        self._workers = workers
        self._expected = expected
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        self._waiting: set[Key] = set()
        self._busy: set[Key] = set()
        self._again: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._within: dict[Key, asyncio.TimerHandle] = {}
        self._resting: set[Key] = set()

    @property
    def depth(self) -> int:
        """How many keys wait for their turn."""
        return self._ready.qsize()

    def ring(self, key: Key) -> None:
        """Have the work for a key done soon."""
        if key in self._busy or key in self._resting:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.put_nowait(key)

    def ring_within(self, key: Key, seconds: float) -> None:
        """Have the work for a key done once that time is over, or with the next ring before."""
        if key not in self._within:
            loop = asyncio.get_running_loop()
            self._within[key] = loop.call_later(seconds, self._time_is_up, key)

    def _time_is_up(self, key: Key) -> None:
        self._within.pop(key, None)
        self.ring(key)

    async def run(self) -> None:
        """Work until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._worker())

    async def _worker(self) -> None:
        while True:
            key = await self._ready.get()
            self._waiting.discard(key)
            self._busy.add(key)
            if timer := self._within.pop(key, None):
                timer.cancel()
            begun = time.monotonic()
            try:
                delay = await self._attempt(key)
            finally:
                self._busy.discard(key)
            rest = min(LONGEST_REST_SECONDS, REST * (time.monotonic() - begun))
            self._resting.add(key)
            self._later(key, max(delay, rest) if delay else delay)
            asyncio.get_running_loop().call_later(rest, self._rested, key)

    def _rested(self, key: Key) -> None:
        self._resting.discard(key)
        if key in self._again:
            self._again.discard(key)
            # Rings that come in thick and fast must not get around the back-off.
            if key not in self._failures:
                self.ring(key)

    async def _attempt(self, key: Key) -> float | None:
        try:
            with metrics.RECONCILE_SECONDS.time():
                delay = await self._work(key)
        except Exception as error:
            metrics.RECONCILE_ERRORS.labels(type(error).__name__).inc()
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            delay = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** (failures - 1))
            expected = isinstance(error, self._expected)
            log.warning(
                "reconcile failed, trying again: %s",
                error,
                extra={"key": str(key), "failures": failures, "delay_seconds": delay},
                exc_info=None if expected else error,
            )
            return delay
        self._failures.pop(key, None)
        return delay

    def _later(self, key: Key, delay: float | None) -> None:
        """Ring for a key after a delay; a newer delay replaces the one before."""
        if timer := self._timers.pop(key, None):
            timer.cancel()
        if delay is not None:
            loop = asyncio.get_running_loop()
            self._timers[key] = loop.call_later(delay, self._ring_later, key)

    def _ring_later(self, key: Key) -> None:
        self._timers.pop(key, None)
        self._resting.discard(key)
        self.ring(key)
