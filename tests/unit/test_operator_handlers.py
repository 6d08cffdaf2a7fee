"""How kopf is configured, and what rings for whom."""

import itertools
from typing import Any

import kopf
import pytest
from edge_etl_operator import patience
from edge_etl_operator.handlers import Doorbells, EndlessBackoff, JobKey
from edge_etl_operator.workqueue import WorkQueue

from tests.support import operator_facts as facts


class Bells(Doorbells):
    """Doorbells that only note who they ring for."""

    def __init__(self) -> None:
        super().__init__(facts.SETTINGS)
        self.rung: list[JobKey] = []

    def _ring(self, key: JobKey) -> None:
        self.rung.append(key)


def test_kopf_never_gives_up_on_the_api_server() -> None:
    """Peers: a kopf operator deaf while /healthz says OK (dask#620)."""
    settings = kopf.OperatorSettings()
    Bells().configure(settings=settings)
    backoffs = settings.networking.error_backoffs
    assert isinstance(backoffs, EndlessBackoff)
    # kopf takes the length of a list as the number of tries.
    assert not hasattr(backoffs, "__len__")
    assert len(list(itertools.islice(backoffs, 1000))) == 1000
    assert settings.networking.request_timeout
    assert settings.watching.client_timeout
    assert settings.peering.standalone


def body(generation: int = 1, version: str = "1", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "uid": "u",
            "generation": generation,
            "resourceVersion": version,
            **metadata,
        }
    }


async def changed(bells: Bells, kind: str, body: dict[str, Any]) -> None:
    event: Any = {"type": kind, "object": {}}
    await bells.job_changed(event=event, namespace="edge", name="air", body=body)


@pytest.mark.parametrize(
    ("later", "rings"),
    [
        (body(version="2"), 1),  # the operator's own write of the status
        (body(generation=2), 2),
        (body(annotations={"pi-edge-spark.io/run-now": "please"}), 2),
        (body(deletionTimestamp="2026-03-01T12:00:00Z"), 2),
        (body(uid="another of the same name"), 2),
    ],
)
async def test_a_persons_wish_rings_and_a_status_does_not(
    later: dict[str, Any], rings: int
) -> None:
    bells = Bells()
    await changed(bells, "ADDED", body())
    await changed(bells, "MODIFIED", later)
    assert bells.rung == [JobKey("edge", "air")] * rings


async def test_a_deleted_job_rings_once_more_and_is_forgotten() -> None:
    bells = Bells()
    await changed(bells, "ADDED", body())
    await changed(bells, "DELETED", body())
    assert bells.rung == [JobKey("edge", "air")] * 2
    bells._ring_all()
    assert len(bells.rung) == 2


async def test_a_thousand_nodes_that_go_on_ring_once_in_a_while_and_a_failure_at_once() -> None:
    async def work(key: JobKey) -> None:
        raise AssertionError("nobody works here")

    bells, air = Bells(), JobKey("edge", "air")
    bells._queue = queue = WorkQueue(work)
    bells._patience.saw(air, 1000)
    for _ in range(1000 // patience.PART - 1):
        bells._changed(air, patience.END)
        bells._changed(air, patience.PROGRESS)
    assert bells.rung == []
    assert set(queue._within) == {air}
    bells._changed(air, patience.AT_ONCE)
    assert bells.rung == [air]
