"""The work queue: one piece of work at a time for a key, no ring lost, back-off after errors."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from edge_etl_operator import workqueue
from edge_etl_operator.workqueue import WorkQueue

Work = Callable[[str], Awaitable[float | None]]


@asynccontextmanager
async def running(work: Work) -> AsyncIterator[WorkQueue[str]]:
    queue: WorkQueue[str] = WorkQueue(work, workers=4, expected=(OSError,))
    task = asyncio.create_task(queue.run())
    yield queue
    task.cancel()
    await asyncio.wait([task])


async def test_a_ring_during_the_work_is_done_afterwards_and_never_at_the_same_time() -> None:
    at_work, most, done = 0, 0, 0
    begun, go_on, twice = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work(key: str) -> None:
        nonlocal at_work, most, done
        at_work += 1
        most = max(most, at_work)
        begun.set()
        await go_on.wait()
        at_work -= 1
        done += 1
        if done == 2:
            twice.set()

    async with running(work) as queue, asyncio.timeout(10):
        queue.ring("a")
        await begun.wait()
        for _ in range(5):
            queue.ring("a")
        go_on.set()
        await twice.wait()
    assert (most, done) == (1, 2)


async def test_keys_do_not_wait_for_one_another() -> None:
    both, met = asyncio.Barrier(2), asyncio.Event()

    async def work(key: str) -> None:
        await both.wait()
        met.set()

    async with running(work) as queue, asyncio.timeout(10):
        queue.ring("a")
        queue.ring("b")
        await met.wait()


async def test_work_is_done_again_after_its_delay_and_after_errors(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workqueue, "FIRST_BACKOFF_SECONDS", 0.001)
    calls, end = 0, asyncio.Event()

    async def work(key: str) -> float | None:
        nonlocal calls
        calls += 1
        match calls:
            case 1:
                return 0.0
            case 2:
                raise OSError("the API server is away")
            case 3:
                raise ValueError("a mistake in the operator")
        end.set()
        return None

    with caplog.at_level(logging.WARNING):
        async with running(work) as queue, asyncio.timeout(10):
            queue.ring("a")
            await end.wait()
    first, second = caplog.records
    assert "the API server is away" in first.getMessage()
    assert first.exc_info is None
    assert second.exc_info is not None


async def test_rings_do_not_get_around_the_back_off() -> None:
    calls = 0
    failed = asyncio.Event()

    async def work(key: str) -> None:
        nonlocal calls
        calls += 1
        queue.ring(key)
        failed.set()
        raise OSError("no")

    async with running(work) as queue:
        queue.ring("a")
        await failed.wait()
        for _ in range(50):
            await asyncio.sleep(0)
    assert calls == 1


async def test_what_may_wait_is_done_with_the_next_ring_or_when_its_time_is_over() -> None:
    done: asyncio.Queue[str] = asyncio.Queue()

    async def work(key: str) -> None:
        await done.put(key)

    async with running(work) as queue, asyncio.timeout(10):
        queue.ring_within("a", 0.001)
        assert await done.get() == "a"
        queue.ring_within("b", 3600)
        queue.ring("b")
        assert await done.get() == "b"
        # The ring was the answer to both: another hour may begin.
        assert not queue._within
