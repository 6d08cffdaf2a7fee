"""What the engine promises beyond docs/cleaning.md: order, files, features, quarantine, memory."""

import math
import os
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from edge_etl_job.cells import MAX_LINE
from edge_etl_job.detection import Detector

from tests.support.edge import (
    HEADER,
    Part,
    clean,
    clean_decided,
    clean_ranges,
    csv,
    decided,
    job,
    reading,
    whole,
)

DAY = datetime(2019, 3, 4, tzinfo=UTC)
UNBOUNDED: list[dict[str, Any]] = [
    {"name": "sensor_id", "type": "string"},
    {"name": "pm10", "from": ["P1"], "type": "double"},
]


def test_rows_come_sorted_by_time_then_key_in_a_file_for_each_day(tmp_path: Path) -> None:
    cleaned = clean(
        tmp_path,
        [
            csv(reading(9, "b"), "2019-03-03T23:59:59;a;1", reading(9, "a")),
            csv(reading(3), "2018-01-01T00:00:00;a;1"),
        ],
    )
    rows = {file.day: file for file in cleaned.result.files if file.kind == "rows"}
    assert list(rows) == ["2018-01-01", "2019-03-03", "2019-03-04"]
    assert [file.path.name for file in rows.values()] == [f"rows-{day}.parquet" for day in rows]
    assert [(row["timestamp"], row["sensor_id"]) for row in cleaned.rows] == [
        (datetime(2018, 1, 1, tzinfo=UTC), "a"),
        (DAY - timedelta(seconds=1), "a"),
        (DAY + timedelta(seconds=3), "a"),
        (DAY + timedelta(seconds=9), "a"),
        (DAY + timedelta(seconds=9), "b"),
    ]
    assert cleaned.result.watermark == DAY + timedelta(seconds=9)


def test_columns_of_the_files_are_those_of_the_contract(tmp_path: Path) -> None:
    cleaned = clean(tmp_path, [csv(reading(1), "broken")])
    schemas = {file.kind: pq.read_schema(file.path) for file in cleaned.result.files}
    assert [(field.name, str(field.type)) for field in schemas["rows"]] == [
        ("timestamp", "timestamp[us, tz=UTC]"),
        ("sensor_id", "string"),
        ("pm10", "double"),
    ]
    assert [(field.name, str(field.type)) for field in schemas["features"]] == [
        ("window_start", "timestamp[us, tz=UTC]"),
        ("sensor_id", "string"),
        ("field", "string"),
        ("count", "int64"),
        ("mean", "double"),
        ("m2", "double"),
        ("min", "double"),
        ("max", "double"),
    ]
    assert [(field.name, str(field.type)) for field in schemas["rejected"]] == [
        ("file", "string"),
        ("line", "int64"),
        ("offset", "int64"),
        ("reason", "string"),
        ("detail", "string"),
        ("raw", "string"),
    ]


def test_a_rejected_row_says_where_it_is_and_what_is_wrong(tmp_path: Path) -> None:
    content = csv(reading(1), "2019-03-04T00:00:02;ä;x").encode()
    (row,) = clean(tmp_path, [content]).rejected
    assert row == {
        "file": "0.csv",
        "line": 3,
        "offset": content.index(b"2019-03-04T00:00:02"),
        "reason": "invalid_value",
        "detail": "pm10: 'x' is not a double",
        "raw": "2019-03-04T00:00:02;ä;x",
    }


def test_the_first_of_a_key_is_kept_across_files(tmp_path: Path) -> None:
    cleaned = clean(
        tmp_path, [csv(reading(1, value="1")), csv(reading(1, value="2"), reading(2, value="3"))]
    )
    assert [row["pm10"] for row in cleaned.rows] == [1.0, 3.0]
    assert [each.rows_duplicate for each in cleaned.inputs] == [0, 1]


def test_a_key_without_the_time_is_unique_over_all_days(tmp_path: Path) -> None:
    lines = [reading(5, "a", "1"), "2018-01-01T00:00:00;a;2", reading(1, "b", "3")]
    cleaned = clean(tmp_path, [csv(*lines)], key=["sensor_id"])
    assert [row["pm10"] for row in cleaned.rows] == [3.0, 1.0]
    assert cleaned.inputs[0].rows_duplicate == 1


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_separator_is_found_in_the_header(delimiter: str, tmp_path: Path) -> None:
    # The decimal marks in the second column would mislead whoever looked at rows alone.
    content = f"timestamp|sensor_id|P1|a,b,c,d;e\n{reading(1).replace(';', '|')}|\n"
    content = content.replace("|", delimiter)
    if delimiter in ",;":
        content = content.replace("a,b,c,d;e", "rest")
    assert [row["pm10"] for row in clean(tmp_path, [content]).rows] == [1.5]


