"""What Prometheus and the kubelet are told."""

import json
import urllib.error
import urllib.request
from datetime import timedelta
from typing import Any

import pytest
from edge_etl_operator import metrics, serving
from edge_etl_operator.api import Metadata, PastRun, Status

from tests.support import operator_facts as facts
from tests.support.operator_facts import World


def figure(name: str, **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(name, labels)


def test_a_run_counts_once_when_it_ends() -> None:
    job = Metadata(name="metered", namespace="edge")
    of_job = {"namespace": "edge", "job": "metered"}
    world = World().with_nodes("pi-1", "pi-2").settle()
    metrics.note(job, world.job.status, world.job.status)
    assert figure("edge_etl_nodes", **of_job, phase="Pending") == 2
    known = world.job.status
    world.deliver("pi-1", "pi-2", rejectedByReason={"OutOfRange": 3}).settle()
    metrics.note(job, known, world.job.status)
    assert figure("edge_etl_nodes", **of_job, phase="Pending") == 0
    assert figure("edge_etl_runs_total", **of_job, result="Succeeded") == 0
    known = world.job.status
    world.after(60).pod_is(world.driver, "Succeeded", facts.report()).settle()
    for before in (known, world.job.status):
        metrics.note(job, before, world.job.status)
    assert figure("edge_etl_runs_total", **of_job, result="Succeeded") == 1
    assert figure("edge_etl_rows_read_total", **of_job) == 200
    assert figure("edge_etl_rows_rejected_total", **of_job, reason="OutOfRange") == 6
    assert figure("edge_etl_table_rows", **of_job) == 97
    ended = facts.START.timestamp() + 60
    assert figure("edge_etl_last_success_timestamp_seconds", **of_job) == ended
    assert figure("edge_etl_rejected_ratio", **of_job) == 6 / 200
    metrics.forget("edge", "metered")
    assert figure("edge_etl_nodes", **of_job, phase="Pending") is None
    assert figure("edge_etl_table_rows", **of_job) is None


def test_a_job_that_never_ran_is_forgotten_too() -> None:
    metrics.forget("edge", "unknown")


def past(number: int, *missing: str, result: str = "PartiallySucceeded", **rows: Any) -> PastRun:
    """Return a run that ended at the hour of its number."""
    end = facts.START + timedelta(hours=number)
    return PastRun(
        id=f"run-{number}", result=result, start_time=end, completion_time=end, missing=missing,
        **rows,
    )  # fmt: skip


def told_of(*runs: PastRun, **fields: Any) -> Status:
    """Return a status with these runs, the latest first."""
    return Status(runs=runs, **fields)


def test_an_operator_that_has_just_started_tells_what_the_status_tells() -> None:
    job = Metadata(name="old", namespace="edge")
    of_job = {"namespace": "edge", "job": "old"}
    due = facts.START + timedelta(hours=9)
    known = told_of(
        past(4, "pi-1", "pi-2", result="Failed", rows_read=0, rows_rejected=0),
        past(3, "pi-1", "pi-2", "pi-3", result="Replaced"),
        past(2, "pi-1", rows_read=10, rows_rejected=1),
        past(1, "pi-2"),
        next_run_time=due,
    )
    metrics.note(job, known, known)
    assert figure("edge_etl_node_missed_runs", **of_job, node="pi-1") == 2
    assert figure("edge_etl_node_missed_runs", **of_job, node="pi-2") == 1
    assert figure("edge_etl_node_missed_runs", **of_job, node="pi-3") is None
    success = (facts.START + timedelta(hours=2)).timestamp()
    assert figure("edge_etl_last_success_timestamp_seconds", **of_job) == success
    assert figure("edge_etl_next_run_timestamp_seconds", **of_job) == due.timestamp()
    assert figure("edge_etl_rejected_ratio", **of_job) == 0.1
    # What was there before is no event of now.
    assert figure("edge_etl_runs_total", **of_job, result="Failed") == 0


def test_a_pi_that_is_back_and_a_job_without_a_schedule_are_told_of_no_more() -> None:
    job = Metadata(name="back", namespace="edge")
    of_job = {"namespace": "edge", "job": "back"}
    known = told_of(past(1, "pi-1", "pi-2"), next_run_time=facts.START)
    metrics.note(job, known, known)
    metrics.note(job, known, told_of(past(2, "pi-2"), *known.runs))
    assert figure("edge_etl_node_missed_runs", **of_job, node="pi-1") is None
    assert figure("edge_etl_node_missed_runs", **of_job, node="pi-2") == 2
    assert figure("edge_etl_next_run_timestamp_seconds", **of_job) is None
    metrics.forget("edge", "back")
    assert figure("edge_etl_node_missed_runs", **of_job, node="pi-2") is None


@pytest.mark.parametrize(
    ("path", "problems", "status", "part"),
    [
        ("/healthz", [], 200, ""),
        ("/healthz", ["the watch is deaf"], 503, "deaf"),
        ("/metrics", ["the watch is deaf"], 200, "edge_etl_queue_depth"),
        ("/", [], 404, "/healthz or /metrics"),
    ],
)
def test_what_is_answered(path: str, problems: list[str], status: int, part: str) -> None:
    server = serving.serve(0, lambda: problems)
    try:
        answer = _get(f"http://127.0.0.1:{server.server_address[1]}{path}")
    finally:
        server.shutdown()
        server.server_close()
    assert answer[0] == status
    assert part in answer[1]
    if path == "/healthz":
        assert json.loads(answer[1]) == {"problems": problems}


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310
            found: tuple[int, Any] = (answer.status, answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
    return found
