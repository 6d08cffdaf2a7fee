"""What the agent has acknowledged is there once, whatever a power cut left of the rest."""

import asyncio
import csv
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from edge_etl_agent import segment
from edge_etl_agent.budget import Budget
from edge_etl_agent.clock import Clock
from edge_etl_agent.configuration import Storage
from edge_etl_agent.records import Reading
from edge_etl_agent.refusals import Refusal
from edge_etl_agent.segment import Segment
from edge_etl_agent.store import Store
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.edge import Pi

NOON = 1_772_366_400_000_000


@dataclass
class Time:
    """A clock that the test sets."""

    wall: int = NOON
    since_boot: int = 0
    right: bool = True
    boot: str = "first"

    def clock(self) -> Clock:
        return Clock(
            trusted=lambda: self.right,
            wall=lambda: self.wall,
            since_boot=lambda: self.since_boot,
            boot=self.boot,
        )


@dataclass
class Agent:
    """Stores that follow one another in a directory."""

    root: Path
    time: Time = field(default_factory=Time)
    state: Path | None = None

    def store(self, **storage: Any) -> Store:
        settings = Storage(**storage)
        budget = Budget(self.root, self.root, self.state, settings)
        return Store(self.root, settings, self.time.clock(), budget)

    def rows(self, stream: str = "readings") -> list[dict[str, str]]:
        """Return what an independent reader finds in the files that jobs see."""
        found = []
        for path in sorted((self.root / stream).glob("[0-9]*.csv")):
            with path.open(newline="") as lines:
                found += list(csv.DictReader(lines, strict=True))
        return found


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


def reading(number: int, time: int | None = NOON) -> Reading:
    return Reading(time, {"sensor_id": "a", "n": str(number)})


async def test_readings_are_there_for_jobs_when_the_store_is_closed(agent: Agent) -> None:
    async with agent.store() as store:
        assert await store.append("readings", [reading(1), reading(2, None)])
        assert list((agent.root / "readings").glob("[0-9]*.csv")) == []  # nothing that still grows
    assert agent.rows() == [
        {"timestamp": "2026-03-01T12:00:00Z", "sensor_id": "a", "n": "1"},
        {"timestamp": "2026-03-01T12:00:00Z", "sensor_id": "a", "n": "2"},
    ]


async def test_a_key_is_stored_once_also_by_the_next_process(agent: Agent) -> None:
    async with agent.store() as store:
        both = (store.append("readings", [reading(1)], "k") for _ in range(2))
        assert sorted(await asyncio.gather(*both)) == [False, True]
        assert await store.append("other", [reading(2)], "k")
    async with agent.store() as store:
        assert not await store.append("readings", [reading(1)], "k")
        assert await store.append("readings", [reading(3)], "k", again=False)
    assert [row["n"] for row in agent.rows()] == ["1", "3"]


async def test_old_keys_are_forgotten_and_numbers_go_on(agent: Agent) -> None:
    for number in range(4):
        async with agent.store(keys=2) as store:
            await store.append("readings", [reading(number)], f"k{number}")
    async with agent.store(keys=2) as store:
        assert not await store.append("readings", [reading(9)], "k3")
        assert await store.append("readings", [reading(9)], "k0")
    folder = agent.root / "readings"
    assert len(list(folder.glob(".*.commits"))) < 5
    for path in folder.glob("[0-9]*.csv"):
        path.unlink()
    async with agent.store() as store:
        await store.append("readings", [reading(5)])
    assert [path.name for path in folder.glob("[0-9]*.csv")] == ["0000000006.csv"]


async def test_a_new_column_begins_a_new_segment(agent: Agent) -> None:
    async with agent.store() as store:
        await store.append("readings", [reading(1)])
        await store.append("readings", [Reading(NOON, {"sensor_id": "b", "new": "x"})])
        await store.append("readings", [reading(2)])
    assert len(list((agent.root / "readings").glob("[0-9]*.csv"))) == 2
    assert [(row["n"], row.get("new")) for row in agent.rows()] == [
        ("1", None), ("", "x"), ("2", ""),
    ]  # fmt: skip


async def test_large_and_old_segments_are_closed(agent: Agent) -> None:
    async with agent.store(segment_bytes=50) as store:
        for number in range(4):
            await store.append("readings", [reading(number)])
        assert len(list((agent.root / "readings").glob("[0-9]*.csv"))) == 1
    async with agent.store(segment_seconds=1) as store:
        await store.append("readings", [reading(9)])
        async with asyncio.timeout(20):
            while len(agent.rows()) < 5:
                await asyncio.sleep(0.05)


async def test_names_and_numbers_of_things_are_limited(agent: Agent) -> None:
    async with agent.store(streams=1, columns=3, waiting=1) as store:
        await store.append("readings", [reading(1)])
        wide = Reading(NOON, {"a": "1", "b": "2"})
        for stream, readings, message in (
            ("../etc", [reading(1)], "is no stream"),
            ("second", [reading(1)], "1 streams already"),
            ("readings", [wide], "more than 3 columns"),
        ):
            with pytest.raises(Refusal, match=message):
                await store.append(stream, readings)
        # One that has too many columns does not take others with it.
        together = [store.append("readings", [reading(2)])]
        outcomes = await asyncio.gather(*together, return_exceptions=True)
        assert outcomes == [True]
    assert [row["n"] for row in agent.rows()] == ["1", "2"]


async def test_when_too_much_waits_senders_are_told(agent: Agent) -> None:
    async with agent.store(waiting=2) as store:
        three = (store.append("readings", [reading(number)]) for number in range(3))
        outcomes = await asyncio.gather(*three, return_exceptions=True)
        assert outcomes[:2] == [True, True]
        assert isinstance(outcomes[2], Refusal)
        assert outcomes[2].status == 429


