"""Killed at any moment, retried, killed again: what was written is delivered, and nothing twice."""

import random
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest
from edge_etl_job.engine_python import PythonEngine
from edge_etl_job.ledger import Ledger
from edge_etl_job.results import ResultStore, open_store
from edge_etl_job.run import Task, run

from tests.support.edge import Pi, csv, job, reading

KILLS = 36
Result = TypeVar("Result")


@pytest.fixture
def pi(tmp_path: Path) -> Pi:
    return Pi.at(tmp_path)


class Killed(BaseException):
    """Stands for the end of the process at a certain instruction."""


class Mortal:
    """A real store with which the process dies before or behind a call."""

    def __init__(self, store: ResultStore, call: str, *, behind: bool) -> None:
        self._store = store
        self._call = call
        self._behind = behind

    def dataset_id(self) -> str:
        return self._store.dataset_id()

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


def attempt(pi: Pi, name: str, run_id: str, dies: tuple[str, bool]) -> None:
    store = open_store(
        str(pi.results),
        namespace="default",
        job="air-quality",
        run=run_id,
        node=pi.node,
        attempt=name,
        token_file=None,
    )
    task = Task(job(run=run_id), pi.node, name, pi.source, pi.state, pi.root / "work")
    with pytest.raises(Killed):
        run(task, Mortal(store, dies[0], behind=dies[1]), PythonEngine)


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


def moments(chance: random.Random) -> Iterator[str | float]:
    """Yield when to kill: behind a log event, or after some seconds."""
    while True:
        yield chance.choice(["start", "progress", "committing", "committed"])
        yield chance.uniform(0.0, 1.2)


def test_killed_at_many_moments_while_the_files_grow(pi: Pi) -> None:
    chance = random.Random(2019)
    written: list[int] = []
    second, killed, number = 0, 0, 0
    files = [pi.write(f"{name}.csv", csv()) for name in "ab"]
    events: Counter[str] = Counter()
    for moment in moments(chance):
        if killed >= KILLS:
            break
        for path in files:
            count = chance.randrange(1, 300)
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
    assert len(written) == second > KILLS * 50
    assert sorted(delivered) == written
    assert pi.delivered("rejected") == []


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
