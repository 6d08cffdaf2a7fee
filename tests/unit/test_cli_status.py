"""What `edge-etl status` shows of a job's status, at one moment."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from edge_etl_operator import api
from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.cli import status_page
from edge_etl_operator.cli.run_view import Progress, RunView, view
from edge_etl_operator.cli.status_screen import Screen, overview
from rich.console import Console, RenderableType

BEGAN = datetime(2026, 11, 22, 22, 18, 55, tzinfo=UTC)


def at(seconds: float) -> str:
    return (BEGAN + timedelta(seconds=seconds)).isoformat()


def condition(kind: str, status: str, reason: str, message: str = "said") -> dict[str, Any]:
    since = {"lastTransitionTime": at(0)}
    return {"type": kind, "status": status, "reason": reason, "message": message, **since}


def node(name: str, phase: str, **facts: Any) -> dict[str, Any]:
    return {"name": name, "phase": phase, **facts}


DELIVERED = node(
    "pi-1",
    "Succeeded",
    startTime=at(1),
    completionTime=at(5),
    rowsRead=8000,
    rowsRejected=2000,
    bytesRead=2048,
    reason="Delivered",
)


def job(nodes: list[dict[str, Any]], *conditions: dict[str, Any], **status: Any) -> EdgeETLJob:
    run = {"id": "20261122-221855", "startTime": at(0), "specHash": "x"}
    run |= status.pop("run", {})
    told = {"phase": "Cleaning", "run": run, "nodes": nodes, "conditions": list(conditions)}
    return api.parse(
        {
            "metadata": {"name": "air", "namespace": "farm"},
            "spec": {
                "nodes": {"selector": {}},
                "source": {"name": "sensors"},
                "schema": {"fields": [{"name": "a", "type": "double"}]},
                "key": ["timestamp"],
            },
            "status": {**told, **status},
        }
    )


def seen(of: EdgeETLJob, seconds: float = 10, progress: Any = None) -> RunView:
    return view(of, BEGAN + timedelta(seconds=seconds), progress)


def drawn(what: RenderableType, width: int = 120, height: int = 40) -> str:
    console = Console(width=width, height=height, force_terminal=False, markup=False)
    with console.capture() as captured:
        console.print(what)
    return captured.get()


def states(of: RunView) -> list[tuple[str, str, float | None]]:
    return [(stage.name, stage.state, stage.seconds) for stage in of.stages]


def test_a_node_that_delivered_has_rate_and_share() -> None:
    (one,) = seen(job([DELIVERED])).nodes
    assert (one.rows_read, one.rows_per_second, one.rejected_ratio) == (8000, 2000.0, 0.25)


def test_a_node_that_ended_within_a_second_has_a_rate_that_is_not_beyond_all_measure() -> None:
    (one,) = seen(job([{**DELIVERED, "completionTime": at(1)}])).nodes
    assert one.rows_per_second == 8000


def test_a_node_at_work_shows_what_its_log_says() -> None:
    of = job([node("pi-1", "Running", startTime=at(4))])
    (one,) = seen(of, progress={"pi-1": Progress(bytes_done=50, bytes_total=200)}).nodes
    assert one.progress == Progress(bytes_done=50, bytes_total=200)
    assert one.seconds == 6
    assert one.rows_per_second is None


@pytest.mark.parametrize(
    ("run", "phase", "expected"),
    [
        ({}, "Cleaning", [("Now", 10), ("Next", None), ("Next", None)]),
        (
            {"aggregationStartTime": at(7)},
            "Aggregating",
            [("Done", 7), ("Now", 3), ("Next", None)],
        ),
        (
            {"aggregationStartTime": at(7), "completionTime": at(9)},
            "Succeeded",
            [("Done", 7), ("Done", 2), ("Done", None)],
        ),
        ({"completionTime": at(4)}, "Failed", [("Failed", 4), ("Next", None), ("Next", None)]),
        (
            {"aggregationStartTime": at(7), "completionTime": at(9)},
            "Failed",
            [("Done", 7), ("Failed", 2), ("Next", None)],
        ),
    ],
)
def test_the_line_of_time(run: dict[str, Any], phase: str, expected: list[Any]) -> None:
    names = ("Cleaning", "Aggregating", "Published")
    of = job([DELIVERED], run=run, phase=phase)
    assert states(seen(of)) == [(name, *each) for name, each in zip(names, expected, strict=True)]


def test_a_job_that_was_never_looked_at_says_so() -> None:
    of = api.parse(
        {
            "metadata": {"name": "air", "namespace": "farm"},
            "spec": {
                "nodes": {"selector": {}},
                "source": {"name": "sensors"},
                "schema": {"fields": [{"name": "a", "type": "double"}]},
                "key": ["timestamp"],
            },
        }
    )
    assert "operator has not looked at it yet" in drawn(Screen(seen(of)))


@pytest.mark.parametrize(
    ("phase", "bar"),
    [
        ("Succeeded", "━" * 12),
        ("Failed", "┄" * 12),
        ("Pending", "┄" * 12),
        ("Running", "┄┄┄━━━┄┄┄┄┄┄"),
    ],
)
def test_a_bar_is_told_without_colours(phase: str, bar: str) -> None:
    text = drawn(Screen(seen(job([node("pi-1", phase, startTime=at(7))]))))
    assert f" {bar} " in text


def test_a_bar_shows_the_share_of_bytes_that_are_read() -> None:
    of = job([node("pi-1", "Running", startTime=at(4))])
    text = drawn(Screen(seen(of, progress={"pi-1": Progress(bytes_done=50, bytes_total=200)})))
    assert "━━━┄┄┄┄┄┄┄┄┄  at work 25%" in text


def test_the_screen_tells_what_waits_and_why() -> None:
    waits = node("pi-2", "Pending", reason="ImageUnavailable", message="Push the image.")
    of = job(
        [DELIVERED, waits],
        condition("Succeeded", "Unknown", "ImageUnavailable", "1 of 2 delivered. Push it."),
        condition("Degraded", "True", "NoFiles", "No file matches on pi-1. Look there."),
    )
    text = drawn(Screen(seen(of)))
    for said in (
        "▶ Cleaning 10 s",
        "delivered",
        "25.0%",
        "2,000",
        "ImageUnavailable: Push the image.",
        "why: 1 of 2 delivered. Push it.",
        "look at: No file matches",
    ):
        assert said in text
    assert text.index("pi-2") < text.index("pi-1")


def test_a_message_in_brackets_is_no_markup() -> None:
    of = job([], condition("Succeeded", "Unknown", "X", "spec.schema.fields[0] and [red]"))
    assert "fields[0] and [red]" in drawn(Screen(seen(of)))


def test_a_fleet_is_cut_to_the_screen_what_needs_attention_first() -> None:
    fleet = [{**DELIVERED, "name": f"pi-{at:03}"} for at in range(100)]
    fleet.append(node("pi-zzz", "Failed", reason="OutOfMemory"))
    text = drawn(Screen(seen(job(fleet)), fits=True), height=30)
    assert len(text.splitlines()) <= 30
    assert "OutOfMemory" in text
    assert "85 more" in text
    assert len(drawn(Screen(seen(job(fleet)))).splitlines()) > 100


@pytest.mark.parametrize("width", [80, 100, 160])
def test_nothing_is_lost_on_a_narrow_terminal(width: int) -> None:
    many = {**DELIVERED, "name": "greenhouse-pi-1", "rowsRead": 8_000_000, "bytesRead": 1 << 29}
    reason = "Image localhost/pi-edge-spark/edge:dev cannot be pulled. Load it onto the node."
    waits = node("pi-2", "Pending", reason="ImageUnavailable", message=reason)
    text = drawn(Screen(seen(job([many, waits]))), width=width)
    assert max(map(len, text.splitlines())) <= width
    assert f"pi-2 waits: ImageUnavailable: {reason}" in " ".join(text.split())
    assert "…" not in text


def test_the_overview_has_a_line_for_each_job_and_says_why() -> None:
    failed = job([], condition("Succeeded", "False", "NodeFailed", "all failed"), phase="Failed")
    text = drawn(overview([seen(failed)]), width=160)
    assert "farm" in text
    assert "all failed" in text


def test_a_page_says_of_a_run_that_left_no_report_what_became_of_each_pi() -> None:
    lost = node("pi-2", "Failed", reason="OutOfMemory", message="<b>64Mi</b> was too little")
    failed = condition("Succeeded", "False", "NodeFailed", "1 of 2 nodes failed")
    over = {"completionTime": at(9)}
    page = status_page.page(seen(job([DELIVERED, lost], failed, phase="Failed", run=over)))
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line) for line in page.splitlines()]
    assert [[unescape(cell) for cell in row] for row in rows if row][1:] == [
        ["pi-2", "failed", "OutOfMemory: <b>64Mi</b> was too little", "", "", ""],
        ["pi-1", "delivered", "Delivered", "8,000", "25.0%", "2.0 KiB"],
    ]
    assert "<strong>Failed: NodeFailed</strong>: 1 of 2 nodes failed" in page
    assert "✘</span> Cleaning 9 s (failed)" in page
    assert "<script" not in page
    assert "http" not in page.replace("http-equiv", "")


def test_a_node_whose_try_failed_says_so_without_a_reason_of_its_own() -> None:
    text = drawn(Screen(seen(job([node("pi-2", "Pending", message="Try 1 failed")]))))
    assert "pi-2 waits: Try 1 failed" in text


def test_what_succeeded_says_the_rows_of_the_table_once() -> None:
    over = {"aggregationStartTime": at(2), "completionTime": at(9)}
    told = condition("Succeeded", "True", "RunSucceeded", "Version 1 of the table has 294 rows")
    text = drawn(Screen(seen(job([DELIVERED], told, phase="Succeeded", rows=294, run=over))))
    assert "table: 294 rows" in text
    assert "why:" not in text
