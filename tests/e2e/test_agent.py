"""Readings by REST and MQTT on real nodes: the table holds what was sent, whatever dies."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from tests.support.agent import passwords
from tests.support.cluster import AnyCluster, Cluster, until
from tests.support.cluster.cache import REPOSITORY
from tests.support.cluster.images import mosquitto, project_images
from tests.support.cluster.install import image_values, install_chart
from tests.support.cluster.node_config import address
from tests.support.cluster.pki import Authority
from tests.support.jobs import NAMESPACE, SOURCES, VALUES, Object, results, status
from tests.support.playing import ask, away_from_the_operator, patch, shown

JOB = "readings"
PORT = 30883
WELL = ("Succeeded", "PartiallySucceeded")
USERS = {name: f"password of {name}" for name in ("agents", "site")}
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
    """Run the chart's broker, an agent on each node, and a job every minute; with TLS."""
    assert isinstance(pis, Cluster)
    folder = tmp_path_factory.mktemp("site")
    # Of three nodes one loses its power and one its network: all services are on the third.
    services = {"nodeSelector": {"kubernetes.io/hostname": landing_node(pis)}}
    host = address(pis.node(landing_node(pis)))
    secrets(pis, folder, host)
    pis.node(landing_node(pis)).run(
        *("ctr", "--namespace", "k8s.io", "images", "import", mosquitto().archive)
    )
    broker = {
        "enabled": True, "tlsSecret": "broker-tls", "usersSecret": "broker-users", **services,
        "access": [{"user": "site", "topics": ["write sensors/#"]}],
        "service": {"type": "NodePort", "nodePort": PORT}, "storage": {"keep": False},
    }  # fmt: skip
    config = {
        "trustClock": True,
        "storage": {"segmentSeconds": 5},
        "mqtt": {
            "username": "agents", "passwordFile": "/etc/edge-etl-mqtt/password", "share": "agents",
            "topics": [{"pattern": "sensors/{sensor_id}/{field}"}],
        },
    }  # fmt: skip
    values = {
        "sources": [*VALUES["sources"], {"name": "agents", "path": f"{SOURCES}/agents"}],
        "agent": {
            "enabled": True, "source": "agents", "config": config, "mqttSecret": "agent-mqtt",
        },
        "broker": broker,
        "landing": {"tlsSecret": "landing-tls", **services},
        "operator": services,
    }  # fmt: skip
    images = image_values([mosquitto()])
    install_chart(pis, project_images(), values | images)
    pis.kubectl("rollout", "status", "daemonset/pi-edge-spark-agent", "-n", NAMESPACE)
    # A broker keeps nothing for those who never subscribed.
    until(lambda: subscribed(pis) == len(pis.nodes), "agents at the broker", timeout=120)
    pis.apply(job(), namespace=NAMESPACE)
    authority = folder / "pki" / "ca.crt"
    yield {
        "stop": folder / "stop",
        "broker": [host, str(PORT), str(authority), "site", USERS["site"]],
    }
    install_chart(pis, project_images(), VALUES)
    pis.kubectl("delete", "eej", JOB, "-n", NAMESPACE)


def subscribed(pis: Cluster) -> int:
    """Return how many agents say that they are connected to the broker."""
    names = [pod["metadata"]["name"] for pod in pis.get("pods", *AGENTS)["items"]]
    logs = (pis.kubectl("logs", name, "-c", "agent", "-n", NAMESPACE) for name in names)
    return sum("connected to the broker" in log for log in logs)


def secrets(pis: Cluster, folder: Path, host: str) -> None:
    """Make the Secrets that the chart's values name."""
    authority = Authority(folder / "pki")
    authority.create()
    for name, others in (("broker", [f"IP:{host}"]), ("landing", [])):
        service = f"pi-edge-spark-{name}.{NAMESPACE}.svc"
        authority.issue(name, f"/CN={name}", [f"DNS:{service}", *others])
        files = {
            "tls.crt": authority.cert(name), "tls.key": authority.key(name),
            "ca.crt": authority.certificate,
        }  # fmt: skip
        secret(pis, f"{name}-tls", *(f"--from-file={key}={path}" for key, path in files.items()))
    passwords(folder / "passwords", USERS)
    secret(pis, "broker-users", f"--from-file={folder / 'passwords'}")
    secret(pis, "agent-mqtt", f"--from-literal=password={USERS['agents']}")


def secret(pis: Cluster, name: str, *content: str) -> None:
    pis.kubectl("create", "secret", "generic", name, "-n", NAMESPACE, *content)


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
        missing = sorted(set(sent) - set(stored(pis)))
        print(f"{len(missing)} of {len(sent)} readings are missing, among them {missing[:20]}")
    patch(pis, JOB, suspend=True)
    found = stored(pis)
    print(f"{len(sent)} readings sent, {len(found)} rows, {len(set(found))} different")
    assert sorted(found) == sorted(sent)
    assert {reading.rstrip("0123456789-") for reading in sent} == {"http", "mqtt"}
    jobs = pis.get("jobs", "-n", NAMESPACE, "-l", f"pi-edge-spark.io/job={JOB}")["items"]
    told = {tuple(each["spec"]["template"]["spec"]["containers"][0]["args"]) for each in jobs}
    landing = f"https://pi-edge-spark-landing.{NAMESPACE}.svc:8080"
    assert told
    assert all(landing in arguments and "--ca-file" in arguments for arguments in told)


def landing_node(pis: AnyCluster) -> str:
    labels = ("-l", "app.kubernetes.io/component=landing", "-n", NAMESPACE)
    return str(pis.get("pods", *labels)["items"][0]["spec"]["nodeName"])
