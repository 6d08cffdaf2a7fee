"""The functions over DataFrames, each against pandas or plain arithmetic, on real Spark."""

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from edge_etl_spark import features, rows
from edge_etl_spark.columns import feature_schema, row_schema
from edge_etl_spark.documents import Field
from edge_etl_spark.statistics import Statistics
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

from tests.support.node_results import Job, frame, states

FIELDS = (Field(name="sensor_id", type="string"), Field(name="pm10", type="double"))
KEY = ("sensor_id", "timestamp")
HOURS = features.Windows(3600, ("sensor_id",), FIELDS, Statistics(("count", "mean", "stddev")))


def row_frame(spark: SparkSession, readings: Sequence[tuple[str, str | None, Any]]) -> DataFrame:
    table = frame(readings)
    values = zip(
        table["timestamp"].dt.to_pydatetime(), table["sensor_id"], table["pm10"], strict=True
    )
    clean = [tuple(None if pd.isna(item) else item for item in row) for row in values]
    return spark.createDataFrame(clean, row_schema(FIELDS))


def ordered(spark: SparkSession, *deliveries: Sequence[tuple[str, str | None, Any]]) -> DataFrame:
    """Return deliveries as they would be read, in their order."""
    parts = [
        row_frame(spark, readings).withColumn(
            "@order", f.struct(f.lit(number), f.monotonically_increasing_id())
        )
        for number, readings in enumerate(deliveries)
    ]
    table = parts[0]
    for part in parts[1:]:
        table = table.unionByName(part)
    return table


def values(table: DataFrame) -> list[float]:
    return sorted(row["pm10"] for row in table.collect())


def test_of_rows_with_the_same_key_the_first_delivery_is_kept(spark: SparkSession) -> None:
    noon, one = "2026-01-01T12:00:00Z", "2026-01-01T13:00:00Z"
    delivered = ordered(
        spark, [(noon, "a", 1.0), (one, "a", 2.0)], [(noon, "a", 3.0), (noon, "b", 4.0)]
    )
    kept, removed = rows.split_duplicates(delivered, None, KEY)
    assert values(kept) == [1.0, 2.0, 4.0]
    assert values(removed) == [3.0]


def test_a_row_whose_key_the_table_holds_is_a_duplicate(spark: SparkSession) -> None:
    noon, one = "2026-01-01T12:00:00Z", "2026-01-01T13:00:00Z"
    known = row_frame(spark, [(noon, "a", 9.0)])
    delivered = ordered(spark, [(noon, "a", 1.0), (one, "a", 2.0)], [(noon, "a", 3.0)])
    kept, removed = rows.split_duplicates(delivered, known, KEY)
    assert values(kept) == [2.0]
    assert values(removed) == [1.0, 3.0]


def test_nulls_in_a_key_are_equal(spark: SparkSession) -> None:
    noon = "2026-01-01T12:00:00Z"
    known = row_frame(spark, [(noon, None, 9.0)])
    kept, removed = rows.split_duplicates(
        ordered(spark, [(noon, None, 1.0), (noon, "a", 2.0)]), known, KEY
    )
    assert values(kept) == [2.0]
    assert values(removed) == [1.0]


@pytest.mark.parametrize(
    ("seconds", "time", "start"),
    [
        (3600, "2026-01-01T12:59:59.999999Z", "2026-01-01T12:00:00+00:00"),
        (7 * 3600, "1970-01-01T08:00:00Z", "1970-01-01T07:00:00+00:00"),
        (86400, "1969-12-31T23:00:00Z", "1969-12-31T00:00:00+00:00"),
        (7 * 86400, "2026-03-01T00:00:00Z", "2026-02-26T00:00:00+00:00"),
    ],
)
def test_windows_follow_one_another_from_1970_on(
    spark: SparkSession, seconds: int, time: str, start: str
) -> None:
    table = row_frame(spark, [(time, "a", 1.0)])
    placed = features.windows_of(table, seconds, [])
    (micros,) = placed.select(f.unix_micros("window_start")).first()  # type: ignore[misc]
    assert pd.Timestamp(micros, unit="us", tz="UTC").isoformat() == start


