"""Readings by REST and MQTT on real nodes: the table holds what was sent, whatever dies."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.support.agent import Broker
from tests.support.cluster import AnyCluster, Cluster, until
from tests.support.cluster.cache import REPOSITORY
from tests.support.cluster.images import project_images
from tests.support.cluster.install import install_chart
from tests.support.cluster.node_config import address
from tests.support.jobs import NAMESPACE, SOURCES, VALUES, Object, results, status
from tests.support.playing import ask, away_from_the_operator, patch, shown

JOB = "readings"
WELL = ("Succeeded", "PartiallySucceeded")
AGENTS = ("-l", "app.kubernetes.io/component=agent", "-n", NAMESPACE)


def job() -> Object:
    fields = [{"name": name, "type": "string", "required": True} for name in ("sensor_id", "via")]
    return {
        "apiVersion": "pi-edge-spark.io/v1alpha1",
        "kind": "EdgeETLJob",
        "metadata": {"name": JOB},
        "spec": {
            "nodes": {
                "selector": {"matchLabels": {"pi-edge-spark.io/role": "edge"}}, "minSuccess": 1,
            },
            "schedule": "* * * * *",
            "source": {"name": "agents", "include": ["agent/**/*.csv"]},
            "schema": {"fields": fields},
            "key": ["sensor_id", "timestamp"],
            "aggregate": {"driver": {"memory": "512m"}},
        },
    }  # fmt: skip


@pytest.fixture(scope="module")
def site(pis: AnyCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Run a broker beside the cluster, an agent on each node, and a job every minute."""
    assert isinstance(pis, Cluster)
    folder = tmp_path_factory.mktemp("site")
    with Broker(folder / "broker", address="0.0.0.0") as broker:  # noqa: S104
        host = pis.lan.host_address()
        config = {
            "trustClock": True,
            "storage": {"segmentSeconds": 5},
            "mqtt": {
                "host": host, "port": broker.port, "share": "agents",
                "topics": [{"pattern": "sensors/{sensor_id}/{field}"}],
            },
        }  # fmt: skip
        sources = [*VALUES["sources"], {"name": "agents", "path": f"{SOURCES}/agents"}]
        agent = {"enabled": True, "source": "agents", "config": config}
        # Of three nodes one loses its power and one its network: all services are on the third.
        services = {"nodeSelector": {"kubernetes.io/hostname": landing_node(pis)}}
        values = {"sources": sources, "agent": agent, "operator": services}
        install_chart(pis, project_images(), values)
        pis.kubectl("rollout", "status", "daemonset/pi-edge-spark-agent", "-n", NAMESPACE)
        pis.apply(job(), namespace=NAMESPACE)
        yield {"stop": folder / "stop", "broker": [host, str(broker.port)]}
        install_chart(pis, project_images(), VALUES)
        pis.kubectl("delete", "eej", JOB, "-n", NAMESPACE)


def stored(pis: AnyCluster) -> list[str]:
    """Return the sensors of all rows of the table, as often as they are in it."""
    rows = (results(pis, JOB) / "table" / "current" / "rows").rglob("*.parquet")
    found: list[str] = []
    for path in rows:
        table = pq.read_table(path, columns=["sensor_id"])
        found += map(str, table["sensor_id"].to_pylist())
    return found


def merged(pis: AnyCluster) -> list[str]:
    """Have a run end well, and return what is in the table then."""
    ran(pis)
    return stored(pis)


def ran(pis: AnyCluster) -> Object:
    """Ask for a run before its minute, and return what is kept of the first that ends well.

    By then the next one can be going on.
    """
    before = status(pis, JOB).get("run", {}).get("id", "")
    ask(pis, JOB, f"after-{before}")

    def over() -> Object:
        runs = status(pis, JOB).get("runs", [])
        return next((run for run in runs if run["id"] > before and run["result"] in WELL), {})

    return until(over, f"a run after {before}", timeout=300)


def test_the_table_holds_what_was_sent_while_pis_come_and_go(
    pis: AnyCluster, site: dict[str, Any]
) -> None:
    assert isinstance(pis, Cluster)
    stop: Path = site["stop"]
    dark = away_from_the_operator(pis)
    alone = next(name for name in sorted(pis.nodes) if name not in (dark, landing_node(pis)))
    addresses = [f"{address(node)}:8090" for node in pis.nodes.values()]
    inside = ["nsenter", f"--net=/proc/{pis.lan.holder()}/ns/net", sys.executable, "-m"]
    command = [*inside, "tests.support.sensors", str(stop), *site["broker"], *addresses]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=REPOSITORY) as sensors:
        try:
            until(lambda: merged(pis), "rows of a first run", timeout=300)
            pis.node(dark).power_off()
            pis.node(alone).network_down()
            assert ran(pis)["nodesSummary"] == "1/3"
            pis.node(alone).network_up()
            pis.node(dark).power_on()
            pis.wait_ready()
            stop.touch()
            output, _ = sensors.communicate(timeout=300)
        except BaseException:
            sensors.kill()  # they would wait for Pis that do not come back
            raise
    sent = json.loads(output)
    try:
        until(lambda: len(merged(pis)) >= len(sent), "all rows", timeout=400)
    finally:
        shown(pis, JOB)
    patch(pis, JOB, suspend=True)
    found = stored(pis)
    print(f"{len(sent)} readings sent, {len(found)} rows, {len(set(found))} different")
    assert sorted(found) == sorted(sent)
    assert {reading.rstrip("0123456789-") for reading in sent} == {"http", "mqtt"}


def landing_node(pis: AnyCluster) -> str:
    labels = ("-l", "app.kubernetes.io/component=landing", "-n", NAMESPACE)
    return str(pis.get("pods", *labels)["items"][0]["spec"]["nodeName"])
