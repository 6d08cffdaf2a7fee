"""What the agent has acknowledged is there once, whatever a power cut left of the rest."""

import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest
from edge_etl_agent import segment
from edge_etl_agent.budget import Budget
from edge_etl_agent.clock import Clock
from edge_etl_agent.configuration import Storage
from edge_etl_agent.segment import Segment
from edge_etl_agent.store import Store
from edge_etl_engine import Intake
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.agent import stored_rows
from tests.support.cluster.kube import until
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
    intake: Intake = field(default_factory=lambda: Intake(1000, 1 << 20))

    def store(self, **storage: Any) -> Store:
        settings = Storage(**storage)
        budget = Budget(self.root, self.root, self.state, settings)
        return Store(self.root, settings, self.time.clock(), budget)

    def put(
        self, ticket: int, time: int | None = NOON, stream: str = "readings",
        key: str | None = None, again: bool = True, **values: str,
    ) -> None:  # fmt: skip
        """Let a reading arrive."""
        values = {"sensor_id": "a", "n": str(ticket)} | values
        payload = values if time is None else {"timestamp": time} | values
        self.intake.put(stream, [], None, msgspec.json.encode(payload), key, again, ticket)

    def stored(self, store: Store) -> dict[int, str | None]:
        """Store what has arrived; return the tickets that are settled, with why if refused."""
        while parts := self.intake.take(0):
            for part in parts:
                store.store(part)
        return {ticket: refusal and refusal[0] for ticket, refusal in self.intake.settled()}

    def append(self, store: Store, ticket: int, *rest: Any, **others: Any) -> str | None:
        """Let a reading arrive and be stored; return why it was refused."""
        self.put(ticket, *rest, **others)
        return self.stored(store)[ticket]

    def rows(self, stream: str = "readings") -> list[dict[str, str]]:
        return stored_rows(self.root / stream)


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    return Agent(tmp_path)


def test_readings_are_there_for_jobs_when_the_store_is_closed(agent: Agent) -> None:
    with agent.store() as store:
        agent.put(1)
        agent.put(2, None)
        agent.put(3, None)
        assert agent.stored(store) == {1: None, 2: None, 3: None}
        assert list((agent.root / "readings").glob("[0-9]*.csv")) == []  # nothing that still grows
    assert agent.rows() == [
        {"timestamp": "2026-03-01T12:00:00Z", "sensor_id": "a", "n": "1"},
        {"timestamp": "2026-03-01T12:00:00Z", "sensor_id": "a", "n": "2"},
        {"timestamp": "2026-03-01T12:00:00.000001Z", "sensor_id": "a", "n": "3"},
    ]


def test_a_key_is_stored_once_also_by_the_next_process(agent: Agent) -> None:
    with agent.store() as store:
        for ticket in (1, 2):
            agent.put(ticket, key="k")
        agent.put(3, stream="other", key="k")
        assert agent.stored(store) == {1: None, 2: None, 3: None}
    assert [row["n"] for row in agent.rows("other")] == ["3"]
    with agent.store() as store:
        agent.append(store, 4, key="k")
        agent.append(store, 5, key="k", again=False)
    assert [row["n"] for row in agent.rows()] == ["1", "5"]


def test_a_reading_that_comes_again_is_stored_once_also_by_the_next_process(agent: Agent) -> None:
    with agent.store() as store:
        for ticket, n in ((1, "x"), (2, "x"), (3, "y")):
            agent.put(ticket, n=n)
        assert agent.stored(store) == {1: None, 2: None, 3: None}
        agent.append(store, 4, n="x", key="k")
        agent.append(store, 5, stream="other", n="x")
        # Nobody said when these were: each may be another one.
        agent.append(store, 6, None, n="x")
        agent.append(store, 7, None, n="x")
    assert [row["n"] for row in agent.rows()] == ["x", "y", "x", "x"]
    facts = store.facts.streams["readings"]
    assert (facts.readings, facts.duplicates) == (4, {"reading": 2})
    with agent.store() as store:
        # A column more makes the line longer, and not another one.
        agent.append(store, 8, n="z", new="1")
        agent.append(store, 9, n="y")
        agent.append(store, 10, n="x", stream="other")
        agent.append(store, 11, n="x", key="k")
        assert store.facts.streams["readings"].duplicates == {"reading": 1, "key": 1}
    assert [row["n"] for row in agent.rows()] == ["x", "y", "x", "x", "z"]
    assert len(agent.rows("other")) == 1


