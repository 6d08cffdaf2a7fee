"""Slots for uploads, and room on the volume."""

import asyncio
from contextlib import ExitStack

import pytest
from edge_etl_job.landing.limits import Gate, Limits, Space
from edge_etl_job.results import ResultError

MB = 1_000_000


async def test_uploads_beyond_the_slots_wait_for_one() -> None:
    gate = Gate(Limits(uploads=2))
    leave = asyncio.Event()
    inside: list[int] = []

    async def upload(number: int) -> None:
        async with gate.slot():
            inside.append(number)
            await leave.wait()

    async with asyncio.TaskGroup() as tasks:
        for number in range(5):
            tasks.create_task(upload(number))
        for _ in range(10):
            await asyncio.sleep(0)
        assert inside == [0, 1]
        leave.set()
    assert sorted(inside) == [0, 1, 2, 3, 4]


async def test_who_waits_too_long_is_sent_away_and_the_slot_is_not_lost() -> None:
    gate = Gate(Limits(uploads=1, patience=0.001))
    async with gate.slot():
        with pytest.raises(ResultError, match="under way") as refused:
            await gate.slot().__aenter__()
        assert refused.value.reason == "Busy"
    async with gate.slot():
        pass


async def test_too_many_who_wait_are_sent_away_at_once() -> None:
    gate = Gate(Limits(uploads=1, waiting=1))
    async with gate.slot():
        waiting = asyncio.create_task(gate.slot().__aenter__())
        await asyncio.sleep(0)
        with pytest.raises(ResultError, match="waiting already"):
            await gate.slot().__aenter__()
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


def test_room_is_what_is_free_without_the_reserve_and_what_was_promised() -> None:
    space = Space()
    with space.room(40 * MB, free=100 * MB, reserve=10 * MB) as first:
        with pytest.raises(ResultError) as refused:
            ExitStack().enter_context(space.room(51 * MB, free=100 * MB, reserve=10 * MB))
        assert refused.value.reason == "ResultsFull"
        assert "enlarge the volume" in refused.value.message
        with space.room(50 * MB, free=100 * MB, reserve=10 * MB):
            pass
        # What has arrived is counted by the volume, no longer by the promise.
        first.used(40 * MB)
        with space.room(50 * MB, free=60 * MB, reserve=10 * MB):
            pass
    with space.room(90 * MB, free=100 * MB, reserve=10 * MB):
        pass


async def test_a_closed_gate_lets_nobody_in_and_waits_for_those_inside() -> None:
    gate = Gate(Limits(uploads=2))
    async with gate.slot():
        closing = asyncio.create_task(gate.close(60))
        await asyncio.sleep(0)
        with pytest.raises(ResultError, match="ending"):
            await gate.slot().__aenter__()
        assert not closing.done()
    await closing


async def test_a_closed_gate_does_not_wait_for_ever() -> None:
    gate = Gate(Limits())
    async with gate.slot():
        await gate.close(0.001)
