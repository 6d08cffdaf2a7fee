"""What `probe` tells of a machine and of a sample of its files."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from edge_etl_job import machine
from edge_etl_job.probe import encoded, probe
from edge_etl_job.probe_document import NodeProbe

from tests.support.edge import csv, job, reading

NOW = datetime(2019, 3, 6, tzinfo=UTC)


def looked(tmp_path: Path, over: object = None, **files: str | bytes) -> NodeProbe:
    source, work = tmp_path / "source", tmp_path / "work"
    source.mkdir()
    work.mkdir()
    for name, content in files.items():
        file = source / f"{name}.csv"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    seen = probe(job(**(over if isinstance(over, dict) else {})), "pi-1", source, work, NOW)
    assert list(work.iterdir()) == []
    return seen


def test_good_files_are_counted_and_sampled(tmp_path: Path) -> None:
    seen = looked(tmp_path, a=csv(reading(1), reading(2)))
    assert (seen.files.count, seen.files.message) == (1, "")
    (sample,) = seen.samples
    assert (sample.rows_read, sample.rejected_by_reason, sample.reason) == (2, {}, "")
    assert sample.latest == "2019-03-04T00:00:02Z"
    assert seen.page_size == os.sysconf("SC_PAGE_SIZE")
    assert {disk.path for disk in seen.disks} == {"source", "work"}
    assert all(disk.free_bytes > 0 and not disk.message for disk in seen.disks)


def test_a_comma_where_a_point_is_declared_is_shown_with_its_line(tmp_path: Path) -> None:
    content = csv(*(reading(at, value="4,5") for at in range(20))).replace(",", ";")
    seen = looked(
        tmp_path,
        {"source": {"csv": {"decimal": "."}}},
        a=content.replace("4;5", "4,5"),
    )
    (sample,) = seen.samples
    assert sample.rejected_by_reason == {"invalid_value": 20}
    (example,) = sample.examples
    assert (example.line, example.detail) == (2, "pm10: '4,5' is not a double")


def test_a_time_of_the_future_is_rejected_and_told(tmp_path: Path) -> None:
    seen = looked(tmp_path, a=csv("2019-03-06T09:00:00;a;1"))
    (sample,) = seen.samples
    assert sample.rejected_by_reason == {"timestamp_in_future": 1}
    assert sample.latest == "2019-03-06T09:00:00Z"


def test_the_end_of_a_long_file_tells_its_latest_time(tmp_path: Path) -> None:
    many = [reading(at) for at in range(20_000)]
    seen = looked(tmp_path, a=csv(*many, "2019-03-07T12:00:00;a;1"))
    (sample,) = seen.samples
    assert 1000 < sample.rows_read < 20_000
    assert sample.latest == "2019-03-07T12:00:00Z"


def test_a_file_that_would_be_quarantined_says_why(tmp_path: Path) -> None:
    seen = looked(tmp_path, a="when;what\n1;2\n", b=b"\x89PNG\0\0" + bytes(4096))
    told = {each.file: each for each in seen.samples}
    assert told["a.csv"].reason == "missing_column"
    assert told["a.csv"].columns_seen == ("when", "what")
    assert told["b.csv"].reason


def test_of_files_with_one_header_one_is_looked_at(tmp_path: Path) -> None:
    files = {f"f{at}": csv(reading(at)) for at in range(10)}
    seen = looked(tmp_path, **files)
    assert (seen.files.count, len(seen.samples)) == (10, 1)


def test_a_source_that_is_missing_is_a_fact_and_no_failure(tmp_path: Path) -> None:
    seen = probe(job(), "pi-1", tmp_path / "nowhere", tmp_path, NOW)
    assert "does not exist" in seen.files.message
    assert seen.disks[0].message == "No such file or directory"


def test_an_answer_fits_into_a_termination_message(tmp_path: Path) -> None:
    header = ";".join(f"a_long_name_of_a_column_{at}" for at in range(200))
    wide = {f"f{at}": f"timestamp;sensor_id;P1;{header}{at}\n" for at in range(4)}
    content = encoded(looked(tmp_path, **wide))
    assert len(content) <= 4096
    assert json.loads(content)["kind"] == "NodeProbe"


@pytest.mark.parametrize(
    ("controllers", "on"), [("cpu io memory pids\n", True), ("cpu io pids\n", False)]
)
def test_memory_limits_by_the_second_control_groups(
    tmp_path: Path, controllers: str, on: bool
) -> None:
    (tmp_path / "cgroup.controllers").write_text(controllers)
    assert machine.memory_cgroup(tmp_path) is on


def test_memory_limits_by_the_first_control_groups(tmp_path: Path) -> None:
    assert machine.memory_cgroup(tmp_path) is False
    (tmp_path / "memory").mkdir()
    assert machine.memory_cgroup(tmp_path) is True
    assert machine.memory_cgroup(tmp_path / "none") is None


def test_what_a_pi_says_of_its_heat(tmp_path: Path) -> None:
    for at, text in enumerate(("48312\n", "61250\n", "broken")):
        (tmp_path / f"thermal_zone{at}").mkdir()
        (tmp_path / f"thermal_zone{at}" / "temp").write_text(text)
    assert machine.celsius(tmp_path) == 61.25
    firmware = tmp_path / "devices/platform/soc/soc:firmware"
    firmware.mkdir(parents=True)
    (firmware / "get_throttled").write_text("50005\n")
    assert machine.throttled(tmp_path) == (
        "under-voltage now",
        "throttled now",
        "there was under-voltage since the boot",
        "it was throttled since the boot",
    )
