"""Whatever the order in which things happen, the table is that of one run over all the data."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import numpy as np
import pandas as pd
import pytest
from edge_etl_spark import table as tools
from edge_etl_spark.aggregate import aggregate
from edge_etl_spark.documents import AggregationDocument, AggregationReport
from edge_etl_spark.results import latest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.bucket_job import BucketJob
from tests.support.node_results import Job, frame
from tests.support.s3_server import S3Server
from tests.support.table_oracle import assert_table

pytestmark = pytest.mark.usefixtures("shared_session")

NODES = ("pi-1", "pi-2", "pi-3")
DAYS = 3
STEPS = ("verify", "rows", "features", "publish")


@dataclass(frozen=True)
class Deliver:
    """A node delivers readings of some hours, which may be there already, or be replayed."""

    node: str
    hour: int
    rows: int
    seed: int


@dataclass(frozen=True)
class Aggregate:
    """A run is aggregated; it may die when a step begins."""

    dies_at: str | None


Happening = Deliver | Aggregate

HAPPENINGS = st.one_of(
    st.builds(
        Deliver,
        node=st.sampled_from(NODES),
        hour=st.integers(0, DAYS * 24 - 1),
        rows=st.integers(1, 40),
        seed=st.integers(0, 3),
    ),
    st.builds(Aggregate, dies_at=st.sampled_from([None, None, *STEPS])),
)


class DiedError(BaseException):
    """What nothing catches, so that all is left as it is at that moment."""


@dataclass
class World:
    """A job's results, and what was delivered in the order in which it counts."""

    job: Job
    runs: Iterator[int] = field(default_factory=lambda: count(1))
    pending: list[tuple[str, str, Any]] = field(default_factory=list)
    merged: list[Any] = field(default_factory=list)

    def do(self, happening: Happening) -> None:
        match happening:
            case Deliver():
                self.deliver(happening)
            case Aggregate(None):
                self.aggregate()
            case Aggregate(step):
                self.die(str(step))

    def deliver(self, what: Deliver) -> None:
        run = f"20260101-{next(self.runs):06d}"
        rows = readings(what)
        self.job.deliver(run, what.node, rows)
        self.pending.append((run, what.node, rows))

    def aggregate(self) -> AggregationReport:
        run = f"20260101-{next(self.runs):06d}"
        document = msgspec.json.decode(json.dumps(self.job.document(run)), type=AggregationDocument)
        before = len(self.merged_rows())
        report = aggregate(document, self.job.location, credentials=self.job.credentials)
        self.merged += [rows for _, _, rows in sorted(self.pending, key=lambda item: item[:2])]
        delivered = sum(len(rows) for _, _, rows in self.pending)
        self.pending.clear()
        if delivered:
            assert report.rows_added + report.rows_duplicate == delivered
            assert report.rows == before + report.rows_added
        else:
            assert report.reason == "NothingNew"
        return report

    def die(self, step: str) -> None:
        """Aggregate, but die when a step begins; what was published before then is whole."""
        with dying_at(step):
            try:
                self.aggregate()
            except DiedError:
                return

    def merged_rows(self) -> Any:
        key = list(self.job.key)
        return pd.concat(self.merged).drop_duplicates(key) if self.merged else []

    def check(self) -> None:
        if self.merged:
            assert_table(self.job, self.merged)
            newest = latest(self.job.results)
            assert newest is not None
            assert not list(tools.verify(self.job.results, newest))


@contextmanager
def dying_at(step: str) -> Iterator[None]:
    def die(now: str, *_: object, **__: object) -> None:
        if now == step:
            raise DiedError

    with (
        patch("edge_etl_spark.aggregate.progress", die),
        patch("edge_etl_spark.staging.progress", die),
    ):
        yield


def readings(what: Deliver) -> Any:
    """Return readings one every 40 minutes; seeds share times and sensors, but not values."""
    generator = np.random.default_rng(what.seed)
    start = pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(hours=what.hour)
    times = pd.date_range(start, periods=what.rows, freq="40min")
    values = [None if generator.random() < 0.1 else generator.normal(20, 5) for _ in times]
    rows = [
        (at.isoformat(), "ab"[number % 2], value)
        for number, (at, value) in enumerate(zip(times, values, strict=True))
    ]
    return frame(rows)


Make = Callable[[], Job]


@pytest.fixture(params=["directory", "bucket"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Give what makes a job without any results."""

    def empty() -> Job:
        shutil.rmtree(tmp_path / "results", ignore_errors=True)
        if request.param == "directory":
            return Job(tmp_path / "results")
        return BucketJob(tmp_path / "results", bucket=server.bucket())

    server: S3Server = request.getfixturevalue("s3_server")
    return empty


@settings(
    max_examples=2,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(happenings=st.lists(HAPPENINGS, min_size=3, max_size=7))
def test_any_sequence_gives_the_table_of_one_run_over_all_the_data(
    make: Make, happenings: list[Happening]
) -> None:
    world = World(make())
    for happening in happenings:
        world.do(happening)
    world.aggregate()
    world.check()
    assert len(world.job.results.numbers()) <= len(happenings) + 1

    # A repetition changes nothing, whatever came before.
    before = latest(world.job.results)
    world.aggregate()
    after = latest(world.job.results)
    assert (after and after.manifest) == (before and before.manifest)
