"""The operator and the landing service work with the chart's arguments, settings and accounts."""

import json
import os
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import chart
from tests.support.cluster import ApiServer
from tests.support.cluster.kube import until

NAMESPACE, RELEASE, JOB = "field", "pi-edge-spark", "air-quality"
SAMPLE = chart.ROOT / "manifests" / "samples" / "air-quality.yaml"
NODE = {
    "apiVersion": "v1",
    "kind": "Node",
    "metadata": {
        "name": "pi-1",
        "labels": {"pi-edge-spark.io/role": "edge", "kubernetes.io/hostname": "pi-1"},
    },
}


@pytest.fixture(scope="module")
def server() -> Iterator[ApiServer]:
    """Give an API server with the chart and a node: nothing runs but what a test starts."""
    with ApiServer() as started:
        place = ("--namespace", NAMESPACE, "--create-namespace")
        started.helm("install", RELEASE, chart.CHART, *place)
        started.apply(NODE)
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
        patch = json.dumps({"status": {"conditions": [ready]}})
        started.kubectl("patch", "node", "pi-1", "--subresource=status", "-p", patch)
        # Nobody here takes away the taint that a new node has.
        started.kubectl("patch", "node", "pi-1", "-p", json.dumps({"spec": {"taints": None}}))
        yield started


def arguments(server: ApiServer, component: str, **replaced: str) -> list[str]:
    """Return the arguments of a program's container, with some options changed for this test."""
    deployment = server.get("deployment", "-n", NAMESPACE, f"{RELEASE}-{component}")
    given = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    for option, value in replaced.items():
        found = [each for each in given if each.startswith(f"--{option}=")]
        assert len(found) == 1, given
        given[given.index(found[0])] = f"--{option}={value}"
    return [str(each) for each in given]


def account_token(server: ApiServer, component: str, *options: str) -> str:
    """Return a token of one of the release's service accounts."""
    name = f"{RELEASE}-{component}"
    return server.kubectl("create", "token", "-n", NAMESPACE, name, *options).strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running(command: list[str], url: str, log: Path, **environment: str) -> Iterator[None]:
    """Run a program, give it when it answers at the URL, and end it when the block ends."""
    with log.open("w") as output:
        process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=output, stderr=output
        )

        def answers() -> bool:
            assert process.poll() is None, log.read_text()
            return get(url)[0] == 200

        try:
            until(answers, f"an answer of {url}")
            yield
        finally:
            process.terminate()
            process.wait(30)


def get(url: str, token: str = "") -> tuple[int, Any]:
    """Return status and JSON of an answer."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_operator_starts_a_run_with_what_the_chart_gives_it(
    server: ApiServer, tmp_path: Path
) -> None:
    kubeconfig, settings, log = (tmp_path / name for name in ("kubeconfig", "settings", "log"))
    connection = yaml.safe_load(server.kubeconfig.read_text())
    connection["users"][0]["user"] = {"token": account_token(server, "operator")}
    kubeconfig.write_text(yaml.safe_dump(connection))
    config = server.get("configmap", "-n", NAMESPACE, f"{RELEASE}-operator")
    port = free_port()
    given = {**yaml.safe_load(config["data"]["settings.yaml"]), "port": port}
    settings.write_text(yaml.safe_dump(given))
    health = f"http://127.0.0.1:{port}/healthz"
    program = str(chart.ROOT / "operator" / "main.py")
    command = [sys.executable, program, *arguments(server, "operator")]
    paths = {"KUBECONFIG": str(kubeconfig), "EDGE_ETL_SETTINGS": str(settings)}

    with running(command, health, log, **paths):
        server.kubectl("apply", "-n", NAMESPACE, "-f", SAMPLE)
        jobs = until(lambda: server.get("jobs", "-n", NAMESPACE)["items"], "the node's Job")
        pod = jobs[0]["spec"]["template"]["spec"]
        assert pod["serviceAccountName"] == f"{RELEASE}-edge"
        assert pod["containers"][0]["image"] == "localhost/pi-edge-spark/edge:dev"
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert volumes["source"]["hostPath"]["path"] == "/var/lib/pi-edge-spark/sensors"
        lease = server.get("lease", "-n", NAMESPACE, f"{RELEASE}-operator")
        assert lease["spec"]["holderIdentity"]
        place = health.replace("healthz", "metrics")
        with urllib.request.urlopen(place, timeout=10) as answer:  # noqa: S310
            figures = answer.read().decode()
        for figure in ("edge_etl_leading 1.0", 'edge_etl_nodes{job="air-quality"'):
            assert figure in figures
    assert "forbidden" not in log.read_text().lower()


def test_the_landing_service_reviews_tokens_with_what_the_chart_gives_it(
    server: ApiServer, tmp_path: Path
) -> None:
    results, token, ca = (tmp_path / name for name in ("results", "token", "ca.crt"))
    results.mkdir()
    token.write_text(account_token(server, "landing"))
    ca.write_bytes(server.control_plane.authority.certificate.read_bytes())
    port = free_port()
    options = arguments(server, "landing", results=str(results), port=str(port))
    options += ["--host=127.0.0.1", f"--api-server={server.control_plane.address.for_clients}"]
    options += [f"--api-ca-file={ca}", f"--api-token-file={token}"]
    url = f"http://127.0.0.1:{port}"
    run = "20261122-120000"
    audience = f"--audience=pi-edge-spark.io/{NAMESPACE}/{JOB}/{run}"
    server.apply(pod_on_the_node(), NAMESPACE)
    bound = ("--bound-object-kind=Pod", "--bound-object-name=edge")
    dataset = f"{url}/v1/results/{NAMESPACE}/{JOB}/dataset.json"

    command = [sys.executable, "-m", "edge_etl_job", *options]
    with running(command, f"{url}/readyz", tmp_path / "log"):
        good = account_token(server, "edge", audience, *bound)
        assert get(dataset, good)[0] == 200
        assert get(dataset, account_token(server, "edge", *bound))[0] == 401
        assert get(dataset, account_token(server, "spark", audience))[0] == 403


def pod_on_the_node() -> dict[str, Any]:
    """Return a pod as the scheduler leaves it, for tokens that are bound to it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "edge"},
        "spec": {
            "nodeName": "pi-1",
            "serviceAccountName": f"{RELEASE}-edge",
            "containers": [{"name": "edge", "image": "localhost/pi-edge-spark/edge:dev"}],
        },
    }
