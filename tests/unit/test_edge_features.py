"""The statistics of windows, beside what plain arithmetic says; both engines agree to the byte."""

import math
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.edge import clean, csv, reading

ALL = ["count", "mean", "stddev", "min", "max", "p1", "p50", "p95", "first", "last"]
FIELDS: list[dict[str, Any]] = [
    {"name": "sensor_id", "type": "string"},
    {"name": "pm10", "from": ["P1"], "type": "double"},
]


def features(folder: Path, values: list[float]) -> dict[str, Any]:
    """Return the one feature of values that come a second apart in one window."""
    lines = [reading(second, value=repr(value)) for second, value in enumerate(values)]
    statistics = {"statistics": ALL, "window": "1d"}
    (row,) = clean(folder, [csv(*lines)], schema={"fields": FIELDS}, features=statistics).features
    return row


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.floats(allow_nan=False, allow_infinity=False, width=32) | st.sampled_from([0.0, -0.0]),
        min_size=1,
        max_size=30,
    ),
    st.integers(1, 40),
)
def test_quantiles_are_values_by_their_rank(values: list[float], times: int) -> None:
    values = values * times
    with TemporaryDirectory() as folder:
        row = features(Path(folder), values)
    for percent in (1, 50, 95):
        rank = math.ceil(len(values) * percent / 100)
        assert row[f"p{percent}"] == sorted(values)[rank - 1]
    assert (row["first"], row["last"]) == (values[0], values[-1])


@pytest.mark.parametrize("count", [1, 200, 201, 5_000])
def test_first_and_last_have_their_times(count: int, tmp_path: Path) -> None:
    chance = random.Random(3)
    values = [round(chance.gauss(20, 5), 2) for _ in range(count)]
    row = features(tmp_path, values)
    start = datetime(2019, 3, 4, tzinfo=UTC)
    assert row["first_time"] == start
    assert row["last_time"] == start + timedelta(seconds=count - 1)
    # A single value with eight bytes before it; or about as many values as a sketch has room for.
    assert len(row["quantiles"]) == 16 if count == 1 else 800 < len(row["quantiles"]) < 1_700


def test_of_readings_of_one_time_the_least_is_first_and_the_greatest_last(tmp_path: Path) -> None:
    lines = [reading(1, "b", "5"), reading(1, "a", "7"), reading(1, "c", "6"), reading(0, "a", "")]
    cleaned = clean(tmp_path, [csv(*lines)], features={"groupBy": [], "statistics": ALL})
    (row,) = cleaned.features
    assert (row["first"], row["last"]) == (5, 7)


def test_directions_have_a_mean_that_goes_round(tmp_path: Path) -> None:
    fields = [*FIELDS, {"name": "wind", "type": "double", "circular": 360}]
    lines = [f"2019-03-04T00:00:0{at};a;1;{wind}" for at, wind in enumerate((350, 10, 30))]
    content = "\n".join(["timestamp;sensor_id;P1;wind", *lines, ""])
    cleaned = clean(
        tmp_path,
        [content],
        schema={"fields": fields},
        features={"statistics": ["circular_mean"]},
    )
    plain, wind = cleaned.features
    assert (plain["field"], plain["sin"], plain["cos"]) == ("pm10", None, None)
    angle = math.degrees(math.atan2(wind["sin"], wind["cos"])) % 360
    assert angle == pytest.approx(10)


def test_features_have_no_column_that_nobody_asked_for(tmp_path: Path) -> None:
    cleaned = clean(tmp_path, [csv(reading(1))], features={"statistics": ["p5", "last"]})
    (file,) = [file for file in cleaned.result.files if file.kind == "features"]
    names = [field.name for field in pq.read_schema(file.path)]
    assert names[3:] == [
        "count",
        "mean",
        "m2",
        "min",
        "max",
        "p5",
        "quantiles",
        "last_time",
        "last",
    ]
    kinds = {field.name: str(field.type) for field in pq.read_schema(file.path)}
    assert (kinds["quantiles"], kinds["last_time"]) == ("binary", "timestamp[us, tz=UTC]")