def test_the_newest_readings_are_known_and_none_if_none_is_to_be(agent: Agent) -> None:
    for number in range(4):
        with agent.store(recent=2) as store:
            agent.append(store, number)
    with agent.store(recent=2) as store:
        agent.append(store, 10, n="3")
        agent.append(store, 11, n="0")
    with agent.store(recent=0) as store:
        agent.append(store, 12, n="0")
    assert [row["n"] for row in agent.rows()] == ["0", "1", "2", "3", "0", "0"]


def test_a_reading_that_could_not_be_stored_is_new_when_it_comes_again(agent: Agent) -> None:
    folder, away = agent.root / "readings", agent.root / "away"
    with agent.store(segment_bytes=1) as store:
        agent.append(store, 1)
        folder.rename(away)
        assert agent.append(store, 2) == "Unavailable"
        away.rename(folder)
        agent.append(store, 20, n="2")
        agent.append(store, 10, n="1")
    assert [row["n"] for row in agent.rows()] == ["1", "2"]


def test_old_keys_are_forgotten_and_numbers_go_on(agent: Agent) -> None:
    for number in range(4):
        with agent.store(keys=2) as store:
            agent.append(store, number, key=f"k{number}")
    with agent.store(keys=2) as store:
        agent.append(store, 8, key="k3")
        agent.append(store, 9, key="k0")
    assert [row["n"] for row in agent.rows()] == ["0", "1", "2", "3", "9"]
    folder = agent.root / "readings"
    assert len(list(folder.glob(".*.commits"))) < 5
    for path in folder.glob("[0-9]*.csv"):
        path.unlink()
    with agent.store() as store:
        agent.append(store, 5)
    assert [path.name for path in folder.glob("[0-9]*.csv")] == ["0000000006.csv"]


def test_a_new_column_begins_a_new_segment(agent: Agent) -> None:
    with agent.store() as store:
        agent.append(store, 1)
        agent.append(store, 2, new="x")
        agent.append(store, 3)
    assert len(list((agent.root / "readings").glob("[0-9]*.csv"))) == 2
    assert [(row["n"], row.get("new")) for row in agent.rows()] == [
        ("1", None), ("2", "x"), ("3", ""),
    ]  # fmt: skip


def test_large_and_old_segments_are_closed(agent: Agent) -> None:
    with agent.store(segment_bytes=50) as store:
        for number in range(4):
            agent.append(store, number)
        assert len(list((agent.root / "readings").glob("[0-9]*.csv"))) == 1
    with agent.store(segment_seconds=1) as store:
        agent.append(store, 9)

        def closed() -> bool:
            store.tick()
            return len(agent.rows()) == 5

        until(closed, "the segment is closed", every=0.05)


def test_names_and_numbers_of_things_are_limited(agent: Agent) -> None:
    with agent.store(streams=1, columns=3) as store:
        agent.put(1)
        agent.put(2, more="x")
        agent.put(3)
        agent.put(4, stream="second")
        # One that has too many columns does not take others with it.
        assert agent.stored(store) == {1: None, 2: "BadReading", 3: None, 4: "BadReading"}
    assert [row["n"] for row in agent.rows()] == ["1", "3"]


def test_when_too_much_waits_senders_are_told(agent: Agent) -> None:
    agent.intake = Intake(2, 1 << 20)
    with agent.store() as store:
        agent.put(1)
        agent.put(2)
        with pytest.raises(ValueError, match="Busy"):
            agent.put(3)
        agent.stored(store)
        assert agent.append(store, 4) is None


