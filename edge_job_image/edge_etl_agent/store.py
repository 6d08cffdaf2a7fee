"""The store: all streams, and the one writer that makes readings durable in groups.

Whatever arrives while the disk is busy is written together next: so many small senders wait for
few fsyncs. A sender is answered only afterwards.
"""

import asyncio
import errno
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Final

from edge_etl_job.logs import log

from edge_etl_agent.budget import Budget
from edge_etl_agent.clock import Clock
from edge_etl_agent.configuration import Storage
from edge_etl_agent.facts import Facts
from edge_etl_agent.records import Reading
from edge_etl_agent.refusals import BAD_READING, BUSY, FULL, UNAVAILABLE, Refusal
from edge_etl_agent.stream import Stream
from edge_etl_agent.undated import Undated

_STREAM: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_TICK_SECONDS: Final = 1.0
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


@dataclass(eq=False)
class _Batch:
    stream: str
    readings: Sequence[Reading]
    key: str | None
    done: asyncio.Future[None]


@dataclass
class Store:
    """Readings of all streams below a directory. ``async with`` opens and closes it."""

    root: Path
    storage: Storage
    clock: Clock
    budget: Budget
    facts: Facts = field(default_factory=Facts)
    _streams: dict[str, Stream] = field(default_factory=dict)
    _keys: dict[str, asyncio.Future[None] | None] = field(default_factory=dict)
    """Past keys with None, and those on their way; the oldest first."""
    _queue: list[_Batch] = field(default_factory=list)
    _waiting: int = 0
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _ending: bool = False
    _writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "Store":
        await asyncio.to_thread(self._open)
        self._writer = asyncio.create_task(self._write())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._ending = True
        self._wake.set()
        if self._writer:
            await self._writer

    def _open(self) -> None:
        self._undated = Undated(self.root / ".undated", self.clock)
        for folder in sorted(self.root.iterdir()):
            if folder.is_dir() and _STREAM.fullmatch(folder.name):
                self._stream(folder.name)
        self.budget.measure()

    async def failed(self) -> None:
        """Return never; raise what ended the writer, without whom nothing can be stored."""
        assert self._writer  # noqa: S101 - opened
        await asyncio.shield(self._writer)

    async def append(
        self,
        stream: str,
        readings: Sequence[Reading],
        key: str | None = None,
        *,
        again: bool = True,
    ) -> bool:
        """Store readings durably; return False when their key says that they are there already.

        A sender that knows that it sends them for the first time says so by ``again``. Raise
        Refusal; then none of them is stored, unless the process dies at that moment.
        """
        if not _STREAM.fullmatch(stream):
            message = f"{stream[:80]!r} is no stream: lower-case letters, digits and -, at most 63"
            raise Refusal(BAD_READING, message)
        digest = None if key is None else _digest(stream, key)
        if again and digest is not None and digest in self._keys:
            if future := self._keys[digest]:
                await asyncio.shield(future)
            return False
        if self._ending:
            raise Refusal(UNAVAILABLE, "the agent is ending")
        if self._waiting + len(readings) > self.storage.waiting and self._waiting:
            raise Refusal(BUSY, f"{self._waiting} readings are waiting for the disk")
        batch = _Batch(stream, readings, digest, asyncio.get_running_loop().create_future())
        if digest is not None:
            self._keys[digest] = batch.done
        self._enqueue(batch)
        # The sender may go away; what it sent is stored nevertheless, or not at all.
        await asyncio.shield(batch.done)
        return True

    def _enqueue(self, batch: _Batch) -> None:
        self._queue.append(batch)
        self._waiting += len(batch.readings)
        self._wake.set()

    async def _write(self) -> None:
        ticked = 0.0
        loop = asyncio.get_running_loop()
        while not (self._ending and not self._queue):
            try:
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            group, self._queue = self._queue, []
            if group:
                outcomes = await asyncio.to_thread(self._commit, group)
                for batch, outcome in zip(group, outcomes, strict=True):
                    self._settle(batch, outcome)
            if loop.time() - ticked >= _TICK_SECONDS:
                ticked = loop.time()
                await asyncio.to_thread(self._guarded, self._tick)
            if self._ending:
                self._wake.set()
        await asyncio.to_thread(self._guarded, self._close)

    def _settle(self, batch: _Batch, outcome: Refusal | None) -> None:
        self._waiting -= len(batch.readings)
        if batch.key is not None:
            self._keys.pop(batch.key, None)
            if outcome is None:
                self._keys[batch.key] = None
                while len(self._keys) > self.storage.keys and None in self._keys.values():
                    self._keys.pop(next(key for key, on in self._keys.items() if on is None))
        if batch.done.cancelled():
            return
        if outcome is None:
            batch.done.set_result(None)
        else:
            batch.done.set_exception(outcome)
            batch.done.exception()  # it is no mistake when nobody waits any more

    def _commit(self, group: Sequence[_Batch]) -> list[Refusal | None]:
        """Make a group durable, stream by stream; return what became of each batch."""
        outcomes: dict[int, Refusal | None] = {}
        for name in dict.fromkeys(batch.stream for batch in group):
            batches = [batch for batch in group if batch.stream == name]
            refusal = self._attempt(name, batches)
            if refusal is not None and refusal.reason == BAD_READING and len(batches) > 1:
                # One of them has too many columns: the others must not suffer for it.
                for batch in batches:
                    outcomes[id(batch)] = self._attempt(name, [batch])
                continue
            outcomes |= dict.fromkeys(map(id, batches), refusal)
        return [outcomes[id(batch)] for batch in group]

    def _attempt(self, name: str, batches: Sequence[_Batch]) -> Refusal | None:
        readings = [reading for batch in batches for reading in batch.readings]
        keys = [batch.key for batch in batches if batch.key is not None]
        try:
            self.budget.make_room()
            stream = self._stream(name)
            if self.clock.believable:
                dated = [self._dated(each) for each in readings]
                size = stream.commit(dated, keys)
            else:
                dated = [each for each in readings if each.time is not None]
                undated = [each for each in readings if each.time is None]
                size = self._undated.commit(name, undated) if undated else 0
                size += stream.commit(dated, keys) if dated else 0
        except Refusal as refusal:
            return refusal
        except OSError as error:
            return _refused(error)
        self.budget.used += size
        self.facts.stored(name, dated or readings, size)
        return None

    def _dated(self, reading: Reading) -> Reading:
        return reading if reading.time is not None else replace(reading, time=self.clock.now())

    def _stream(self, name: str) -> Stream:
        stream = self._streams.get(name)
        if stream is None:
            if len(self._streams) >= self.storage.streams:
                raise Refusal(BAD_READING, f"there are {len(self._streams)} streams already")
            stream = self._streams[name] = Stream(self.root / name, self.storage)
            self._keys |= dict.fromkeys(stream.keys)
            if stream.repaired:
                facts = {"stream": name, "segments": len(stream.repaired)}
                log.info("took over what an earlier process left", extra=facts)
        return stream

    def _tick(self) -> None:
        for stream in self._streams.values():
            stream.tick()
        if self.clock.believable:
            self._date()
        self.budget.prune()

    def _date(self) -> None:
        """Move what waited for the clock; keys see to it that a kill doubles nothing."""
        for path, streams in self._undated.waiting():
            for name, readings in streams.items():
                key = _digest(name, f"undated/{path.name}")
                stream = self._stream(name)
                if key not in self._keys:
                    self.budget.used += stream.commit(readings, [key])
                    self._keys[key] = None
            self.budget.used -= self._undated.forget(path)

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


def _digest(stream: str, key: str) -> str:
    return blake2b(f"{stream}\0{key}".encode(errors="surrogatepass"), digest_size=8).hexdigest()


def _refused(error: OSError) -> Refusal:
    if error.errno in _FULL:
        return Refusal(FULL, "no space is left on the disk")
    log.error("%s", error, extra={"reason": UNAVAILABLE})
    return Refusal(UNAVAILABLE, f"the disk cannot be written: {error.strerror}")