async def test_undated_readings_wait_until_the_clock_is_right(agent: Agent) -> None:
    time = agent.time = Time(wall=5_000_000, since_boot=7_000_000, right=False)
    async with agent.store() as store:
        await store.append("readings", [reading(1, None), reading(2)])
        time.since_boot += 1_000_000
        await store.append("readings", [reading(3, None)])
    assert [row["n"] for row in agent.rows()] == ["2"]
    # A second later a time server sets the clock, in the next process but the same boot.
    time.wall, time.since_boot, time.right = NOON, 9_000_000, True
    await moved(agent, 3)
    assert [(row["n"], row["timestamp"]) for row in agent.rows()] == [
        ("2", "2026-03-01T12:00:00Z"),
        ("1", "2026-03-01T11:59:58Z"),
        ("3", "2026-03-01T11:59:59Z"),
    ]
    assert list((agent.root / ".undated").glob("[0-9]*.csv")) == []


async def test_undated_readings_of_an_earlier_boot_have_no_time(agent: Agent) -> None:
    agent.time.right = False
    async with agent.store() as store:
        await store.append("readings", [reading(1, None)])
    agent.time = Time(boot="second")
    await moved(agent, 1)
    assert [row["timestamp"] for row in agent.rows()] == [""]


async def moved(agent: Agent, rows: int) -> None:
    async with agent.store(), asyncio.timeout(20):
        while list((agent.root / ".undated").glob("[0-9]*.csv")):
            await asyncio.sleep(0.02)
    assert len(agent.rows()) == rows


async def test_the_budget_refuses_or_drops_as_it_is_told(agent: Agent) -> None:
    async with agent.store(budget_bytes=400, segment_bytes=60) as store:
        appends = [store.append("readings", [reading(number)]) for number in range(30)]
        outcomes = [(await asyncio.gather(each, return_exceptions=True))[0] for each in appends]
        refusals = [each.status for each in outcomes if isinstance(each, Refusal)]
        assert set(refusals) == {507}
        assert outcomes[: -len(refusals)] == [True] * (30 - len(refusals))
    kept = [row["n"] for row in agent.rows()]
    assert kept == [str(number) for number in range(len(kept))]
    async with agent.store(budget_bytes=400, segment_bytes=60, on_full="DropOldest") as store:
        for number in range(10, 14):
            await store.append("readings", [reading(number)])
        assert store.budget.dropped
    assert [row["n"] for row in agent.rows()][-4:] == ["10", "11", "12", "13"]


async def test_what_every_job_has_delivered_is_removed(tmp_path: Path) -> None:
    pi = Pi.at(tmp_path)
    states = tmp_path / "states" / "garden"
    states.mkdir(parents=True)
    (states / "air").symlink_to(pi.state)
    agent = Agent(pi.source, state=states.parent)
    numbers: dict[str, Any] = {
        "schema": {
            "fields": [{"name": "sensor_id", "type": "string"}, {"name": "n", "type": "double"}]
        }
    }
    await stored(agent, 1)
    pi.run("20260301-120000", **numbers)
    await stored(agent, 2)
    assert [row["n"] for row in agent.rows()] == ["2"]
    pi.run("20260301-120001", **numbers)
    # A second job reads the same files, but has seen only the first until now.
    shutil.copytree(pi.state, states / "other")
    await stored(agent, 3)
    assert [row["n"] for row in agent.rows()] == ["3"]
    pi.run("20260301-120002", **numbers)
    await stored(agent, 4)
    assert [row["n"] for row in agent.rows()] == ["3", "4"]


async def stored(agent: Agent, number: int) -> None:
    """Store a reading, in a process that has looked after what it may remove."""
    async with agent.store(keep_delivered_seconds=0) as store:
        store.budget.prune()
        await store.append("readings", [reading(number)])


@settings(max_examples=60, deadline=None)
@given(
    batches=st.lists(st.integers(1, 3), min_size=1, max_size=5),
    data_cut=st.integers(0, 200),
    log_cut=st.integers(0, 120),
    tail=st.binary(max_size=20),
)
def test_a_power_cut_leaves_whole_commits(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[int],
    data_cut: int,
    log_cut: int,
    tail: bytes,
) -> None:
    """Each file keeps some beginning of what was written; what both agree on must be there."""
    folder = tmp_path_factory.mktemp("stream")
    current = Segment(folder, 1, ("timestamp", "n"))
    states = [(0, 0)]
    content = b""
    for number, count in enumerate(batches):
        rows = b"".join(b"%d,%d\n" % (number, row) for row in range(count))
        current.commit(rows, [f"k{number}"])
        content += (b"" if content else b"timestamp,n\n") + rows
        states.append((len(content), (folder / ".0000000001.commits").stat().st_size))
    current.abandon()
    data, log = folder / ".0000000001.csv", folder / ".0000000001.commits"
    for path, cut in ((data, data_cut), (log, log_cut)):
        size = max(0, path.stat().st_size - cut)
        os.truncate(path, size)
    data_size, log_size = data.stat().st_size, log.stat().st_size
    with data.open("ab") as file:
        file.write(tail)
    whole = max(
        (
            number
            for number, (end, logged) in enumerate(states)
            if end <= data_size and logged <= log_size
        )
    )
    # What was appended behind it may happen to be what was there before.
    segment.recover(folder)
    kept = b"".join(path.read_bytes() for path in segment.closed(folder))
    ends = [end for end, _ in states]
    assert len(kept) in ends[whole:]
    assert content.startswith(kept)
    assert segment.remembered(folder, 100) == [f"k{each}" for each in range(ends.index(len(kept)))]


@pytest.fixture(autouse=True)
async def _ends() -> AsyncIterator[None]:
    yield
    assert len(asyncio.all_tasks()) <= 2