def readings(count: int, offset: float) -> list[tuple[str, str, float | None]]:
    generator = random.Random(7)
    times = pd.date_range("2026-01-01", periods=count, freq="137s", tz="UTC")
    return [
        (
            time.isoformat(),
            generator.choice("ab"),
            None if generator.random() < 0.1 else offset + generator.gauss(0, 1),
        )
        for time in times
    ]


def assert_states(found: DataFrame, expected: Any) -> None:
    assert found.count() == len(expected)
    by_place = {(row["window_start"], row["sensor_id"]): row for row in found.collect()}
    for want in expected.itertuples():
        # Spark gives naive times in the machine's zone; the test runs in any.
        got = by_place[
            (want.window_start.to_pydatetime().astimezone().replace(tzinfo=None), want.sensor_id)
        ]
        assert got["field"] == "pm10"
        for name in ("count", "mean", "min", "max"):
            assert math.isclose(got[name], getattr(want, name), rel_tol=1e-12)
        assert math.isclose(got["m2"], want.m2, rel_tol=1e-9, abs_tol=1e-9)


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_states_from_rows_are_those_of_pandas(spark: SparkSession, offset: float) -> None:
    given = readings(500, offset)
    found = features.from_rows(row_frame(spark, given), HOURS)
    assert_states(found, states(frame(given), "1h", ["sensor_id"], ["pm10"]))


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("pieces", [1, 2, 7])
def test_merged_states_are_those_of_all_rows(
    spark: SparkSession, pieces: int, offset: float
) -> None:
    given = readings(500, offset)
    schema = feature_schema(FIELDS, HOURS.group_by, HOURS.statistics)
    parts = [states(frame(given[n::pieces]), "1h", ["sensor_id"], ["pm10"]) for n in range(pieces)]
    listed = [
        (row.window_start.to_pydatetime(), *list(row)[2:])
        for part in parts
        for row in part.itertuples()
    ]
    merged = features.merge(spark.createDataFrame(listed, schema), HOURS)
    assert_states(merged, states(frame(given), "1h", ["sensor_id"], ["pm10"]))


def test_the_deviation_of_a_single_value_is_null(spark: SparkSession) -> None:
    table = row_frame(spark, [("2026-01-01T12:00:00Z", "a", 1.0)])
    state = features.from_rows(table, HOURS)
    (row,) = features.finished(state, HOURS).collect()
    assert (row["count"], row["m2"], row["stddev"]) == (1, 0.0, None)


def test_rows_are_ordered_by_run_then_node_then_file_then_row(
    spark: SparkSession, tmp_path: Path
) -> None:
    """Node names that begin alike must not be ordered by what follows them in the path."""
    job = Job(tmp_path / "results dir")
    noon, next_day = "2026-01-01T12:00:00Z", "2026-01-02T12:00:00Z"
    deliveries = [("20260101-000000", "pi-1"), ("20260101-000000", "pi-1-a"),
                  ("20260101-000000", "pi-1.b"), ("20260101-000000", "pi-10"),
                  ("20260102-000000", "pi-0")]  # fmt: skip
    for number, (run, node) in enumerate(deliveries):
        offset = 10.0 * number
        readings = [(noon, "a", offset), (noon, "b", offset + 1), (next_day, "a", offset + 2)]
        job.deliver(run, node, frame(readings))
    paths = sorted(map(str, tmp_path.rglob("rows-*.parquet")), reverse=True)
    delivered = spark.read.schema(row_schema(FIELDS)).parquet(*paths)
    in_order = rows.with_delivery_order(delivered).orderBy("@order")
    expected = [10.0 * number + row for number in range(len(deliveries)) for row in range(3)]
    assert [row["pm10"] for row in in_order.collect()] == expected