def test_a_declared_separator_is_not_second_guessed(tmp_path: Path) -> None:
    cleaned = clean(tmp_path, [csv(reading(1))], source={"csv": {"delimiter": ","}})
    (result,) = cleaned.inputs
    assert result.quarantined is not None
    assert result.quarantined.reason == "missing_column"
    assert cleaned.columns_seen == ("timestamp;sensor_id;P1",)


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_byte_order_mark_and_line_ends_are_read_over(ending: str, tmp_path: Path) -> None:
    content = csv(reading(1), reading(2)).replace("\n", ending)
    cleaned = clean(tmp_path, [b"\xef\xbb\xbf" + content.encode()])
    assert (len(cleaned.rows), cleaned.reasons) == (2, [])


def test_the_last_line_needs_no_newline(tmp_path: Path) -> None:
    cleaned = clean(tmp_path, [csv(reading(1), reading(2)).rstrip("\n")])
    assert len(cleaned.rows) == 2
    assert cleaned.inputs[0].lines == 2


@pytest.mark.parametrize("content", ["", "\n\n", HEADER, HEADER + "\n", "\ufeff" + HEADER])
def test_a_file_without_rows_has_none(content: str, tmp_path: Path) -> None:
    cleaned = clean(tmp_path, [content])
    (result,) = cleaned.inputs
    assert (result.rows_read, result.quarantined) == (0, None)
    assert cleaned.result.files == ()
    assert cleaned.result.watermark is None


@pytest.mark.parametrize("size", [MAX_LINE + 1, 3_000_000])
def test_an_endless_line_costs_only_itself(size: int, tmp_path: Path) -> None:
    endless = "x" * size
    cleaned = clean(tmp_path, [csv(reading(1), endless, reading(2), "y", endless)])
    assert len(cleaned.rows) == 2
    assert [(row["line"], row["reason"]) for row in cleaned.rejected] == [
        (3, "row_too_long"),
        (5, "wrong_field_count"),
        (6, "row_too_long"),
    ]
    start = len(csv(reading(1)))
    assert [row["offset"] for row in cleaned.rejected] == [
        start,
        start + size + 1 + len(reading(2)) + 1,
        start + size + 1 + len(reading(2)) + 1 + 2,
    ]
    assert cleaned.rejected[0]["raw"] == "x" * 4096


def test_lines_are_whole_across_the_chunks_in_which_a_file_is_read(tmp_path: Path) -> None:
    lines = [reading(second, value=str(second / 100)) for second in range(40_000)]
    content = csv(*lines)
    assert len(content) > 1_000_000
    cleaned = clean(tmp_path, [content])
    assert [row["pm10"] for row in cleaned.rows] == [second / 100 for second in range(40_000)]


def test_a_range_begins_with_its_own_line_numbers_and_the_files_header(tmp_path: Path) -> None:
    content = csv(reading(1), reading(2), "broken", reading(3))
    path = tmp_path / "a.csv"
    path.write_text(content)
    start = content.index(reading(2))
    out = tmp_path / "out"
    out.mkdir()
    cleaned = clean_ranges(out, [Part("a.csv", path, start, len(content), 2)])
    assert len(cleaned.rows) == 2
    assert [(row["line"], row["offset"]) for row in cleaned.rejected] == [
        (4, content.index("broken"))
    ]
    assert cleaned.inputs[0].lines == 5


def test_bytes_behind_the_end_are_not_read(tmp_path: Path) -> None:
    content = csv(reading(1), reading(2))
    path = tmp_path / "a.csv"
    path.write_text(content)
    end = content.index(reading(2))
    out = tmp_path / "out"
    out.mkdir()
    cleaned = clean_ranges(out, [Part("a.csv", path, 0, end, 0)])
    assert (len(cleaned.rows), cleaned.inputs[0].lines) == (1, 2)


def test_a_quarantined_file_makes_no_row_a_duplicate(tmp_path: Path) -> None:
    bad = csv(*(f"{reading(second)};9" for second in range(30)), reading(99))
    good = csv(reading(99), reading(100))
    cleaned = clean(tmp_path, [bad, good])
    first, second = cleaned.inputs
    assert first.quarantined is not None
    assert first.quarantined.message == "4 fields in rows, 3 in the header"
    assert (first.rows_read, first.rows_rejected, first.lines) == (0, 0, 0)
    assert (second.rows_clean, second.rows_duplicate) == (2, 0)
    assert cleaned.rejected == []


