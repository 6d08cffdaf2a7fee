"""What a person reads at the end of a local run."""

import io
from pathlib import Path

from edge_etl_operator import api
from edge_etl_operator.cli.outcome import Outcome, show, size
from edge_etl_operator.documents import AggregationReport, NodeSummary
from edge_etl_operator.validation import load_job
from rich.console import Console

SAMPLE = Path(__file__).parents[2] / "manifests/samples/air-quality.yaml"
RUN = "20260102-030405"


def node(name: str, **changes: object) -> NodeSummary:
    facts: dict[str, object] = {
        "kind": "NodeSummary",
        "run": RUN,
        "node": name,
        "attempt": "a",
        "succeeded": True,
        "reason": "Delivered",
        "message": "",
        "files_read": 1,
    }
    return NodeSummary(**{**facts, **changes})  # type: ignore[arg-type]


def printed(*nodes: NodeSummary, report: AggregationReport | None = None) -> str:
    outcome = Outcome(
        job=api.parse(load_job(SAMPLE)),
        run=RUN,
        results=Path("/data/results"),
        seconds=7.2,
        nodes=nodes,
        aggregation=report,
        logs={each.node: Path("/data/logs") / each.node for each in nodes},
    )
    screen = io.StringIO()
    show(outcome, Console(file=screen, width=120))
    return screen.getvalue()


def test_nodes_are_shown_with_their_rows_reasons_and_bytes_and_a_total() -> None:
    reasons = {"OutOfRange": 7, "BadTimestamp": 1200}
    text = printed(
        node(
            "pi-1", rows_read=1500, rows_clean=293, rows_rejected=1207, rejected_by_reason=reasons
        ),
        node(
            "pi-2", rows_read=20, rows_clean=18, rows_duplicate=2, bytes_read=2048, bytes_written=9
        ),
    )
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "pi-1 1 1,500 293 1,207 0 0 B 0 B BadTimestamp 1,200" in lines
    assert "OutOfRange 7" in lines
    assert "pi-2 1 20 18 0 2 2.0 KiB 9 B" in lines
    assert "all 2 1,520 311 1,207 2 2.0 KiB 9 B" in lines


def test_a_published_table_is_named() -> None:
    report = AggregationReport(
        kind="AggregationReport", run=RUN, succeeded=True, reason="Published", message="",
        version=3, rows=1200, rows_added=200, rows_duplicate=5,
    )  # fmt: skip
    text = printed(node("pi-1"), report=report)
    assert "1,200 rows in the table (version 3): 200 new, 5 duplicates removed, in 7 s" in text
    assert "table: /data/results/default/air-quality/table/current" in text


def test_a_failure_is_shown_with_reason_message_and_logs() -> None:
    text = printed(
        node("pi-1", succeeded=False, reason="DiskFull", message="make [room] for key[0]")
    )
    assert "failed: pi-1: DiskFull: make [room] for key[0]" in text
    assert "logs: /data/logs" in text


def test_a_field_that_no_file_has_is_pointed_out() -> None:
    text = printed(
        node("pi-1", columns_missing=("pm10", "pressure")),
        node("pi-2", columns_missing=("pm10",)),
        node("pi-3", columns_missing=(), files_read=0),
    )
    assert "no file has a column for pm10 (looked for P1)" in text
    assert "column for pressure" not in text


def test_a_node_without_files_and_a_run_without_table_are_explained() -> None:
    report = AggregationReport(
        kind="AggregationReport",
        run=RUN,
        succeeded=True,
        reason="NothingNew",
        message="no table yet",
    )
    nothing = node(
        "pi-1", reason="NoFiles", message="no file of /data matches **/*.csv", files_read=0
    )
    text = printed(nothing, report=report)
    assert "pi-1: no file of /data matches **/*.csv" in text
    assert "no table yet" in text
    assert "table:" not in text


def test_quarantined_files_are_named() -> None:
    text = printed(node("pi-1", files_quarantined=1, message="1 file quarantined, a.csv: not_text"))
    assert "pi-1: 1 file quarantined, a.csv: not_text" in text


def test_sizes_are_for_people() -> None:
    assert [size(n) for n in (0, 1023, 1536, 5 * 1024**2, 3 * 1024**4)] == [
        "0 B", "1023 B", "1.5 KiB", "5.0 MiB", "3072.0 GiB",
    ]  # fmt: skip
