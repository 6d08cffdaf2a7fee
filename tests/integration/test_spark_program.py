"""Whole aggregations on real Spark, against an independent pandas computation."""

import dataclasses
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow.dataset as ds
import pytest
from edge_etl_spark import parts, staging
from edge_etl_spark import table as tools
from edge_etl_spark.aggregate import aggregate
from edge_etl_spark.documents import AggregationDocument, AggregationReport, Spark, VersionManifest
from edge_etl_spark.errors import AggregationError
from edge_etl_spark.failures import diagnose
from edge_etl_spark.versions import Version
from py4j.protocol import Py4JError

from tests.support import publish_many
from tests.support.cluster.kube import until
from tests.support.node_results import Job, frame
from tests.support.table_oracle import assert_table, day_files, read_features

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

FIRST, SECOND, THIRD = "20260101-000000", "20260102-000000", "20260103-000000"


pytestmark = pytest.mark.usefixtures("shared_session")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path / "results dir")


def readings(seed: int, start: str, count: int = 60, sensors: str = "ab") -> Any:
    """Return readings of two days, one every 40 minutes; seeds share times, not values."""
    generator = np.random.default_rng(seed)
    times = pd.date_range(start, periods=count, freq="40min", tz="UTC")
    values = [None if generator.random() < 0.1 else generator.normal(20, 5) for _ in times]
    chosen = [sensors[number % len(sensors)] for number in range(count)]
    return frame(
        [(time.isoformat(), *row) for time, *row in zip(times, chosen, values, strict=True)]
    )


def run(job: Job, run_id: str, *nodes: str, **changes: Any) -> AggregationReport:
    document = msgspec.json.decode(
        json.dumps(job.document(run_id, *nodes) | changes), type=AggregationDocument
    )
    return aggregate(document, job.root)


def version(job: Job) -> VersionManifest:
    content = (job.table / "current" / "version.json").read_bytes()
    return msgspec.json.decode(content, type=VersionManifest)


