"""What Prometheus and the kubelet are told."""

import json
import urllib.error
import urllib.request
from typing import Any

import pytest
from edge_etl_operator import metrics, serving
from edge_etl_operator.api import Metadata

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
    assert figure("edge_etl_runs_total", **of_job, result="Succeeded") is None
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
    metrics.forget("edge", "metered", ["Pending", "Succeeded"])
    assert figure("edge_etl_nodes", **of_job, phase="Pending") is None
    assert figure("edge_etl_table_rows", **of_job) is None


def test_a_job_that_never_ran_is_forgotten_too() -> None:
    metrics.forget("edge", "unknown", ["Pending"])


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
