"""How kopf is configured, and what rings for whom."""

import itertools
from typing import Any

import kopf
import pytest
from edge_etl_operator.handlers import Doorbells, EndlessBackoff, JobKey

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


def body(ready: str = "True", heartbeat: int = 0, **spec: Any) -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "lastHeartbeatTime": heartbeat}
    return {
        "metadata": {"name": "pi-1", "labels": {"role": "edge"}},
        "spec": spec,
        "status": {"conditions": [condition]},
    }


@pytest.mark.parametrize(
    ("later", "rings"),
    [
        (body(heartbeat=9), 1),
        (body(ready="Unknown"), 2),
        (body(unschedulable=True), 2),
        (None, 2),
    ],
)
async def test_a_node_rings_when_it_matters(later: dict[str, Any] | None, rings: int) -> None:
    bells = Bells()
    await bells.job_changed(event={"type": "ADDED", "object": {}}, namespace="edge", name="air")
    bells.rung.clear()
    await bells.node_changed(event={"type": None, "object": {}}, name="pi-1", body=body())
    event: Any = {"type": "MODIFIED" if later else "DELETED", "object": {}}
    await bells.node_changed(event=event, name="pi-1", body=later or body())
    assert bells.rung == [JobKey("edge", "air")] * rings


async def test_a_deleted_job_is_no_longer_rung_for_by_nodes() -> None:
    bells = Bells()
    for kind in ("ADDED", "DELETED"):
        event: Any = {"type": kind, "object": {}}
        await bells.job_changed(event=event, namespace="edge", name="air")
    bells.rung.clear()
    await bells.node_changed(event={"type": None, "object": {}}, name="pi-1", body=body())
    assert bells.rung == []


async def test_an_object_rings_for_the_job_in_its_label() -> None:
    bells = Bells()
    await bells.object_changed(namespace="edge", labels={"pi-edge-spark.io/job": "air"})
    await bells.object_changed(namespace="edge", labels={"app": "other"})
    assert bells.rung == [JobKey("edge", "air")]