def test_a_few_rows_do_not_condemn_a_file(tmp_path: Path) -> None:
    cleaned = clean(tmp_path, [csv(*(f"{reading(second)};9" for second in range(9)))])
    assert cleaned.reasons == ["wrong_field_count"] * 9


def test_a_file_that_shrinks_or_vanishes_is_unreadable_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    paths = [tmp_path / f"{name}.csv" for name in "abc"]
    for second, path in enumerate(paths):
        path.write_text(csv(reading(second)))
    parts = [whole(path) for path in paths]
    decisions = [decided(part, Detector(job())) for part in parts]
    paths[0].write_text(HEADER)
    paths[1].unlink()
    out = tmp_path / "out"
    out.mkdir()
    cleaned = clean_decided(out, parts, decisions)
    reasons = [each.quarantined and each.quarantined.reason for each in cleaned.inputs]
    assert reasons == ["unreadable", "unreadable", None]
    assert len(cleaned.rows) == 1


@pytest.mark.parametrize("kind", ["link", "pipe"])
def test_what_became_a_link_or_a_pipe_is_not_opened(kind: str, tmp_path: Path) -> None:
    target, path = tmp_path / "target", tmp_path / "a.csv"
    target.write_text(csv(reading(1)))
    if kind == "link":
        path.symlink_to(target)
    else:
        os.mkfifo(path)
    out = tmp_path / "out"
    out.mkdir()
    size = target.stat().st_size
    (result,) = clean_ranges(out, [Part("a.csv", path, 0, size, 0)]).inputs
    assert result.quarantined is not None
    assert result.quarantined.reason == "unreadable"


def test_columns_of_all_files_are_reported(tmp_path: Path) -> None:
    fields = [
        {"name": "sensor_id", "type": "string"},
        {"name": "pm10", "from": ["P1", "PM10"], "type": "double"},
        {"name": "pressure", "type": "double"},
    ]
    contents = ["timestamp;sensor_id;PM10;lat\n", "timestamp;sensor_id;temperature\n"]
    result = clean(tmp_path, contents, schema={"fields": fields})
    assert result.columns_seen == ("PM10", "lat", "sensor_id", "temperature", "timestamp")
    assert result.columns_missing == ("pressure",)


@pytest.mark.parametrize("ship", [["rows"], ["features"], ["features", "rows"]])
def test_only_what_is_shipped_is_written_and_the_counts_stay(
    ship: list[str], tmp_path: Path
) -> None:
    cleaned = clean(tmp_path, [csv(reading(1), reading(1), "x")], results={"ship": ship})
    assert {file.kind for file in cleaned.result.files} == {*ship, "rejected"}
    (result,) = cleaned.inputs
    assert (result.rows_clean, result.rows_duplicate, result.rows_rejected) == (1, 1, 1)
    assert cleaned.result.watermark is not None


def test_features_are_the_state_of_each_window_group_and_numeric_field(tmp_path: Path) -> None:
    fields = [
        {"name": "sensor_id", "type": "string"},
        {"name": "indoors", "type": "boolean"},
        {"name": "pm10", "type": "double"},
        {"name": "ticks", "type": "long"},
    ]
    lines = [
        f"2019-03-04T{time};a;{indoors};{value};{ticks}"
        for time, indoors, value, ticks in [
            ("00:00:00", "1", "1", "7"),
            ("00:59:59", "1", "2", "9"),
            ("00:30:00", "0", "5", ""),
            ("00:30:01", "", "", ""),
            ("01:00:00", "1", "4", ""),
        ]
    ]
    content = "\n".join(["timestamp;sensor_id;indoors;pm10;ticks", *lines])
    cleaned = clean(
        tmp_path,
        [content],
        schema={"fields": fields},
        features={"groupBy": ["indoors"]},
    )
    found = [tuple(row.values()) for row in cleaned.features]
    assert found == [
        (DAY, False, "pm10", 1, 5.0, 0.0, 5.0, 5.0),
        (DAY, True, "pm10", 2, 1.5, 0.5, 1.0, 2.0),
        (DAY, True, "ticks", 2, 8.0, 2.0, 7.0, 9.0),
        (DAY + timedelta(hours=1), True, "pm10", 1, 4.0, 0.0, 4.0, 4.0),
    ]


