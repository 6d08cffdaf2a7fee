"""Whatever a file holds: each row ends in exactly one place, and no good row is lost or doubled."""

import math
import random
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from edge_etl_job.cells import MAX_LINE
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.edge import BROKEN, HEADER, clean, reading

GOOD = st.builds(
    lambda second, sensor, value: (second, sensor, f"{value / 100}"),
    st.integers(0, 86_399),
    st.sampled_from("abc"),
    st.integers(0, 99_980),
)
DIRT = st.one_of(
    st.sampled_from(list(BROKEN)),
    st.binary(max_size=60).filter(lambda line: b"\n" not in line),
    st.text(alphabet='0123456789-:T;,." \tZ+eEa\r\u00e4\u2028', max_size=50).map(str.encode),
)


@st.composite
def files(draw: st.DrawFn) -> list[list[bytes | tuple[int, str, str]]]:
    """Return files of good rows and dirt; fewer than nine in ten lines are dirt."""
    result = []
    for _ in range(draw(st.integers(1, 3))):
        good: list[bytes | tuple[int, str, str]] = list(draw(st.lists(GOOD, min_size=2)))
        dirt = draw(st.lists(DIRT, max_size=6 * len(good)))
        # Behind the header, what looks like one belongs to it.
        result.append([good[0], *draw(st.permutations([*good[1:], *dirt]))])
    return result


@given(files(), st.booleans())
@settings(max_examples=250, deadline=None)
def test_each_row_ends_in_exactly_one_place(
    contents: list[list[bytes | tuple[int, str, str]]], last_newline: bool
) -> None:
    encoded = [
        [line if isinstance(line, bytes) else reading(*line).encode() for line in lines]
        for lines in contents
    ]
    raw = [b"\n".join([HEADER.encode(), *lines]) + b"\n" * last_newline for lines in encoded]
    with tempfile.TemporaryDirectory() as work:
        # What is left to be decided could be decided by the dirt.
        written = {"encoding": "utf-8", "decimal": ".", "comment": ""}
        cleaned = clean(Path(work), raw, source={"csv": written})

    rejected = {(row["file"], row["line"]): row for row in cleaned.rejected}
    assert len(rejected) == len(cleaned.rejected)
    planted: dict[tuple[int, str], float] = {}
    for index, (lines, result) in enumerate(zip(encoded, cleaned.inputs, strict=True)):
        assert result.quarantined is None
        assert result.rows_read == (
            result.rows_clean + result.rows_rejected + result.rows_duplicate
        )
        blank = sum(not line.strip(b" \t\r;") for line in lines)
        assert result.rows_read == len(lines) - blank
        assert Counter(result.rejected_by_reason) == Counter(
            row["reason"] for row in cleaned.rejected if row["file"] == f"{index}.csv"
        )
        for number, (line, content) in enumerate(zip(contents[index], lines, strict=True), start=2):
            row = rejected.get((f"{index}.csv", number))
            if isinstance(line, tuple):
                assert row is None
                planted.setdefault((line[0], line[1]), float(line[2]))
            elif row is not None:
                assert row["raw"] == content.decode("utf-8", "backslashreplace")
                assert raw[index][row["offset"] :].startswith(content)

    times = [(row["timestamp"], row["sensor_id"]) for row in cleaned.rows]
    assert times == sorted(set(times))
    assert len(times) == sum(result.rows_clean for result in cleaned.inputs)
    seconds = {
        (
            row["timestamp"].hour * 3600 + row["timestamp"].minute * 60 + row["timestamp"].second,
            row["sensor_id"],
        ): row["pm10"]
        for row in cleaned.rows
        if row["timestamp"].date().isoformat() == "2019-03-04" and row["timestamp"].microsecond == 0
    }
    assert planted.keys() <= seconds.keys()


@pytest.mark.parametrize("seed", range(3))
def test_each_kind_of_broken_line_costs_itself_and_no_good_row(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    good = [reading(second, chance.choice("abc"), "1.5") for second in range(1, 4000)]
    broken = [line for line in BROKEN for _ in range(25)]
    lines = [line.encode() for line in good[1:]] + broken
    chance.shuffle(lines)
    long = b"2019-03-04T00:00:00;a;" + b"1" * MAX_LINE
    raw = b"\n".join([HEADER.encode(), good[0].encode(), *lines, long, b""])
    cleaned = clean(tmp_path, [raw], source={"csv": {"encoding": "utf-8", "decimal": "."}})
    (result,) = cleaned.inputs
    wanted = Counter(reason for line in broken if (reason := BROKEN[line]) is not None)
    assert len(wanted) == 12
    assert Counter(result.rejected_by_reason) == wanted + Counter(["row_too_long"])
    assert (result.rows_clean, result.rows_duplicate) == (len(good), 0)
    told = [
        f"{row['timestamp'].isoformat()[:19]};{row['sensor_id']};{row['pm10']}"
        for row in cleaned.rows
    ]
    assert told == good


@given(st.lists(GOOD, max_size=80))
@settings(max_examples=100, deadline=None)
def test_good_rows_come_out_as_they_are_and_features_agree(
    lines: list[tuple[int, str, str]],
) -> None:
    content = "\n".join([HEADER, *(reading(*line) for line in lines)])
    with tempfile.TemporaryDirectory() as work:
        cleaned = clean(Path(work), [content])
    first: dict[tuple[int, str], float] = {}
    for second, sensor, value in lines:
        first.setdefault((second, sensor), float(value))
    assert {
        (
            row["timestamp"].hour * 3600 + row["timestamp"].minute * 60 + row["timestamp"].second,
            row["sensor_id"],
        ): row["pm10"]
        for row in cleaned.rows
    } == first
    windows: dict[tuple[int, str], list[float]] = {}
    for (second, sensor), number in first.items():
        windows.setdefault((second // 3600, sensor), []).append(number)
    assert len(cleaned.features) == len(windows)
    for row in cleaned.features:
        values = windows[row["window_start"].hour, row["sensor_id"]]
        mean = math.fsum(values) / len(values)
        assert (row["count"], row["mean"]) == (len(values), mean)
        assert (row["min"], row["max"]) == (min(values), max(values))
        assert math.isclose(
            row["m2"], math.fsum((value - mean) ** 2 for value in values), abs_tol=1e-9
        )
