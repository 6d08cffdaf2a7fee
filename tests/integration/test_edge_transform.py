"""A job's own rules: each row that they drop is accounted for, each mistake in them is named."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from edge_etl_job.errors import EdgeError

from tests.support.edge import Pi, csv, reading

TYPES: dict[str, Any] = {
    "fields": [
        {"name": "sensor_id", "type": "string"},
        {"name": "pm10", "from": ["P1"], "type": "double"},
        {"name": "count", "type": "long"},
        {"name": "raining", "type": "boolean"},
        {"name": "place", "type": "string"},
    ]
}
RUN, LATER, LAST = "20190305-000000", "20190305-000001", "20190305-000002"


@pytest.fixture
def pi(tmp_path: Path) -> Pi:
    return Pi.at(tmp_path)


def rules(pi: Pi, *lines: str) -> Path:
    path = pi.root / "clean.py"
    path.write_text("".join(f"{line}\n" for line in ("def clean(frame):", *lines)))
    return path


def test_values_are_changed_and_dropped_rows_are_accounted_for(pi: Pi) -> None:
    own = rules(pi, "    frame['pm10'] *= 2", "    return frame[frame['pm10'] < 100]")
    lines = (reading(1), reading(2, value="60"), "broken", reading(3, value="2"), reading(3))
    path = pi.write("a.csv", csv(*lines))
    summary = pi.deliver(RUN, transform=own)
    assert (summary.rows_read, summary.rows_clean, summary.rows_duplicate) == (5, 2, 1)
    assert summary.rejected_by_reason == {"rejected_by_transform": 1, "wrong_field_count": 1}
    assert [row["pm10"] for row in pi.delivered()] == [3.0, 4.0]
    assert [row["max"] for row in pi.delivered("features")] == [4.0]
    rejected = pi.delivered("rejected")
    assert [(row["line"], row["reason"]) for row in rejected] == [
        (3, "rejected_by_transform"),
        (4, "wrong_field_count"),
    ]
    for row in rejected:
        assert path.read_bytes()[row["offset"] :].startswith(row["raw"].encode())


def test_what_they_dropped_is_read_again_by_other_ones(pi: Pi) -> None:
    pi.write("a.csv", csv(reading(1), reading(2, value="60"), reading(3)))
    own = rules(pi, "    return frame[frame['pm10'] < 50]")
    pi.deliver(RUN, transform=own)
    rules(pi, "    return frame")
    assert pi.deliver(LATER, transform=own, replay="now").rows_clean == 1
    assert [row["timestamp"].second for row in pi.delivered()] == [1, 3, 2]
    first, last = pi.manifests()
    assert first.schema_version != last.schema_version


def test_what_they_leave_as_it_is_comes_out_as_without_them(pi: Pi) -> None:
    header = "timestamp;sensor_id;P1;count;raining;place\n"
    content = header + (
        "2019-03-04T00:00:01.123456;a;1.5;9007199254740993;true;K\u00f6ln\n"
        "2019-03-04T00:00:02;b;;;;\n"
        '2019-03-04T00:00:03;a;-0.0;-1;0;"a; b"\n'
    )
    pi.write("a.csv", content)
    pi.deliver(RUN, schema=TYPES)
    pi.write("a.csv", content.replace("00:00:0", "01:00:0"))
    pi.deliver(LATER, schema=TYPES, transform=rules(pi, "    return frame"))
    rows = pi.delivered()
    assert [{**row, "timestamp": row["timestamp"].replace(hour=0)} for row in rows[3:]] == rows[:3]
    assert len(rows) == 6


def test_a_row_that_loses_what_it_must_have_is_rejected_for_that(pi: Pi) -> None:
    pi.write("a.csv", csv(reading(1), reading(2, "b")))
    own = rules(
        pi, "    frame.loc[frame['sensor_id'] == 'b', 'sensor_id'] = None", "    return frame"
    )
    summary = pi.deliver(RUN, transform=own)
    assert (summary.rows_clean, summary.rejected_by_reason) == (1, {"missing_key": 1})


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["    frame['x'] = 1", "    return frame['humidity']"],
         "clean.py, line 3: KeyError: 'humidity' (lines 2 to 3 of a.csv)"),
        (["    return frame.nothing("], "clean.py, line 2: SyntaxError"),
        (["    pass"], "clean.py: clean() gave NoneType, not a DataFrame"),
        (["    return frame.reset_index()"], "clean.py: clean() gave rows that it was not given"),
        (["    import pandas", "    return pandas.concat([frame, frame])"], "or one twice"),
        (["    return frame.drop(columns=['pm10'])"], "clean() gave a frame without pm10"),
        (["    frame['pm10'] = 'high'", "    return frame"], "pm10 is not a double"),
        (["    frame['pm10'] /= 0", "    return frame"], "pm10 is infinite in a row"),
        (["    frame['timestamp'] = frame['timestamp'].dt.tz_localize(None)", "    return frame"],
         "timestamp lost its zone"),
        (["    raise SystemExit(0)"], "clean.py, line 2: SystemExit: 0"),
    ],
)  # fmt: skip
def test_a_mistake_in_them_is_named_with_its_line_and_nothing_is_delivered(
    lines: list[str], said: str, pi: Pi
) -> None:
    pi.write("a.csv", csv(reading(1), reading(2)))
    with pytest.raises(EdgeError) as raised:
        pi.deliver(RUN, transform=rules(pi, *lines))
    assert raised.value.reason == "TransformFailed"
    assert said in raised.value.message
    assert pi.manifests() == []
    assert pi.deliver(RUN, transform=rules(pi, "    return frame")).rows_clean == 2


def test_memory_that_they_cannot_have_is_said_to_be_too_little(pi: Pi) -> None:
    pi.write("a.csv", csv(reading(1)))
    own = rules(pi, "    return bytearray(1 << 60)")
    with pytest.raises(EdgeError, match=r"OutOfMemory: clean.py, line 2: the memory is used up"):
        pi.deliver(RUN, transform=own)


def test_they_see_many_rows_in_batches_and_print_into_the_log(pi: Pi) -> None:
    pi.write("a.csv", csv(*(reading(second) for second in range(20_000))))
    own = rules(pi, "    print('batch of', len(frame))", "    return frame.iloc[1:]")
    arguments = [*pi.arguments(RUN, "a"), "--transform", str(own)]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["rowsClean"] == 20_000 - done.stderr.count("batch of 8192") - 1
    assert done.stderr.count("batch of 8192") == 2


def test_a_file_without_the_function_is_named(pi: Pi) -> None:
    pi.write("a.csv", csv(reading(1)))
    own = pi.root / "own.py"
    with pytest.raises(EdgeError, match=r"TransformFailed: own.py cannot be read: No such file"):
        pi.deliver(RUN, transform=own)
    own.write_text("clean = 1\n")
    with pytest.raises(EdgeError, match=r"own.py: it has no function clean\(frame\)"):
        pi.deliver(RUN, transform=own)