def test_features_lie_on_the_day_on_which_their_window_begins(tmp_path: Path) -> None:
    cleaned = clean(
        tmp_path,
        [csv("2019-03-03T23:30:00;a;1", "2019-03-04T00:30:00;a;2")],
        features={"window": "7h"},
    )
    days = [file.day for file in cleaned.result.files if file.kind == "features"]
    # Windows are multiples since 1970: this one is 19:00 to 02:00.
    assert days == ["2019-03-03"]
    assert [row["count"] for row in cleaned.features] == [2]


def test_features_are_exact_where_sums_of_squares_would_fail(tmp_path: Path) -> None:
    values = [1e9 + random.Random(1).random() for _ in range(1000)]
    lines = [reading(second, value=repr(value)) for second, value in enumerate(values)]
    (row,) = clean(tmp_path, [csv(*lines)], schema={"fields": UNBOUNDED}).features
    mean = math.fsum(values) / 1000
    assert row["mean"] == mean
    assert row["m2"] == pytest.approx(math.fsum((v - mean) ** 2 for v in values), rel=1e-12)


def test_features_of_numbers_near_the_end_of_doubles(tmp_path: Path) -> None:
    lines = [reading(second, value="1.7e308") for second in range(3)]
    (row,) = clean(tmp_path, [csv(*lines)], schema={"fields": UNBOUNDED}).features
    assert row["mean"] == pytest.approx(1.7e308)
    assert row["max"] == 1.7e308


def test_values_pass_through_bit_for_bit(tmp_path: Path) -> None:
    cells = ["-0.0", "0.1", "5e-324", "123456789.12345678", "1", "2.50"]
    lines = [reading(second, value=cell) for second, cell in enumerate(cells)]
    cleaned = clean(tmp_path, [csv(*lines)], schema={"fields": UNBOUNDED})
    assert [row["pm10"].hex() for row in cleaned.rows] == [float(cell).hex() for cell in cells]


@pytest.mark.parametrize(
    ("time", "zone", "expected"),
    [
        ("2019-03-04T12:00:00", "Europe/London", "2019-03-04T12:00:00Z"),
        ("2018-07-04T12:00:00", "Europe/London", "2018-07-04T11:00:00Z"),
        ("2018-07-04T12:00:00Z", "Europe/London", "2018-07-04T12:00:00Z"),
        ("2018-07-04T12:00:00-0330", "Europe/London", "2018-07-04T15:30:00Z"),
        ("2018-07-04T12:00:00+02", "UTC", "2018-07-04T10:00:00Z"),
        ("2018-07-04 12:00", "UTC", "2018-07-04T12:00:00Z"),
        ("2018-07-04T12:00:00,25", "UTC", "2018-07-04T12:00:00.250000Z"),
        ("2018-07-04T12:00:00.1234569", "UTC", "2018-07-04T12:00:00.123456Z"),
        ("2016-02-29T23:59:59", "UTC", "2016-02-29T23:59:59Z"),
        ("2016-12-31T23:59:60", "UTC", None),
        ("2018-07-04T12:00:00+24:00", "UTC", None),
        ("2018-07-04T12:00:00+00:60", "UTC", None),
        ("2018-07-04T12:60:00", "UTC", None),
        ("2018-07-4T12:00:00", "UTC", None),
        ("2018-07-04", "UTC", None),
        ("２018-07-04T12:00:00", "UTC", None),  # noqa: RUF001  # a digit, and not an ASCII one
        # Clocks of Lord Howe Island go half an hour forward and back.
        ("2018-10-07T02:15:00", "Australia/Lord_Howe", None),
        ("2018-10-07T02:30:00", "Australia/Lord_Howe", "2018-10-06T15:30:00Z"),
        ("2018-04-01T01:45:00", "Australia/Lord_Howe", None),
        ("2018-04-01T01:15:00", "Australia/Lord_Howe", "2018-03-31T14:15:00Z"),
    ],
)
def test_times(time: str, zone: str, expected: str | None, tmp_path: Path) -> None:
    # The first row fills the cache of the hour, through which the second one may go.
    content = csv(f"{time[:14]}00:00;b;1", f"{time};a;1")
    cleaned = clean(tmp_path, [content], schema={"timestamp": {"timeZone": zone}})
    found = [row["timestamp"] for row in cleaned.rows if row["sensor_id"] == "a"]
    assert found == ([] if expected is None else [datetime.fromisoformat(expected)])


