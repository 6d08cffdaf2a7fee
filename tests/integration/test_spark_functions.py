"""The functions over DataFrames, each against pandas or plain arithmetic, on real Spark."""

import dataclasses
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
from pyspark.sql.types import IntegerType

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


def ordered(
    spark: SparkSession,
    known: Sequence[tuple[str, str | None, Any]],
    *deliveries: Sequence[tuple[str, str | None, Any]],
) -> DataFrame:
    """Return rows of the table and deliveries, numbered as they would be read."""
    table = rows.of_table(row_frame(spark, known))
    for number, readings in enumerate(deliveries):
        numbered = {"@order": f.lit(number), "@row": f.monotonically_increasing_id()}
        table = table.unionByName(row_frame(spark, readings).withColumns(numbered))
    return rows.ranked(table, KEY)


def values(table: DataFrame) -> list[float]:
    return sorted(row["pm10"] for row in table.collect())


NOON, ONE = "2026-01-01T12:00:00Z", "2026-01-01T13:00:00Z"


def test_of_rows_with_the_same_key_the_first_delivery_is_kept(spark: SparkSession) -> None:
    ranked = ordered(
        spark, [], [(NOON, "a", 1.0), (ONE, "a", 2.0)], [(NOON, "a", 3.0), (NOON, "b", 4.0)]
    )
    assert values(rows.kept(ranked)) == [1.0, 2.0, 4.0]
    assert values(rows.repeated(ranked)) == [3.0]


def test_a_row_whose_key_the_table_holds_is_a_duplicate(spark: SparkSession) -> None:
    ranked = ordered(
        spark, [(NOON, "a", 9.0)], [(NOON, "a", 1.0), (ONE, "a", 2.0)], [(NOON, "a", 3.0)]
    )
    assert values(rows.kept(ranked)) == [2.0, 9.0]
    assert values(rows.repeated(ranked)) == [1.0, 3.0]


def test_rows_that_the_table_holds_stay_though_their_key_is_another_now(
    spark: SparkSession,
) -> None:
    ranked = ordered(spark, [(NOON, "a", 8.0), (NOON, "a", 9.0)], [(NOON, "a", 1.0)])
    assert values(rows.kept(ranked)) == [8.0, 9.0]
    assert values(rows.repeated(ranked)) == [1.0]


def test_rows_of_other_days_only_say_which_keys_are_known(spark: SparkSession) -> None:
    known = rows.of_table(row_frame(spark, [(NOON, "a", 9.0)]), rows.OF_OTHER_DAYS)
    new = {"@order": f.lit(0), "@row": f.monotonically_increasing_id()}
    delivered = row_frame(spark, [(ONE, "a", 1.0), (ONE, "b", 2.0)]).withColumns(new)
    ranked = rows.ranked(known.unionByName(delivered), ["sensor_id"])
    assert values(rows.kept(ranked)) == [2.0]
    assert values(rows.repeated(ranked)) == [1.0]


def test_nulls_in_a_key_are_equal(spark: SparkSession) -> None:
    ranked = ordered(spark, [(NOON, None, 9.0)], [(NOON, None, 1.0), (NOON, "a", 2.0)])
    assert values(rows.kept(ranked)) == [2.0, 9.0]
    assert values(rows.repeated(ranked)) == [1.0]


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


def test_states_that_nothing_is_to_be_merged_with_are_told(spark: SparkSession) -> None:
    table = row_frame(spark, [(NOON, "a", 1.0), (NOON, "b", 2.0), (ONE, "a", 3.0)])
    windows = dataclasses.replace(HOURS, statistics=Statistics(("count", "p50", "last")))
    state = features.from_rows(table, windows)
    assert features.unmerged(state, windows)
    merged = features.merge(state, windows).select(*state.columns)
    assert merged.exceptAll(state).isEmpty()
    assert not features.unmerged(state.union(state.where("sensor_id = 'b'")), windows)
    for unknown in ("p50", "last"):
        lacking = state.withColumn(unknown, f.when(f.col("sensor_id") != "b", f.col(unknown)))
        assert not features.unmerged(lacking, windows)


def test_the_deviation_of_a_single_value_is_null(spark: SparkSession) -> None:
    table = row_frame(spark, [("2026-01-01T12:00:00Z", "a", 1.0)])
    state = features.from_rows(table, HOURS)
    (row,) = features.finished(state, HOURS).collect()
    assert (row["count"], row["m2"], row["stddev"]) == (1, 0.0, None)


def test_rows_are_ordered_by_the_number_of_their_file_then_by_row(
    spark: SparkSession, tmp_path: Path
) -> None:
    job = Job(tmp_path / "results dir")
    for number, node in enumerate(("pi-1", "pi-1-a", "pi-1.b")):
        offset = 10.0 * number
        readings = [(NOON, "a", offset), (NOON, "b", offset + 1), (ONE, "a", offset + 2)]
        job.deliver("20260101-000000", node, frame(readings))
    paths = sorted(tmp_path.rglob("rows-*.parquet"), key=lambda path: path.parts)
    numbers = {path: number for number, path in enumerate(paths)}
    backwards = dict(sorted(numbers.items(), reverse=True))
    read = rows.numbered(spark, row_schema(FIELDS), backwards, tmp_path / "links")
    named = {str(path): number for path, number in backwards.items()}
    expected = [10.0 * number + row for number in range(3) for row in range(3)]
    for found in (read, rows.numbered_by_name(spark, row_schema(FIELDS), named)):
        assert found.schema["@order"].dataType == IntegerType()
        assert [row["pm10"] for row in found.orderBy("@order", "@row").collect()] == expected

    nodes = [path.parts[-3] for path in paths]
    labelled = rows.with_labels(read, ["site"], nodes, {"pi-1-a": {"site": "roof"}})
    sites = {row["pm10"] // 10: row["site"] for row in labelled.collect()}
    assert sites == {0: None, 1: "roof", 2: None}
