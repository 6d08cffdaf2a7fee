"""Quantiles, first and last values and circular means that Spark merges from nodes' states.

The states are those that the edge program writes; what they must give is computed from all values.
"""

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from edge_etl_spark import features
from edge_etl_spark.columns import feature_schema, row_schema
from edge_etl_spark.documents import Field
from edge_etl_spark.statistics import RANK_ERROR, SKETCH_SIZE, Statistics
from pyspark.sql import DataFrame, SparkSession

from tests.support.edge import clean

STATISTICS = ("count", "p1", "p50", "p95", "first", "last", "circular_mean")
FIELDS = (Field(name="wind", type="double", circular=360.0),)
DAYS = features.Windows(86400, (), FIELDS, Statistics(STATISTICS))
OVER: dict[str, Any] = {
    "schema": {"fields": [{"name": "wind", "type": "double", "circular": 360}]},
    "key": ["timestamp"],
    "features": {"window": "1d", "groupBy": [], "statistics": list(STATISTICS)},
}
Reading = tuple[int, float]
"""A second of 2019-03-04 and a value."""


def readings(count: int) -> list[Reading]:
    chance = random.Random(count)
    return [(second, chance.gauss(0, 40) % 360) for second in range(count)]


def delivered(folder: Path, parts: Sequence[Sequence[Reading]]) -> dict[str, list[str]]:
    """Have the edge program clean each part; return the paths of its files by their kind."""
    paths: dict[str, list[str]] = {"rows": [], "features": []}
    for number, part in enumerate(parts):
        lines = [
            f"2019-03-04T{s // 3600:02}:{s // 60 % 60:02}:{s % 60:02};{v!r}\n" for s, v in part
        ]
        cleaned = clean(folder / str(number), ["timestamp;wind\n" + "".join(lines)], **OVER)
        for file in cleaned.result.files:
            paths[file.kind].append(str(file.path))
    return paths


def merged(spark: SparkSession, paths: Sequence[str]) -> DataFrame:
    schema = feature_schema(FIELDS, DAYS.group_by, DAYS.statistics)
    return features.merge(spark.read.schema(schema).parquet(*paths), DAYS)


def shares(found: float, values: Sequence[float]) -> tuple[float, float]:
    """Return the share of values below one, and of those not above it."""
    below = sum(value < found for value in values)
    return below / len(values), sum(value <= found for value in values) / len(values)


def assert_rest(row: Any, all_readings: Sequence[Reading]) -> None:
    values = [value for _, value in all_readings]
    assert (row["first"], row["last"]) == (min(all_readings)[1], max(all_readings)[1])
    x, y = (sum(of(math.radians(v)) for v in values) for of in (math.cos, math.sin))
    difference = row["circular_mean"] - math.degrees(math.atan2(y, x))
    assert (difference + 180) % 360 - 180 == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize(("count", "parts"), [(1, 1), (SKETCH_SIZE, 3), (5_000, 1), (5_000, 4)])
def test_quantiles_are_exact_while_nothing_is_lost_and_near_afterwards(
    spark: SparkSession, count: int, parts: int, tmp_path: Path
) -> None:
    given = readings(count)
    paths = delivered(tmp_path, [given[number::parts] for number in range(parts)])
    (row,) = features.finished(merged(spark, paths["features"]), DAYS).collect()
    values = sorted(value for _, value in given)
    assert row["count"] == count
    for percent in (1, 50, 95):
        exact = values[math.ceil(count * percent / 100) - 1]
        if parts == 1 or count <= SKETCH_SIZE:
            assert row[f"p{percent}"] == exact
        below, with_it = shares(row[f"p{percent}"], values)
        assert below - RANK_ERROR <= percent / 100 <= with_it + RANK_ERROR
    assert_rest(row, given)


def test_where_rows_are_shipped_estimates_are_computed_again(
    spark: SparkSession, tmp_path: Path
) -> None:
    given = readings(1_000)
    paths = delivered(tmp_path, [given[::2], given[1::2]])
    states = merged(spark, paths["features"])
    places = features.inexact(states, DAYS)
    assert places.count() == 1
    table = spark.read.schema(row_schema(FIELDS)).parquet(*paths["rows"])
    again = features.recompute(states, table, places, DAYS)
    (row,) = features.finished(again, DAYS).collect()
    values = sorted(value for _, value in given)
    for percent in (1, 50, 95):
        assert row[f"p{percent}"] == values[math.ceil(10 * percent) - 1]
    assert_rest(row, given)


def test_what_a_state_does_not_hold_is_unknown(spark: SparkSession, tmp_path: Path) -> None:
    given = readings(300)
    paths = delivered(tmp_path, [given[:150], given[150:]])["features"]
    schema = feature_schema(FIELDS, DAYS.group_by, DAYS.statistics)
    one, other = (spark.read.schema(schema).parquet(path) for path in paths)
    older = other.selectExpr("window_start", "field", "count", "mean", "m2", "min", "max")
    states = features.merge(one.unionByName(older, allowMissingColumns=True), DAYS)
    (row,) = features.finished(states, DAYS).collect()
    assert row["count"] == 300
    unknown = ("p1", "p50", "p95", "quantiles", "first", "last", "circular_mean")
    assert [row[name] for name in unknown] == [None] * len(unknown)


def test_the_columns_of_quantiles_state_how_far_off_they_can_be(spark: SparkSession) -> None:
    empty = spark.createDataFrame([], feature_schema(FIELDS, DAYS.group_by, DAYS.statistics))
    note = features.finished(empty, DAYS).schema["p50"].metadata
    assert note["rankError"] == pytest.approx(RANK_ERROR, abs=1e-4)
    assert "50 %" in note["comment"]