def test_an_hour_that_clocks_cut_short_does_not_move_the_one_before(tmp_path: Path) -> None:
    times = ["2018-10-07T01:15:00", "2018-10-07T02:30:00", "2018-10-07T01:20:00"]
    cleaned = clean(
        tmp_path,
        [csv(*(f"{time};a;1" for time in times))],
        schema={"timestamp": {"timeZone": "Australia/Lord_Howe"}},
    )
    found = [row["timestamp"].strftime("%H:%M") for row in cleaned.rows]
    assert found == ["14:45", "14:50", "15:30"]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_columns_may_stand_in_any_order_and_cells_in_quotes(ending: str, tmp_path: Path) -> None:
    lines = [
        "P1,note,timestamp,sensor_id",
        '"1.5","x, y","2019-03-04T00:00:01","a"',
        "2.5,,2019-03-04T00:00:02,b",
        '-0.25,"",2019-03-04 00:00:03 , "c"',
        '123456.75,"a ""b""",2019-03-04T00:00:04,"d ""e"""',
        "0.1234567890123,-,2019-03-04T00:00:05Z,\u00e9",
        '3.5,5",2019-03-04T00:00:06,a',
    ]
    cleaned = clean(tmp_path, [ending.join([*lines, ""])], schema={"fields": UNBOUNDED})
    found = [(row["sensor_id"], row["pm10"]) for row in cleaned.rows]
    assert found == [
        ("a", 1.5),
        ("b", 2.5),
        ("c", -0.25),
        ('d "e"', 123456.75),
        ("\u00e9", 0.1234567890123),
        ("a", 3.5),
    ]


def test_a_number_can_mean_that_there_is_no_value(tmp_path: Path) -> None:
    lines = [reading(second, value=value) for second, value in enumerate(["1", "-99.9", "-99"])]
    cleaned = clean(
        tmp_path, [csv(*lines)], schema={"fields": UNBOUNDED, "nullValues": ["", "-99.9"]}
    )
    assert [row["pm10"] for row in cleaned.rows] == [1.0, None, -99.0]


def test_a_column_can_be_two_fields(tmp_path: Path) -> None:
    fields = [*UNBOUNDED, {"name": "raw", "from": ["P1"], "type": "string"}]
    (row,) = clean(tmp_path, [csv(reading(1))], schema={"fields": fields}).rows
    assert (row["pm10"], row["raw"]) == (1.5, "1.5")


def test_the_last_hour_of_all_time_is_no_trap(tmp_path: Path) -> None:
    times = ["9999-12-31T23:30:00", "9999-12-31T23:30:01-01:00", "0001-01-01T00:00:00+01:00"]
    cleaned = clean(
        tmp_path,
        [csv(*(f"{time};a;1" for time in times))],
        schema={"timestamp": {"notBefore": None}},
    )
    assert cleaned.reasons == ["timestamp_in_future", "invalid_timestamp", "invalid_timestamp"]


def test_a_time_that_iso_8601_reads_too_can_be_ambiguous(tmp_path: Path) -> None:
    cleaned = clean(
        tmp_path,
        [csv("2018-13-04T12:00:00;a;1", "2018-03-04T12:00:00;a;1", "2018-03-04T12:00:01;a;1")],
        schema={"timestamp": {"formats": ["ISO8601", "%Y-%d-%mT%H:%M:%S"]}},
    )
    assert cleaned.reasons == ["ambiguous_timestamp", "ambiguous_timestamp"]


def test_strptime_formats_take_a_zone(tmp_path: Path) -> None:
    cleaned = clean(
        tmp_path,
        [csv("04.07.2018 12:00 +0200;a;1", "04.07.2018 12:00;a;1")],
        schema={"timestamp": {"formats": ["%d.%m.%Y %H:%M %z", "ISO8601", "%d.%m.%Y %H:%M"]}},
    )
    assert [row["timestamp"].hour for row in cleaned.rows] == [10, 12]


def test_nothing_is_left_in_the_working_directory_but_the_files(tmp_path: Path) -> None:
    cleaned = clean(tmp_path, [csv(reading(1))])
    assert set((tmp_path / "out").iterdir()) == {file.path for file in cleaned.result.files}


def test_shuffled_input_of_many_days_is_sorted_and_counted(tmp_path: Path) -> None:
    chance = random.Random(7)
    lines = [
        f"{(DAY - timedelta(minutes=chance.randrange(60_000))).isoformat()[:19]};s;{index}"
        for index in range(20_000)
    ]
    cleaned = clean(tmp_path, [csv(*lines)], schema={"fields": UNBOUNDED})
    firsts: dict[str, float] = {}
    for index, line in enumerate(lines):
        firsts.setdefault(line[:19], float(index))
    found = {row["timestamp"].isoformat()[:19]: row["pm10"] for row in cleaned.rows}
    assert list(found.items()) == sorted(firsts.items())
    assert cleaned.inputs[0].rows_duplicate == 20_000 - len(firsts)