def test_undated_readings_wait_until_the_clock_is_right(agent: Agent) -> None:
    time = agent.time = Time(wall=5_000_000, since_boot=7_000_000, right=False)
    with agent.store() as store:
        agent.put(1, None, key="k1")
        agent.put(2)
        assert agent.stored(store) == {1: None, 2: None}
        time.since_boot += 1_000_000
        agent.append(store, 3, None)
    assert [row["n"] for row in agent.rows()] == ["2"]
    with agent.store() as store:
        agent.append(store, 1, None, key="k1")  # sent again: it waits already
    # A second later a time server sets the clock, in the next process but the same boot.
    time.wall, time.since_boot, time.right = NOON, 9_000_000, True
    moved(agent)
    assert [(row["n"], row["timestamp"]) for row in agent.rows()] == [
        ("2", "2026-03-01T12:00:00Z"),
        ("1", "2026-03-01T11:59:58Z"),
        ("3", "2026-03-01T11:59:59Z"),
    ]
    with agent.store() as store:
        agent.append(store, 1, key="k1")
    assert len(agent.rows()) == 3


def test_undated_readings_of_an_earlier_boot_have_no_time(agent: Agent) -> None:
    agent.time.right = False
    with agent.store() as store:
        agent.append(store, 1, None)
    agent.time = Time(boot="second")
    moved(agent)
    assert [row["timestamp"] for row in agent.rows()] == [""]


def moved(agent: Agent) -> None:
    with agent.store() as store:
        store.tick()
        assert list((agent.root / ".undated").glob("[0-9]*.csv")) == []


def test_the_budget_refuses_or_drops_as_it_is_told(agent: Agent) -> None:
    with agent.store(budget_bytes=400, segment_bytes=60) as store:
        outcomes = [agent.append(store, number) for number in range(30)]
    stored = outcomes.count(None)
    assert 0 < stored < 30
    assert outcomes == [None] * stored + ["Full"] * (30 - stored)
    assert [row["n"] for row in agent.rows()] == [str(number) for number in range(stored)]
    with agent.store(budget_bytes=400, segment_bytes=60, on_full="DropOldest") as store:
        for number in range(50, 54):
            assert agent.append(store, number) is None
        assert store.budget.dropped
    assert [row["n"] for row in agent.rows()][-4:] == ["50", "51", "52", "53"]


def test_what_is_to_stay_free_is_not_written(agent: Agent) -> None:
    free = shutil.disk_usage(agent.root).free
    with agent.store(reserve_bytes=2 * free) as store:
        assert agent.append(store, 1) == "Full"
    with agent.store(reserve_bytes=free // 2, budget_bytes=1 << 60) as store:
        assert agent.append(store, 2) is None
        # Also what was written since the disk was asked counts.
        store.budget.used += free
        assert agent.append(store, 3) == "Full"
    assert [row["n"] for row in agent.rows()] == ["2"]


def test_what_every_job_has_delivered_is_removed(tmp_path: Path) -> None:
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
    store(agent, 1)
    pi.run("20260301-120000", **numbers)
    store(agent, 2)
    assert [row["n"] for row in agent.rows()] == ["2"]
    pi.run("20260301-120001", **numbers)
    # A second job reads the same files, but has seen only the first until now.
    shutil.copytree(pi.state, states / "other")
    store(agent, 3)
    assert [row["n"] for row in agent.rows()] == ["3"]
    pi.run("20260301-120002", **numbers)
    store(agent, 4)
    assert [row["n"] for row in agent.rows()] == ["3", "4"]


def store(agent: Agent, number: int) -> None:
    """Store a reading, in a process that has looked after what it may remove."""
    with agent.store(keep_delivered_seconds=0) as store:
        store.budget.prune()
        agent.append(store, number)


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
