"""The product installed on real nodes, with real readings on their disks."""

import pytest

from tests.support.cluster import AnyCluster
from tests.support.cluster.images import project_images
from tests.support.cluster.install import install_chart
from tests.support.jobs import EXTRACT, SOURCES, VALUES, spread

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
