"""Reports of real aggregations: what is read from the files, and what becomes of odd runs."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
from edge_etl_spark.aggregate import aggregate
from edge_etl_spark.documents import AggregationDocument, AggregationReport
from edge_etl_spark.errors import AggregationError
from edge_etl_spark.results import DirectoryResults
from edge_etl_spark.run_report import looking, writing
from edge_etl_spark.run_report.facts import RunFacts
from edge_etl_spark.run_report.gathering import gathered
from edge_etl_spark.run_report.writing import Report

from tests.support.node_results import Job, frame, listed

FIRST, SECOND = "20260101-000000", "20260102-000000"
XSS = "<script>alert(1)</script>"

pytestmark = pytest.mark.usefixtures("shared_session")


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path / "results")


def readings(sensors: Sequence[str], hours: int = 4, start: str = "2026-01-01") -> Any:
    """Return a reading of each sensor in each hour."""
    times = pd.date_range(start, periods=hours, freq="1h", tz="UTC")
    return frame([(time.isoformat(), name, 20.0) for name in sensors for time in times])


def refuse(job: Job, manifest: Path, lines: Sequence[tuple[str, str]]) -> None:
    """Add rejected rows to a delivery: of each its reason and the line as it stands."""
    said = json.loads(manifest.read_text())
    rejected = pd.DataFrame(
        [
            {"file": "day.csv", "line": 10 + number, "offset": 0, "reason": reason}
            | {"detail": f"{reason} here", "raw": raw}
            for number, (reason, raw) in enumerate(lines)
        ]
    )
    path = manifest.parent / said["attempt"] / "rejected.parquet"
    rejected.to_parquet(path, index=False)
    reasons = rejected["reason"].value_counts().to_dict()
    said["files"].append(listed(path, "rejected", None, len(lines)))
    said |= {"rejectedByReason": reasons, "rowsRejected": len(lines)}
    said["rowsRead"] += len(lines)
    manifest.write_text(json.dumps(said))


def run(job: Job, run_id: str, *nodes: str, **changes: Any) -> tuple[str, RunFacts]:
    """Aggregate with a report; return its HTML, and the facts of the documents."""
    document = msgspec.json.decode(
        json.dumps(job.document(run_id, *nodes) | changes), type=AggregationDocument
    )
    report = Report(document, job.results)
    try:
        outcome = aggregate(document, job.root, None, report.look)
    except AggregationError as error:
        outcome = AggregationReport(
            run=run_id, succeeded=False, reason=error.reason, message=error.message
        )
    path = job.directory / "reports" / f"{run_id}.html"
    assert report.write(outcome) == str(path)
    return path.read_text(), gathered(document, job.results, report.accounts, outcome)


def test_rejected_lines_and_charts_are_those_of_the_files(job: Job) -> None:
    manifest = job.deliver(FIRST, "pi-1", readings(["a", "b"]))
    refuse(
        job, manifest, [("invalid_value", XSS), *[("out_of_range", f"raw-{n}") for n in range(9)]]
    )
    html, facts = run(job, FIRST, "pi-1", missingNodes=["pi-9"], missingBecause={"pi-9": "is off"})
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert XSS not in html
    assert "raw-0" in html
    assert "raw-8" in html
    assert "day.csv, line 10: invalid_value here" in html
    assert html.count('<svg class="chart"') == 2
    assert "sensor_id a: mean 20, from 20 to 20; 4 of 4 windows" in html
    states = [(node.name, node.state, node.note) for node in facts.nodes]
    assert states == [("pi-1", "delivered", ""), ("pi-9", "missing", "is off")]


def test_of_many_groups_the_first_are_shown_and_the_others_counted(job: Job) -> None:
    job.deliver(FIRST, "pi-1", readings([f"s{number:03}" for number in range(60)], hours=2))
    html, _ = run(job, FIRST, "pi-1")
    assert html.count('<svg class="chart"') == looking.CHARTS
    assert f"{looking.CHARTS} of 60 groups are shown" in html
    assert "sensor_id s000: " in html


def test_only_the_latest_windows_are_shown(job: Job) -> None:
    job.deliver(FIRST, "pi-1", readings(["a"], hours=looking.WINDOWS + 100, start="2025-12-01"))
    html, _ = run(job, FIRST, "pi-1")
    assert f"{looking.WINDOWS} of {looking.WINDOWS} windows" in html


def test_a_pi_that_is_late_and_one_that_is_set_apart_are_told_from_the_others(job: Job) -> None:
    job.deliver(FIRST, "pi-1", readings(["a"]))
    run(job, FIRST, "pi-1", missingNodes=["pi-2"])
    job.deliver(FIRST, "pi-2", readings(["b"]))
    for node in ("pi-1", "pi-3", "pi-4"):
        job.deliver(SECOND, node, readings(["c"], start="2026-01-02"))
    job.deliver(SECOND, "pi-5", readings(["d"]), lacks=["pm10"])
    html, facts = run(job, SECOND, "pi-1", "pi-3", "pi-4", "pi-5", onDrift="QuarantineNode")
    states = {(node.name, node.state, node.run) for node in facts.nodes}
    assert ("pi-2", "late", FIRST) in states
    assert ("pi-5", "set apart", SECOND) in states
    assert ("pi-1", "delivered", SECOND) in states
    assert "1 Pi late for an earlier run" in html
    assert "no column for pm10" in html


def test_a_run_that_drift_ends_shows_its_rejected_lines_all_the_same(job: Job) -> None:
    for node in ("pi-1", "pi-2"):
        job.deliver(FIRST, node, readings([node]))
    manifest = job.deliver(FIRST, "pi-3", readings(["c"]), lacks=["pm10"])
    refuse(job, manifest, [("missing_required", "the line")])
    html, _ = run(job, FIRST, "pi-1", "pi-2", "pi-3", onDrift="Fail")
    assert "<strong>SchemaDrift</strong>" in html
    assert "the line</pre>" in html
    assert not job.table.joinpath("current").exists()


def test_a_report_that_fails_does_not_fail_the_run(
    job: Job, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(looking, "features", broken)
    monkeypatch.setattr(DirectoryResults, "put_report", broken)
    job.deliver(FIRST, "pi-1", readings(["a"]))
    document = msgspec.json.decode(
        json.dumps(job.document(FIRST, "pi-1")), type=AggregationDocument
    )
    report = Report(document, job.results)
    outcome = aggregate(document, job.root, None, report.look)
    assert outcome.succeeded
    assert report.write(outcome) is None
    assert [record.getMessage() for record in caplog.records].count(
        "no report: the disk is full"
    ) == 2


def test_old_reports_go_away_and_other_files_stay(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "KEPT", 2)
    reports = job.directory / "reports"
    reports.mkdir(parents=True)
    for name in ("20250101-000000.html", "20250102-000000.html", "notes.html"):
        (reports / name).write_text("")
    job.deliver(FIRST, "pi-1", readings(["a"]))
    run(job, FIRST, "pi-1")
    left = {"20250102-000000.html", f"{FIRST}.html", "notes.html"}
    assert {path.name for path in reports.iterdir()} == left
