"""Files of nodes become parts of the table as they are, where no key stands in two of them."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from itertools import combinations, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import msgspec
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
from edge_etl_spark import parts
from edge_etl_spark import table as tools
from edge_etl_spark.adoption import adopt
from edge_etl_spark.aggregate import aggregate
from edge_etl_spark.documents import AggregationDocument, AggregationReport, Field
from edge_etl_spark.errors import AggregationError
from edge_etl_spark.parts import RowFile
from edge_etl_spark.results import latest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.node_results import Job, frame
from tests.support.table_oracle import assert_table, day_files

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.usefixtures("shared_session")

FIRST, SECOND, THIRD = "20260101-000000", "20260102-000000", "20260103-000000"
DAY = "2026-01-01"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def readings(sensors: str, begin: str, rows: int = 12) -> Any:
    """Return a reading of each sensor in turn, one every ten minutes."""
    times = pd.date_range(begin, periods=rows, freq="10min", tz="UTC")
    return frame(
        [(at.isoformat(), sensors[n % len(sensors)], float(n)) for n, at in enumerate(times)]
    )


def run(job: Job, run_id: str, *nodes: str) -> AggregationReport:
    text = json.dumps(job.document(run_id, *nodes))
    return aggregate(msgspec.json.decode(text, type=AggregationDocument), job.root)


def delivered(job: Job, day: str = DAY) -> set[int]:
    """Return what identifies the content of the files of a day that nodes delivered."""
    found = job.directory.glob(f"runs/*/*/*/rows-{day}.parquet")
    return {path.stat().st_ino for path in found}


def in_table(job: Job, day: str = DAY) -> set[int]:
    return {path.stat().st_ino for path in day_files(job, "rows", day)}


def test_files_that_share_no_key_are_in_the_table_as_they_were_delivered(job: Job) -> None:
    deliveries = [readings("ac", f"{DAY}T00:00"), readings("bd", f"{DAY}T00:00")]
    job.deliver(FIRST, "pi-1", deliveries[0])
    job.deliver(FIRST, "pi-2", deliveries[1])
    report = run(job, FIRST, "pi-1", "pi-2")
    assert (report.rows_added, report.rows_duplicate, report.days_written) == (24, 0, 1)
    assert in_table(job) == delivered(job)
    assert_table(job, deliveries)

    # The same day goes on: what is later than all that is there is added to it.
    deliveries.append(readings("ac", f"{DAY}T02:00"))
    job.deliver(SECOND, "pi-1", deliveries[-1])
    assert run(job, SECOND, "pi-1").rows_added == 12
    assert in_table(job) == delivered(job)
    assert_table(job, deliveries)

    # A day on which a sensor has said something already is merged, and no other one.
    again = readings("ac", f"{DAY}T23:00").assign(pm10=-1.0)
    deliveries += [again, readings("a", "2026-01-02T00:30").assign(pm10=-2.0)]
    job.deliver(THIRD, "pi-1", deliveries[-2])
    job.deliver(THIRD, "pi-2", deliveries[-1])
    kept = in_table(job)
    report = run(job, THIRD, "pi-1", "pi-2")
    assert report.rows_duplicate == 1, "00:40 of sensor a"
    assert kept < in_table(job)
    assert not in_table(job, "2026-01-02") & delivered(job, "2026-01-02")
    assert_table(job, deliveries)
    newest = latest(job.results)
    assert newest is not None
    assert not list(tools.verify(job.results, newest))


def test_every_reader_reads_days_that_were_merged_and_days_that_were_not(
    job: Job, spark: "SparkSession"
) -> None:
    job.deliver(FIRST, "pi-1", readings("a", f"{DAY}T22:00", 24))
    job.deliver(FIRST, "pi-2", readings("a", "2026-01-02T00:00", 3))
    run(job, FIRST, "pi-1", "pi-2")
    version = (job.table / "current").resolve()
    one, other = (day_files(job, "rows", day)[0] for day in (DAY, "2026-01-02"))
    assert one.name.startswith("delivered-")
    assert other.name.startswith("part-")
    assert pq.read_schema(one).equals(pq.read_schema(other)), "some readers ask for that"
    glob = f"{version}/rows/**/*.parquet"
    sql = f"select count(timestamp), sum(pm10) from read_parquet('{glob}')"  # noqa: S608
    found = spark.read.parquet(str(version / "rows")).agg({"timestamp": "count", "pm10": "sum"})
    right = (24, float(sum(range(24))))
    assert duckdb.execute(sql).fetchall() == [right]
    table = pl.read_parquet(glob)
    assert (table["timestamp"].count(), table["pm10"].sum()) == right
    assert tuple(found.select("count(timestamp)", "sum(pm10)").collect()[0]) == right
    assert len(pd.read_parquet(version / "rows")) == 24


def test_a_day_in_many_small_files_is_merged(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_FEW_FILES", 2)
    deliveries = [readings(sensor, f"{DAY}T00:00") for sensor in "abc"]
    for node, rows in zip(("pi-1", "pi-2", "pi-3"), deliveries, strict=True):
        job.deliver(FIRST, node, rows)
    run(job, FIRST, "pi-1", "pi-2", "pi-3")
    assert len(in_table(job)) == 1
    assert_table(job, deliveries)


def test_files_with_other_columns_than_the_table_are_not_taken_as_they_are(job: Job) -> None:
    """A delivery waited while the job got a field, of which its files know nothing."""
    old = readings("a", f"{DAY}T00:00")
    job.deliver(FIRST, "pi-1", old)
    wider = dataclasses.replace(job, fields=[*job.fields, {"name": "pm25", "type": "double"}])
    new = readings("b", "2026-01-02T00:00").assign(pm25=1.0)
    wider.deliver(SECOND, "pi-2", new)
    run(wider, SECOND, "pi-2")
    assert not in_table(job) & delivered(job)
    assert in_table(job, "2026-01-02") == delivered(job, "2026-01-02")
    assert_table(wider, [old.assign(pm25=float("nan")), new])


def test_a_manifest_that_counts_fewer_rows_is_found_out(job: Job) -> None:
    path = job.deliver(FIRST, "pi-1", readings("a", f"{DAY}T00:00"))
    manifest = json.loads(path.read_text())
    manifest["files"][0]["rows"] -= 1
    path.write_text(json.dumps(manifest))
    with pytest.raises(AggregationError, match="a file holds other rows than its manifest says"):
        run(job, FIRST, "pi-1")
    assert not (job.table / "current").exists()


Rows = Mapping[str | None, Sequence[int]]
"""The hours of the readings of each sensor."""
SENSORS = st.sampled_from(["a", "b", None])
FILES = st.lists(
    st.dictionaries(SENSORS, st.lists(st.integers(0, 23), min_size=1, max_size=3, unique=True),
                    min_size=1),
    min_size=1, max_size=4,
)  # fmt: skip
names = count()


def meet(one: Rows, other: Rows) -> bool:
    """Tell whether a sensor's readings in one file are not all before those in another."""
    return any(
        min(hours) <= max(other[sensor]) and min(other[sensor]) <= max(hours)
        for sensor, hours in one.items()
        if sensor in other
    )


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(days=st.lists(FILES, min_size=1, max_size=4))
def test_a_day_is_merged_where_and_only_where_times_of_a_sensor_meet(
    job: Job, spark: "SparkSession", days: list[list[Rows]]
) -> None:
    run_id = f"20260101-{next(names):06}"
    for number, files in enumerate(days, 1):
        for node, sensors in enumerate(files):
            rows = [
                (f"2026-01-{number:02}T{hour:02}:00:00Z", sensor, 1.0)
                for sensor, hours in sensors.items()
                for hour in sorted(hours)
            ]
            job.deliver(run_id, f"pi-{number}-{node}", frame(rows))
    paths = sorted(job.directory.glob(f"runs/{run_id}/*/*/rows-*.parquet"))
    made = [
        RowFile(path.stem[-10:], path, pq.read_metadata(path).num_rows, path.stat().st_size, "0")
        for path in paths
    ]
    staging, links = job.root / run_id / "staging", job.root / run_id / "links"
    fields = msgspec.convert(job.fields, tuple[Field, ...])
    found = adopt(spark, parts.parts_of_days(made, []), fields, job.key, staging, links)
    assert found.days == {
        f"2026-01-{number:02}"
        for number, files in enumerate(days, 1)
        if not any(meet(*pair) for pair in combinations(files, 2))
    }
    assert len(found.files) == len(list(staging.rglob("*.parquet")))
