"""What keeps the service small and its volume usable, however many Pis come at once."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass

from edge_etl_job.landing.refusals import BUSY
from edge_etl_job.results.errors import RESULTS_FULL, ResultError


@dataclass(frozen=True)
class Limits:
    """The bounds of one service; sizes in bytes, times in seconds."""

    file: int = 1 << 30
    manifest: int = 8 << 20
    reserve: int = 64 << 20
    uploads: int = 16
    waiting: int = 256
    patience: float = 20
    silence: float = 60
    stale: float = 3600
    """An upload that nobody wrote to for so long is dead, as is an attempt whose node committed."""
    dead: float = 86400
    """Any other attempt that nobody wrote to for so long."""


class Gate:
    """Lets some uploads in at a time; others wait a little, then are asked to come back."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._slots = asyncio.Semaphore(limits.uploads)
        self._waiting = 0
        self._closed = False

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one of the slots."""
        if self._closed:
            raise ResultError(BUSY, "the service is ending")
        if self._waiting >= self._limits.waiting:
            raise ResultError(BUSY, f"{self._waiting} uploads are waiting already")
        self._waiting += 1
        try:
            async with asyncio.timeout(self._limits.patience):
                await self._slots.acquire()
        except TimeoutError:
            raise ResultError(BUSY, f"{self._limits.uploads} uploads are under way") from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    async def close(self, seconds: float) -> None:
        """Let nobody in any more, and wait so long until those who are inside have left."""
        self._closed = True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                for _ in range(self._limits.uploads):
                    await self._slots.acquire()


class Promise:
    """Room on the volume that an upload will fill."""

    def __init__(self, size: int) -> None:
        self.left = size

    def used(self, size: int) -> None:
        """Say that some of it is filled: the volume itself counts it from now on."""
        self.left -= size


class Space:
    """Refuses what the volume would have no room for, counting also what is still to arrive."""

    def __init__(self) -> None:
        self._promises: set[Promise] = set()

    @contextmanager
    def room(self, size: int, free: int, reserve: int) -> Iterator[Promise]:
        """Promise room for an upload: of the free bytes so many are kept in reserve."""
        promised = sum(promise.left for promise in self._promises)
        if free - promised - size < reserve:
            message = (
                f"the results volume has {free} bytes left, {promised} of them promised, and "
                f"{reserve} are kept free: no room for {size} more; enlarge the volume or "
                "remove old runs"
            )
            raise ResultError(RESULTS_FULL, message)
        promise = Promise(size)
        self._promises.add(promise)
        try:
            yield promise
        finally:
            self._promises.remove(promise)
