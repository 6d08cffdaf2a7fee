"""Killed at any moment, retried, killed again: what was written is delivered, and nothing twice."""

import random
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from edge_etl_job.ledger import Ledger
from edge_etl_job.results import ResultStore

from tests.support.edge import Pi, csv, reading

KILLS = 50
Result = TypeVar("Result")


@pytest.fixture
def pi(tmp_path: Path) -> Pi:
    return Pi.at(tmp_path)


class Killed(BaseException):
    """Stands for the end of the process at a certain instruction."""


class Mortal:
    """A real store with which the process dies before or behind a call."""

    def __init__(self, store: ResultStore, call: str, *, behind: bool) -> None:
        self.at_once = store.at_once
        self._store = store
        self._call = call
        self._behind = behind

    def dataset_id(self) -> str:
        return self._store.dataset_id()

    def runs(self) -> Sequence[str]:
        return self._store.runs()

    def manifest(self, run: str) -> bytes | None:
        return self._store.manifest(run)

    def put(self, name: str, file: Path, sha256: str) -> None:
        self._do("put", lambda: self._store.put(name, file, sha256))

    def commit(self, manifest: bytes) -> bytes:
        return self._do("commit", lambda: self._store.commit(manifest))

    def _do(self, call: str, action: Callable[[], Result]) -> Result:
        if call == self._call and not self._behind:
            raise Killed
        result = action()
        if call == self._call:
            raise Killed
        return result


def attempt(pi: Pi, name: str, run_id: str, dies: tuple[str, bool], **over: Any) -> None:
    store = Mortal(pi.store(run_id, name), dies[0], behind=dies[1])
    with pytest.raises(Killed):
        pi.deliver(run_id, name, store=store, **over)


@pytest.mark.parametrize(
    ("dies", "stands"),
    [
        (("put", False), "b"),
        (("put", True), "b"),
        (("commit", False), "b"),
        (("commit", True), "a"),
    ],
    ids=lambda value: str(value),
)
@pytest.mark.parametrize("next_run", ["20190401-000000", "20190401-000001"])
def test_each_step_of_the_commit_can_be_the_last(
    dies: tuple[str, bool], stands: str, next_run: str, pi: Pi
) -> None:
    pi.write("a.csv", csv(reading(1)))
    attempt(pi, "a", "20190401-000000", dies)
    with Ledger(pi.state) as ledger:
        assert (ledger.pending() is not None) == (dies[0] == "commit")
    pi.write("b.csv", csv(reading(2)))
    pi.deliver(next_run, "b")
    assert pi.manifests()[0].attempt == stands
    pi.deliver("20190401-000009", "c")
    assert Counter(row["timestamp"].second for row in pi.delivered()) == Counter([1, 2])
    with Ledger(pi.state) as ledger:
        assert ledger.pending() is None


@pytest.mark.parametrize("behind", [False, True])
def test_what_is_read_again_on_request_is_delivered_once(behind: bool, pi: Pi) -> None:
    pi.write("a.csv", csv(reading(1, value="1500"), reading(2)))
    pi.deliver("20190401-000000")
    fields = [
        {"name": "sensor_id", "type": "string"},
        {"name": "pm10", "from": ["P1"], "type": "double"},
    ]
    over: dict[str, Any] = {"replay": "now", "schema": {"fields": fields}}
    attempt(pi, "a", "20190401-000001", ("commit", behind), **over)
    for run_id in ("20190401-000002", "20190401-000003"):
        pi.deliver(run_id, "b", **over)
    assert [row["timestamp"].second for row in pi.delivered()] == [2, 1]


def test_what_another_attempt_delivered_does_not_move_this_ledger(pi: Pi) -> None:
    pi.write("a.csv", csv(reading(1)))
    attempt(pi, "a", "20190401-000000", ("commit", False))
    old_card = pi.state.rename(pi.root / "old-card")
    (pi.source / "a.csv").rename(pi.root / "a.csv")
    pi.write("b.csv", csv(reading(2)))
    pi.deliver("20190401-000000", "b")
    # The SD card of before comes back, with a ledger that waits for the fate of attempt a.
    shutil.rmtree(pi.state)
    old_card.rename(pi.state)
    (pi.root / "a.csv").rename(pi.source / "a.csv")
    pi.deliver("20190401-000001", "c")
    assert {row["timestamp"].second for row in pi.delivered()} == {1, 2}


class Overtaken(Mortal):
    """A real store in which another attempt commits first."""

    other: Callable[[], object]

    def commit(self, manifest: bytes) -> bytes:
        self.other()
        return self._store.commit(manifest)


def test_an_attempt_that_was_overtaken_reports_the_other_and_delivers_in_the_next_run(
    pi: Pi,
) -> None:
    other = Pi.at(pi.root / "other")
    other.results.rmdir()
    other.results.symlink_to(pi.results)
    other.write("b.csv", csv(reading(2)))
    pi.write("a.csv", csv(reading(1)))
    store = Overtaken(pi.store("20190401-000000", "late"), "", behind=False)
    store.other = lambda: other.deliver("20190401-000000", "first")
    assert pi.deliver("20190401-000000", "late", store=store).attempt == "first"
    assert pi.deliver("20190401-000001", "again").rows_clean == 1
    assert [row["timestamp"].second for row in pi.delivered()] == [2, 1]


def moments(chance: random.Random) -> Iterator[str | float]:
    """Yield when to kill: behind a log event, or after some seconds."""
    while True:
        yield chance.choice(["start", "progress", "committing", "committed"])
        yield chance.uniform(0.0, 0.15)


def test_killed_200_times_while_the_files_grow(tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        rounds = pool.map(lambda seed: _killed_often(Pi.at(tmp_path / f"{seed}"), seed), range(4))
    assert sum(rounds, Counter[str]()).total() >= 200


def _killed_often(pi: Pi, seed: int) -> Counter[str]:
    """Kill attempts of one Pi; return behind which events, when all is delivered once."""
    chance = random.Random(seed)
    written: list[int] = []
    second, killed, number = 0, 0, 0
    files = [pi.write(f"{name}.csv", csv()) for name in "ab"]
    events: Counter[str] = Counter()
    for moment in moments(chance):
        if killed >= KILLS:
            break
        for path in files:
            count = chance.randrange(1, 200)
            with path.open("a") as file:
                file.writelines(f"{reading(each)}\n" for each in range(second, second + count))
            written += range(second, second + count)
            second += count
        # As the operator does: the same run with a new attempt, or a later run.
        number += chance.random() < 0.5
        ended = _kill(pi, f"20190401-{number:06}", f"attempt-{killed}", moment)
        killed += ended == -signal.SIGKILL
        events[str(moment) if isinstance(moment, str) else "time"] += ended == -signal.SIGKILL
    assert len(events) == 5, events
    pi.run("20190402-000000", "last")
    pi.run("20190402-000001", "nothing")
    delivered = [
        row["timestamp"].hour * 3600 + row["timestamp"].minute * 60 + row["timestamp"].second
        for row in pi.delivered()
    ]
    assert 86_400 > second == len(written) > KILLS * 50
    assert sorted(delivered) == written
    assert pi.delivered("rejected") == []
    assert list((pi.root / "work").iterdir()) == []
    return events


def _kill(pi: Pi, run_id: str, name: str, moment: str | float) -> int:
    process = pi.start(run_id, name)
    assert process.stderr is not None
    if isinstance(moment, str):
        for line in process.stderr:
            if f'"event": "{moment}"' in line:
                break
    else:
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=moment)
    process.kill()
    process.communicate()
    return process.returncode
