"""Who may write to the landing service: real pods with real tokens, on real nodes."""

import errno
import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support.cluster import AnyCluster
from tests.support.cluster.buildah import RECIPES
from tests.support.jobs import NAMESPACE, Object

JOB, RUN = "intruder", "20260101-000000"
AUDIENCE = f"pi-edge-spark.io/{NAMESPACE}/{JOB}/{RUN}"
TOKEN = "/var/run/secrets/pi-edge-spark/token"  # noqa: S105

# Sends one small file as the edge program does, and prints the answer's status.
PUT = """
import base64, hashlib, http.client, sys
host, path, token_file = sys.argv[1:]
body = b"readings"
digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
headers = {"Content-Digest": f"sha-256=:{digest}:"}
if token_file:
    headers["Authorization"] = "Bearer " + open(token_file).read().strip()
connection = http.client.HTTPConnection(host, 8080, timeout=20)
connection.request("PUT", path, body, headers)
print(connection.getresponse().status)
"""


@dataclass(frozen=True)
class EdgePod:
    """A pod like those that the operator starts, which waits for commands."""

    cluster: AnyCluster
    name: str
    node: str
    uid: str

    def put(self, node: str, attempt: str, token: str = TOKEN, run: str = RUN) -> int:
        """PUT a file under a node and an attempt; return the HTTP status."""
        path = (
            f"/v1/results/{NAMESPACE}/{JOB}/{run}/{node}/{attempt}/{secrets.token_hex(4)}.parquet"
        )
        host = f"pi-edge-spark-landing.{NAMESPACE}.svc"
        answer = self.cluster.exec(
            self.name, "python3", "-c", PUT, host, path, token, namespace=NAMESPACE
        )
        return int(answer)


def _pod(name: str, node: str, account: str) -> Object:
    sources = [{"serviceAccountToken": {"path": "token", "audience": AUDIENCE}}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "nodeSelector": {"kubernetes.io/hostname": node},
            "serviceAccountName": account,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsUser": 65532, "fsGroup": 65532},
            "containers": [
                {
                    "name": "main",
                    "image": RECIPES["edge"].reference,
                    "imagePullPolicy": "Never",
                    "command": ["sleep", "3600"],
                    "volumeMounts": [
                        {"name": "token", "mountPath": "/var/run/secrets/pi-edge-spark"}
                    ],
                }
            ],
            "volumes": [{"name": "token", "projected": {"sources": sources}}],
        },
    }


@pytest.fixture(scope="module")
def pods(pis: AnyCluster) -> Iterator[dict[str, EdgePod]]:
    """Run two pods with the edge pods' identity, and one without it."""
    wanted = {
        "mine": ("pi-1", "pi-edge-spark-edge"),
        "other": ("pi-2", "pi-edge-spark-edge"),
        "stranger": ("pi-1", "default"),
    }
    names = [f"landing-{name}" for name in wanted]
    for name, (node, account) in wanted.items():
        pis.apply(_pod(f"landing-{name}", node, account), namespace=NAMESPACE)
    pis.wait(*(f"pod/{name}" for name in names), condition="Ready", namespace=NAMESPACE)
    found = {name: pis.get("pod", f"landing-{name}", "-n", NAMESPACE) for name in wanted}
    yield {
        name: EdgePod(pis, f"landing-{name}", wanted[name][0], pod["metadata"]["uid"])
        for name, pod in found.items()
    }
    pis.kubectl("delete", "pod", *names, "-n", NAMESPACE, "--wait=false")


def test_a_pod_writes_under_what_its_token_proves(pods: dict[str, EdgePod]) -> None:
    mine = pods["mine"]
    assert mine.put(mine.node, mine.uid) == 201


def test_without_a_token_nothing_is_written(pods: dict[str, EdgePod]) -> None:
    mine = pods["mine"]
    assert mine.put(mine.node, mine.uid, token="") == 401


def test_a_file_that_is_no_token_is_refused(pods: dict[str, EdgePod]) -> None:
    mine = pods["mine"]
    assert mine.put(mine.node, mine.uid, token="/etc/hostname") == 401  # noqa: S106


def test_another_nodes_path_is_refused(pods: dict[str, EdgePod]) -> None:
    mine, other = pods["mine"], pods["other"]
    assert mine.put(other.node, mine.uid) == 403
    assert other.put(mine.node, mine.uid) == 403


def test_another_attempt_is_refused(pods: dict[str, EdgePod]) -> None:
    mine, other = pods["mine"], pods["other"]
    assert mine.put(mine.node, other.uid) == 403


def test_another_run_is_refused(pods: dict[str, EdgePod]) -> None:
    mine = pods["mine"]
    assert mine.put(mine.node, mine.uid, run="20260101-000001") in (401, 403)


def test_another_identity_is_refused(pods: dict[str, EdgePod]) -> None:
    stranger = pods["stranger"]
    assert stranger.put(stranger.node, stranger.uid) == 403


def test_no_pod_reaches_the_reports_of_runs(pis: AnyCluster, pods: dict[str, EdgePod]) -> None:
    selector = "app.kubernetes.io/component=landing"
    (landing,) = pis.get("pods", "-n", NAMESPACE, "-l", selector)["items"]
    (container,) = landing["spec"]["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    connect = (
        "import socket, sys; client = socket.socket(); client.settimeout(20); "
        "print(client.connect_ex((sys.argv[1], int(sys.argv[2]))))"
    )
    address = landing["status"]["podIP"]
    codes = {
        name: pis.exec(
            *(pods["stranger"].name, "python3", "-c", connect, address, str(port)),
            namespace=NAMESPACE,
        ).strip()
        for name, port in ports.items()
    }
    assert codes == {"http": "0", "reports": str(errno.ECONNREFUSED)}


def test_a_token_has_no_rights_at_the_api_server(pis: AnyCluster) -> None:
    account = f"system:serviceaccount:{NAMESPACE}:pi-edge-spark-edge"
    rights = json.loads(
        pis.kubectl(
            *("create", "--raw", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"),
            *("-f", "-", "--as", account),
            stdin=json.dumps(
                {
                    "apiVersion": "authorization.k8s.io/v1",
                    "kind": "SelfSubjectRulesReview",
                    "spec": {"namespace": NAMESPACE},
                }
            ),
        )
    )
    resources = {r for rule in rights["status"]["resourceRules"] for r in rule["resources"]}
    assert resources <= {
        *("selfsubjectreviews", "selfsubjectaccessreviews", "selfsubjectrulesreviews")
    }
