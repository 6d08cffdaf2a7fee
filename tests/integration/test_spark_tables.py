"""What a table can hold besides: coarser features, labels of nodes, a person's own result."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from edge_etl_spark import table as tools
from edge_etl_spark.aggregate import aggregate
from edge_etl_spark.document import with_label_columns
from edge_etl_spark.documents import AggregationDocument, AggregationReport
from edge_etl_spark.errors import AggregationError
from edge_etl_spark.results import latest
from edge_etl_spark.versions import Version

from tests.support.node_results import Job, frame, states

pytestmark = pytest.mark.usefixtures("shared_session")

FIRST, SECOND = "20260101-000000", "20260102-000000"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def readings(seed: int, start: str = "2026-01-01T00:00:00", count: int = 80) -> Any:
    generator = np.random.default_rng(seed)
    times = pd.date_range(start, periods=count, freq="40min", tz="UTC")
    return frame(
        [(time.isoformat(), f"s{seed}-{n % 2}", generator.normal(20, 5)) for n, time in
         enumerate(times)]
    )  # fmt: skip


def run(job: Job, run_id: str, nodes: Sequence[str], **changes: Any) -> AggregationReport:
    document = {**job.document(run_id, *nodes), **changes}
    parsed = msgspec.json.decode(json.dumps(document), type=AggregationDocument)
    return aggregate(with_label_columns(parsed), job.root)


def current(job: Job) -> Version:
    found = latest(job.results)
    assert found is not None
    return found


def read(job: Job, kind: str) -> Any:
    return pd.read_parquet(current(job).directory / kind)


def assert_features(job: Job, rows: Any, window: str, group_by: list[str]) -> None:
    found = read(job, "features").drop(columns="day")
    order = ["window_start", *group_by, "field"]
    found = found.sort_values(order, ignore_index=True)
    right = states(rows, window, group_by, ["pm10"])
    pd.testing.assert_frame_equal(
        found[right.columns], right, check_dtype=False, rtol=1e-9, atol=1e-9
    )


@pytest.mark.parametrize("ship", [("rows", "features"), ("features",)])
def test_the_whole_fleet_by_day_is_merged_from_the_nodes_hours(
    job: Job, ship: Sequence[str]
) -> None:
    job = dataclasses.replace(job, ship=ship)
    coarse = {"window": "1d", "groupBy": []}
    one, two, late = readings(1), readings(2), readings(3, "2026-01-02T03:00:00")
    job.deliver(FIRST, "pi-1", one)
    job.deliver(FIRST, "pi-2", two)
    run(job, FIRST, ["pi-1", "pi-2"], **coarse)
    job.deliver(SECOND, "pi-3", late)
    report = run(job, SECOND, ["pi-3"], **coarse)
    assert_features(job, pd.concat([one, two, late]), "1D", [])
    assert report.feature_rows == 4


def test_windows_that_the_nodes_do_not_fill_are_refused_without_rows(job: Job) -> None:
    job = dataclasses.replace(job, ship=("features",))
    job.deliver(FIRST, "pi-1", readings(1))
    with pytest.raises(AggregationError, match="windows of 1h by sensor_id without rows"):
        run(job, FIRST, ["pi-1"], window="90m")


def test_a_label_of_the_node_is_a_column_and_a_group(job: Job) -> None:
    labels = {"pi-1": {"site": "north"}, "pi-2": {"site": "south"}, "pi-4": {"site": "east"}}
    how = {"groupBy": ["site"], "window": "1d", "labelColumns": ["site"], "nodeLabels": labels}
    parts = {f"pi-{number}": readings(number) for number in (1, 2, 3)}
    for node, rows in parts.items():
        job.deliver(FIRST, node, rows)
    run(job, FIRST, list(parts), **how)
    placed = pd.concat(
        rows.assign(site=labels.get(node, {}).get("site")) for node, rows in parts.items()
    )
    assert_features(job, placed, "1D", ["site"])
    found = read(job, "rows").groupby("site", dropna=False).size()
    assert dict(found.dropna()) == dict(placed.groupby("site", dropna=False).size())

    # A duplicate across nodes: its windows are computed again from rows, which know their site.
    job.deliver(SECOND, "pi-2", parts["pi-1"].iloc[:5])
    report = run(job, SECOND, ["pi-2"], **how)
    assert report.rows_duplicate == 5
    assert_features(job, placed, "1D", ["site"])


OWN = """
from pyspark.sql import functions as f

def aggregate(spark, clean, features):
    worst = clean.groupBy("sensor_id").agg(f.max("pm10").alias("worst"), f.count("*").alias("n"))
    return worst.withColumn("windows", f.lit(features.count()))
"""


def own(tmp_path: Path, text: str) -> dict[str, Any]:
    path = tmp_path / "own.py"
    path.write_text(text)
    return {"application": {"path": str(path), "name": "ConfigMap report, own.py"}}


def test_a_persons_own_aggregation_is_a_table_of_each_version(job: Job, tmp_path: Path) -> None:
    one, two = readings(1), readings(2, "2026-01-02T00:00:00")
    job.deliver(FIRST, "pi-1", one)
    run(job, FIRST, ["pi-1"], **own(tmp_path, OWN))
    assert dict(zip(*read(job, "application")[["sensor_id", "n"]].T.values, strict=True)) == {
        "s1-0": 40,
        "s1-1": 40,
    }
    job.deliver(SECOND, "pi-2", two)
    run(job, SECOND, ["pi-2"], **own(tmp_path, OWN))
    found = read(job, "application").set_index("sensor_id")["worst"]
    right = pd.concat([one, two]).groupby("sensor_id")["pm10"].max()
    assert dict(found) == dict(right)
    assert not list(tools.verify(job.results, current(job)))

    again = run(job, SECOND, ["pi-2"], **own(tmp_path, OWN))
    assert again.version == 2, "the same file on the same data changes nothing"
    changed = run(job, SECOND, ["pi-2"], **own(tmp_path, OWN.replace("worst", "peak")))
    assert (changed.version, changed.rows, changed.rows_added) == (3, len(one) + len(two), 0)
    assert "peak" in read(job, "application").columns
    run(job, SECOND, ["pi-2"])
    assert not (current(job).directory / "application").exists()


@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def aggregate(spark, clean, features):\n    return clean +\n", "line 2: invalid syntax"),
        ("import nothing_of_this_name\n", "line 1: ModuleNotFoundError"),
        ("x = 1\n", "it has no function aggregate(spark, clean, features)"),
        ("def aggregate(spark, clean, features):\n    return 1\n", "returned int, not a DataFrame"),
        (
            "def aggregate(spark, clean, features):\n    x = 2\n    return clean.select('pm11')\n",
            "line 3: AnalysisException: [UNRESOLVED_COLUMN",
        ),
        (
            "from pyspark.sql import functions as f\n"
            "def aggregate(spark, clean, features):\n"
            "    def bad(value):\n"
            "        return 1 / 0\n"
            "    return clean.select(f.udf(bad, 'double')('pm10').alias('x'))\n",
            "line 4: PythonException",
        ),
    ],
)
def test_a_mistake_in_it_is_told_with_its_line_and_nothing_is_published(
    job: Job, tmp_path: Path, text: str, said: str
) -> None:
    job.deliver(FIRST, "pi-1", readings(1, count=5))
    with pytest.raises(AggregationError) as caught:
        run(job, FIRST, ["pi-1"], **own(tmp_path, text))
    assert caught.value.reason == "ApplicationFailed"
    assert caught.value.message.startswith("ConfigMap report, own.py: ")
    assert said in caught.value.message
    assert not (job.table / "current").exists()
