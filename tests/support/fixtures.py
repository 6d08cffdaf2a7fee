"""Fixtures over real clusters; `tests/conftest.py` offers them to every test."""

import json
import os
import secrets
import sys
from collections.abc import Iterator

import pytest

from tests.support.cluster import AnyCluster, ApiServer, Cluster, Kube
from tests.support.cluster.cache import say
from tests.support.cluster.cluster import unavailable
from tests.support.cluster.external import named_by_user
from tests.support.cluster.images import project_images
from tests.support.cluster.install import CHART, image_values, install_chart
from tests.support.cluster.preparing import prepare
from tests.support.jobs import EXTRACT, SOURCES, VALUES, spread


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """Give a real API server without nodes, one for all tests of the session."""
    if sys.platform != "linux":
        pytest.skip("the API server of the tests runs on Linux only")
    with ApiServer() as server:
        yield server


@pytest.fixture
def api_namespace(api_server: ApiServer) -> Iterator[str]:
    """Give a namespace of `api_server` that this test has for itself."""
    yield from _namespace(api_server)


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[AnyCluster]:
    """Give three real nodes, or the cluster that the environment names.

    If any test of the session asks for the chart, the project's images are on
    the nodes from the start; the other tests do not wait for them to be built.
    """
    external = named_by_user()
    if external:
        yield external
        external.close()
        return
    if reason := unavailable():
        pytest.skip(reason)
    chart_wanted = any("release" in getattr(t, "fixturenames", ()) for t in request.session.items)
    name = os.environ.get("PYTEST_XDIST_WORKER", "test")
    with Cluster(nodes=3, images=prepare(project=chart_wanted), name=name) as own:
        yield own
        if request.session.testsfailed:
            say(f"evidence of the failures is in {own.keep_evidence()}")


@pytest.fixture
def cluster_namespace(cluster: AnyCluster) -> Iterator[str]:
    """Give a namespace of `cluster` that this test has for itself."""
    yield from _namespace(cluster)


@pytest.fixture(scope="session")
def release(cluster: AnyCluster) -> AnyCluster:
    """Give the cluster with the project's chart installed in namespace `pi-edge-spark`."""
    install_chart(cluster, project_images())
    return cluster


# Three nodes hold what four Pis measured: pi-1 has the sensors of two.
HOLDINGS = {"pi-1": ("pi-1", "pi-4"), "pi-2": ("pi-2",), "pi-3": ("pi-3",)}


@pytest.fixture(scope="session")
def pis(release: AnyCluster) -> AnyCluster:
    """Give the cluster with the chart installed, its sources allowed and their files in place."""
    cluster = release
    spread(cluster, "sensors", {n: [EXTRACT / o for o in own] for n, own in HOLDINGS.items()})
    spread(cluster, "mixed", {"pi-1": [EXTRACT / "pi-4"], "pi-2": [EXTRACT / "pi-2"]})
    for node in HOLDINGS:
        cluster.node(node).path(f"{SOURCES}/empty").mkdir(exist_ok=True)
    for node in ("pi-1", "pi-2"):
        cluster.node(node).path(f"{SOURCES}/absent").mkdir(exist_ok=True)
    cluster.node("pi-3").path(f"{SOURCES}/mixed").mkdir(exist_ok=True)
    install_chart(cluster, project_images(), VALUES)
    return cluster


ELSEWHERE = "elsewhere"


@pytest.fixture(scope="session")
def elsewhere(pis: AnyCluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Install a second release in its own namespace, whose edge image does not exist.

    It has a claim, `shared`, and no landing service.
    """
    values = image_values(project_images())
    values["images"]["edge"] |= {"tag": "no-such-tag", "pullPolicy": "IfNotPresent"}
    values |= {"crd": {"enabled": False}, "landing": {"enabled": False}}
    file = tmp_path_factory.mktemp("values") / "values.json"
    file.write_text(json.dumps(values))
    pis.helm(
        *("install", ELSEWHERE, str(CHART), "--values", str(file), "--namespace", ELSEWHERE),
        *("--create-namespace", "--wait"),
    )
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "shared"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    pis.apply(claim, namespace=ELSEWHERE)
    return ELSEWHERE


def _namespace(kube: Kube) -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}"
    kube.kubectl("create", "namespace", name)
    yield name
    kube.kubectl("delete", "namespace", name, "--wait=false")