@pytest.mark.parametrize("tasks", ["one", "a part for each day", "several"])
def test_runs_that_repeat_overlap_and_come_late_give_the_table_of_all_first_rows(
    job: Job, tasks: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pis deliver the same keys with other values; the first by run and node stays."""
    if tasks == "several":
        monkeypatch.setattr(staging, "SMALL_BYTES", 0)
        monkeypatch.setattr(staging, "ALONE_BYTES", 0)
    if tasks == "a part for each day":
        monkeypatch.setattr(parts, "PART_BYTES", 0)
    one = readings(1, "2026-01-01T00:00:00")
    two = readings(2, "2026-01-01T10:40:00")  # same sensors and times as pi-1's from then on
    job.deliver(FIRST, "pi-1", one)
    job.deliver(FIRST, "pi-2", two)
    first = run(job, FIRST, "pi-1", "pi-2")

    assert_table(job, [one, two])
    unique = len(pd.concat([one, two]).drop_duplicates(["sensor_id", "timestamp"]))
    assert 0 < first.rows_duplicate < len(two)
    assert (first.version, first.rows, first.rows_added) == (1, unique, unique)
    assert first.rows_added + first.rows_duplicate == len(one) + len(two)
    kept = day_files(job, "rows", "2026-01-01") + day_files(job, "features", "2026-01-01")

    # The next day: a redelivery with other values, a new day, and a node that the first
    # aggregation did not wait for.
    again = readings(3, "2026-01-02T08:00:00")
    late = readings(4, "2026-01-02T00:00:00", count=20, sensors="ac")
    job.deliver(FIRST, "pi-3", late)
    job.deliver(SECOND, "pi-1", again)
    before = [path.stat().st_ino for path in kept]
    second = run(job, SECOND, "pi-1")

    assert_table(job, [one, two, late, again])
    assert (second.version, second.manifests_merged) == (2, 2)
    assert second.rows_added + second.rows_duplicate == len(late) + len(again)
    assert second.rows == second.rows_added + first.rows
    assert second.days_written == 2
    carried = day_files(job, "rows", "2026-01-01") + day_files(job, "features", "2026-01-01")
    assert [path.stat().st_ino for path in carried] == before, "an unchanged day is shared"

    written = version(job)
    assert [(item.run, item.node) for item in written.merged] == [
        (FIRST, "pi-1"),
        (FIRST, "pi-2"),
        (FIRST, "pi-3"),
        (SECOND, "pi-1"),
    ]
    assert set(written.watermarks) == {"pi-1", "pi-2", "pi-3"}
    assert sum(file.rows for file in written.files) == written.rows + written.feature_rows
    for file in written.files:
        assert (job.table / "current" / file.path).stat().st_size == file.bytes
    found = ds.dataset(job.table / "current" / "rows", partitioning="hive")
    assert found.count_rows() == second.rows
    names = {path.name for path in (job.table / "current").rglob("*") if path.is_file()}
    assert not [name for name in names if not name.endswith((".parquet", "version.json"))]


def test_a_run_that_was_published_reports_the_same_again_and_a_new_one_nothing(job: Job) -> None:
    job.deliver(FIRST, "pi-1", readings(1, "2026-01-01T00:00:00"))
    published = run(job, FIRST, "pi-1")
    assert run(job, FIRST, "pi-1") == published

    job.deliver(SECOND, "pi-1", readings(1, "2026-01-01T00:00:00").iloc[:0])
    nothing = run(job, SECOND, "pi-1")
    assert (nothing.succeeded, nothing.reason) == (True, "NothingNew")
    assert (nothing.version, nothing.rows, nothing.rows_added) == (1, published.rows, 0)


def test_windows_across_midnight_are_right_after_a_duplicate(job: Job) -> None:
    """A window of seven hours begins on the day before the duplicate that it lost."""
    job = dataclasses.replace(job, window="7h")
    one = readings(1, "2026-01-01T00:00:00", count=120)
    two = readings(2, "2026-01-03T00:00:00", count=10)
    job.deliver(FIRST, "pi-1", one)
    run(job, FIRST, "pi-1")
    job.deliver(SECOND, "pi-2", two)
    assert run(job, SECOND, "pi-2").rows_duplicate > 0
    assert_table(job, [one, two])


def test_a_new_field_is_null_in_old_rows_and_a_removed_one_stays(job: Job) -> None:
    one = readings(1, "2026-01-01T00:00:00")
    job.deliver(FIRST, "pi-1", one)
    run(job, FIRST, "pi-1")

    fields = [job.fields[0], {"name": "pm25", "type": "double"}]
    changed = dataclasses.replace(job, fields=fields, window="2h")
    two = readings(2, "2026-01-03T00:00:00").rename(columns={"pm10": "pm25"})
    changed.deliver(SECOND, "pi-1", two)
    report = run(changed, SECOND, "pi-1")

    both = dataclasses.replace(changed, fields=[*fields, job.fields[1]])
    assert_table(
        both,
        [
            one.assign(pm25=np.nan)[["timestamp", "sensor_id", "pm25", "pm10"]],
            two.assign(pm10=np.nan),
        ],
    )
    assert report.rows == len(one) + len(two)
    assert [field.name for field in version(job).fields] == ["sensor_id", "pm25", "pm10"]


def test_windows_that_changed_while_a_delivery_waited_are_computed_from_its_rows(job: Job) -> None:
    """The first delivery's states are of one hour by sensor, the document asks for 2 h of all."""
    one, two = readings(1, "2026-01-01T00:00:00"), readings(2, "2026-01-02T08:00:00")
    job.deliver(FIRST, "pi-1", one)
    changed = dataclasses.replace(job, window="2h", group_by=())
    changed.deliver(SECOND, "pi-1", two)
    run(changed, SECOND, "pi-1")
    assert_table(changed, [one, two])


def test_spark_reads_whole_versions_while_they_are_published(
    spark: "SparkSession", tmp_path: Path
) -> None:
    table = tmp_path / "table"
    publish_many.publish_next(table)
    seen: list[int] = []
    publisher = threading.Thread(
        target=lambda: [publish_many.publish_next(table) for _ in range(20)], daemon=True
    )
    publisher.start()
    while not seen or seen[-1] < 21:
        current = (table / "current").resolve()
        values = {
            kind: sorted(
                row["version"] for row in spark.read.parquet(f"{current}/{kind}").collect()
            )
            for kind in ("rows", "features")
        }
        (number,) = values["features"]
        assert values["rows"] == sorted(publish_many.row_values(number))
        assert publisher.is_alive() or (table / "current").resolve().name == "v000021"
        seen.append(number)
    assert seen == sorted(seen)


def test_a_rebuild_gives_the_same_table_and_takes_in_what_was_set_aside(job: Job) -> None:
    one, two = readings(1, "2026-01-01T00:00:00"), readings(2, "2026-01-01T10:40:00")
    job.deliver(FIRST, "pi-1", one)
    run(job, FIRST, "pi-1")
    job.deliver(SECOND, "pi-2", two)
    run(job, SECOND, "pi-2")
    tools.rollback(job.results, to=1)
    assert_table(job, [one])
    assert run(job, SECOND, "pi-2").reason == "NothingNew", "what was set aside stays out"
    made = tools.rebuild(job.results, Spark(master="local[2]"))
    assert_table(job, [one, two])
    assert (made.version, made.manifests_merged, made.set_aside) == (4, 2, ())
    assert not list(tools.verify(job.results, Version(job.table / "current", made)))

    shutil.rmtree(job.directory / "runs" / FIRST)
    with pytest.raises(AggregationError, match="its delivery is gone"):
        tools.rebuild(job.results, Spark(master="local[2]"))


def test_features_alone_merge_without_rows(job: Job) -> None:
    job = dataclasses.replace(job, ship=("features",))
    one, two = readings(1, "2026-01-01T00:00:00"), readings(2, "2026-01-01T00:20:00")
    job.deliver(FIRST, "pi-1", one)
    run(job, FIRST, "pi-1")
    job.deliver(SECOND, "pi-2", two)
    report = run(job, SECOND, "pi-2")
    with_rows = dataclasses.replace(job, root=job.root / "with rows", ship=("rows", "features"))
    with_rows.deliver(FIRST, "pi-1", one)
    with_rows.deliver(FIRST, "pi-2", two)
    run(with_rows, FIRST, "pi-1")
    pd.testing.assert_frame_equal(read_features(job), read_features(with_rows), rtol=1e-9)
    assert (report.rows, report.feature_rows) == (0, len(read_features(job)))
    assert not (job.table / "current" / "rows").exists()


def test_rows_of_a_manifest_that_says_otherwise_are_refused(job: Job) -> None:
    path = job.deliver(FIRST, "pi-1", readings(1, "2026-01-01T00:00:00"))
    manifest = json.loads(path.read_text())
    for file in manifest["files"]:
        file["day"] = "2026-02-01"
    path.write_text(json.dumps(manifest))
    with pytest.raises(AggregationError, match="day 2026-01-01, which no manifest names"):
        run(job, FIRST, "pi-1")
    assert not (job.table / "current").exists()


Program = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Start the program as the operator does."""

    def start(job: Job, run_id: str, *nodes: str) -> "subprocess.Popen[str]":
        document = tmp_path / "aggregation.json"
        document.write_text(json.dumps(job.document(run_id, *nodes)))
        return subprocess.Popen(
            [sys.executable, "-m", "edge_etl_spark", "run", "--document", document,
             "--results", job.root, "--summary", tmp_path / "report.json"],
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start


def finish(process: "subprocess.Popen[str]", tmp_path: Path) -> tuple[int, dict[str, Any], str]:
    _, log = process.communicate()
    return process.returncode, json.loads((tmp_path / "report.json").read_text()), log


class Died(BaseException):
    """What nothing catches, so that all is left as it is at that moment."""


def test_the_next_run_mends_what_one_left_that_died_at_any_step(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same as a kill for what is on disk; test_spark_publish.py dies at every line."""
    one, two = readings(1, "2026-01-01T00:00:00"), readings(2, "2026-01-02T00:00:00")
    job.deliver(FIRST, "pi-1", one)
    run(job, FIRST, "pi-1")
    job.deliver(SECOND, "pi-2", two)
    for step in ("rows", "features", "publish"):

        def die(now: str, *_: object, at: str = step, **__: object) -> None:
            if now == at:
                raise Died

        with monkeypatch.context() as patch:
            for module in ("aggregate", "staging"):
                patch.setattr(f"edge_etl_spark.{module}.progress", die)
            with pytest.raises(Died):
                run(job, SECOND, "pi-2")
        assert version(job).version == 1
        assert_table(job, [one])
    run(job, SECOND, "pi-2")
    assert_table(job, [one, two])
    assert {path.name for path in job.table.iterdir()} == {"current", "lock", "versions"}


def test_the_program_survives_a_kill_while_it_writes(
    job: Job, program: Program, tmp_path: Path
) -> None:
    one = readings(1, "2026-01-01T00:00:00")
    job.deliver(FIRST, "pi-1", one)
    process = program(job, FIRST, "pi-1")
    until(lambda: list(job.table.glob("staging/*/rows")), "rows are written", every=0.005)
    process.kill()
    process.communicate()
    assert not (job.table / "current").exists()

    code, report, log = finish(program(job, FIRST, "pi-1"), tmp_path)
    assert (code, report["reason"], report["version"]) == (0, "Published", 1)
    assert_table(job, [one])
    assert {path.name for path in job.table.iterdir()} == {"current", "lock", "versions"}
    steps = [json.loads(line).get("step") for line in log.splitlines() if line.startswith("{")]
    expected = ["verify", "spark", "rows", "features", "publish", "report"]
    assert [step for step in steps if step] == expected


def test_told_to_end_the_program_says_so_and_leaves_the_table(
    job: Job, program: Program, tmp_path: Path
) -> None:
    job.deliver(FIRST, "pi-1", readings(1, "2026-01-01T00:00:00"))
    process = program(job, FIRST, "pi-1")
    until(lambda: list(job.table.glob("staging/*/rows")), "rows are written", every=0.005)
    process.send_signal(signal.SIGTERM)
    code, report, _ = finish(process, tmp_path)
    assert (code, report["reason"]) == (1, "Stopped")
    assert not (job.table / "current").exists()


def test_a_corrupt_file_is_reported_without_a_traceback(
    job: Job, program: Program, tmp_path: Path
) -> None:
    path = job.deliver(FIRST, "pi-1", readings(1, "2026-01-01T00:00:00"))
    file = path.parent / "a1" / "rows-2026-01-01.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    code, report, log = finish(program(job, FIRST, "pi-1"), tmp_path)
    assert (code, report["succeeded"], report["reason"]) == (1, False, "ResultsCorrupt")
    assert str(file) in report["message"]
    assert "Traceback" not in log


def test_a_missing_manifest_and_a_wrong_document_are_reported(
    job: Job, program: Program, tmp_path: Path
) -> None:
    code, report, log = finish(program(job, FIRST, "pi-1"), tmp_path)
    assert (code, report["reason"], report["run"]) == (1, "ManifestMissing", FIRST)
    assert "Traceback" not in log

    code, report, log = finish(
        program(dataclasses.replace(job, key=["x"]), FIRST, "pi-1"), tmp_path
    )
    assert (code, report["reason"]) == (1, "DocumentInvalid")
    assert "$.key: x is not a field" in report["message"]
    assert "Traceback" not in log


def test_a_file_that_is_not_parquet_is_named(job: Job) -> None:
    """Its bytes are what the manifest says, but it never was a Parquet file."""
    path = job.deliver(FIRST, "pi-1", readings(1, "2026-01-01T00:00:00"))
    content = b"not a Parquet file at all"
    (path.parent / "a1" / "rows-2026-01-01.parquet").write_bytes(content)
    manifest = json.loads(path.read_text())
    manifest["files"][0] |= {
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    path.write_text(json.dumps(manifest))
    with pytest.raises(Py4JError) as caught:
        run(job, FIRST, "pi-1")
    said = diagnose(caught.value)
    assert said is not None
    assert said.reason == "ResultsCorrupt"
    assert "rows-2026-01-01.parquet" in said.message


def test_a_node_unlike_its_fleet_is_named_before_its_rows_are_in_the_table(job: Job) -> None:
    for node, lacks in (("pi-1", []), ("pi-2", []), ("pi-3", ["pm10"])):
        job.deliver(FIRST, node, readings(1, "2026-01-01", sensors=node[-1]), lacks=lacks)
    fleet = ("pi-1", "pi-2", "pi-3")
    with pytest.raises(AggregationError) as caught:
        run(job, FIRST, *fleet, onDrift="Fail")
    assert caught.value.reason == "SchemaDrift"
    assert "pi-3: no column for pm10" in caught.value.message
    assert not (job.table / "current").exists()
    report = run(job, FIRST, *fleet, onDrift="QuarantineNode")
    assert [each.node for each in report.quarantined_nodes] == ["pi-3"]
    assert version(job).missing_nodes == ("pi-3",)
    assert {each.node for each in version(job).merged} == {"pi-1", "pi-2"}
    # It still differs, also when nobody else has new rows.
    assert run(job, SECOND, onDrift="QuarantineNode").quarantined_nodes == report.quarantined_nodes
    evolved = run(job, THIRD)
    assert (evolved.manifests_merged, evolved.quarantined_nodes) == (1, ())
    assert evolved.rows > report.rows


def test_a_node_whose_values_are_of_other_types_is_named_with_the_fields(job: Job) -> None:
    rows = readings(1, "2026-01-01", count=6)
    for node in ("pi-1", "pi-2"):
        job.deliver(FIRST, node, rows)
    details = [
        *["pm10: '12,5' is not a double"] * 6,
        "humidity: 'wet: is not a long' is not a long",
    ]
    job.deliver(FIRST, "pi-3", rows, invalid=details)
    report = run(job, FIRST, "pi-1", "pi-2", "pi-3", onDrift="QuarantineNode")
    [found] = report.quarantined_nodes
    assert (found.node, found.difference) == (
        "pi-3",
        "54% of its rows have values of other types than the schema says: "
        "pm10 is no double in 6 of them, such as '12,5'; "
        "humidity is no long in 1 of them, such as 'wet: is not a long'",
    )
    assert {each.node for each in version(job).merged} == {"pi-1", "pi-2"}
