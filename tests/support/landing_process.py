"""The landing service as its own process, and pods whose tokens a real API server made."""

import base64
import hashlib
import http.client
import json
import secrets
import socket
import ssl
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import kubernetes.client
import kubernetes.config
from edge_etl_job.results.layout import Attempt

from tests.support.cluster import ApiServer
from tests.support.cluster.kube import until

ACCOUNT = "edge"
JOB = "air-quality"
RUN = "20261122-120000"


@dataclass(frozen=True)
class Pod:
    """A pod that the API server knows, and its token for its own run."""

    name: str
    attempt: Attempt
    token: str

    @property
    def url(self) -> str:
        """The URL path of the pod's attempt."""
        return f"{self.node_url}/{self.attempt.attempt}"

    @property
    def node_url(self) -> str:
        """The URL path of the pod's node in its run."""
        place = self.attempt
        return f"/v1/results/{place.namespace}/{place.job}/{place.run}/{place.node}"

    @property
    def folder(self) -> str:
        """Where the attempt's files lie below the root."""
        return str(self.attempt.attempt_folder)


def audience(namespace: str, job: str = JOB, run: str = RUN) -> str:
    """Return the audience of a run's tokens."""
    return f"pi-edge-spark.io/{namespace}/{job}/{run}"


class Pods:
    """Pods of one namespace; there is no node that would run them, but their tokens are real."""

    def __init__(self, server: ApiServer, namespace: str) -> None:
        self.server = server
        self.namespace = namespace
        server.kubectl("create", "serviceaccount", ACCOUNT, "-n", namespace)

    def create(self, node: str, account: str = ACCOUNT) -> Pod:
        """Create a pod of a node."""
        name = f"{node}-{secrets.token_hex(3)}"
        spec = _spec(node, account)
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        self.server.apply(pod, self.namespace)
        uid = self.server.get("pod", name, "-n", self.namespace)["metadata"]["uid"]
        token = self.token(name, uid, account=account)
        return Pod(name, Attempt(self.namespace, JOB, RUN, node, uid), token)

    def fleet(self, nodes: int) -> list[Pod]:
        """Create a pod of each of many nodes."""
        client = kubernetes.config.new_client_from_config(  # type: ignore[no-untyped-call]
            str(self.server.kubeconfig)
        )
        core = kubernetes.client.CoreV1Api(client)
        return [self._of(core, f"pi-{number}") for number in range(1, nodes + 1)]

    def _of(self, core: Any, node: str) -> Pod:
        spec = _spec(node, ACCOUNT)
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": node}, "spec": spec}
        uid = core.create_namespaced_pod(self.namespace, body).metadata.uid
        bound = {"apiVersion": "v1", "kind": "Pod", "name": node, "uid": uid}
        wanted = {"audiences": [audience(self.namespace)], "boundObjectRef": bound}
        made = core.create_namespaced_service_account_token(
            ACCOUNT, self.namespace, {"spec": wanted}
        )
        return Pod(node, Attempt(self.namespace, JOB, RUN, node, uid), made.status.token)

    def token(
        self, pod: str, uid: str, its_audience: str | None = None, account: str = ACCOUNT
    ) -> str:
        """Ask for a token as the kubelet does."""
        bound = (
            f"--bound-object-kind=Pod --bound-object-name={pod} --bound-object-uid={uid}".split()
        )
        return self.unbound(its_audience, account, *bound)

    def unbound(
        self, its_audience: str | None = None, account: str = ACCOUNT, *options: str
    ) -> str:
        """Ask for a token that belongs to no pod."""
        its_audience = its_audience or audience(self.namespace)
        return self.server.kubectl(
            *("create", "token", account, "-n", self.namespace),
            *("--audience", its_audience, *options),
        ).strip()

    def delete(self, pod: Pod) -> None:
        """Remove a pod at once."""
        self.server.kubectl(
            "delete", "pod", pod.name, "-n", self.namespace, "--force", "--grace-period=0"
        )


def _spec(node: str, account: str) -> dict[str, Any]:
    return {
        "nodeName": node,
        "serviceAccountName": account,
        "containers": [{"name": "edge", "image": "edge"}],
    }


@dataclass
class LandingProcess:
    """`python -m edge_etl_job landing`, which can be killed and started again."""

    root: Path
    api_server: ApiServer
    token_file: Path
    options: tuple[str, ...] = ()
    before: tuple[str, ...] = ()  # a command that runs the service
    ca_file: Path | None = None  # of its certificate, if the options give it one
    port: int = field(default_factory=lambda: _free_port())
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL of the service."""
        return f"{'https' if self.ca_file else 'http'}://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the service."""
        if self.process is None:
            raise RuntimeError("the service was not started")
        return self.process.pid

    @property
    def log_file(self) -> Path:
        """What the service said, of all its starts."""
        return self.token_file.with_name(f"landing-{self.port}.log")

    @property
    def log(self) -> list[dict[str, Any]]:
        """The lines of its log."""
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    def start(self) -> Self:
        """Start it, and wait until it is ready."""
        argv = [
            *(*self.before, sys.executable, "-m", "edge_etl_job", "landing"),
            *("--results", str(self.root), "--host", "127.0.0.1", "--port", str(self.port)),
            *("--edge-service-account", ACCOUNT),
            *("--api-server", self.api_server.control_plane.address.for_clients),
            *("--api-ca-file", str(self.api_server.control_plane.authority.certificate)),
            *("--api-token-file", str(self.token_file), *self.options),
        ]
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log)
        until(self._ready, "the landing service", timeout=30, every=0.05)
        return self

    def _ready(self) -> bool:
        if self.process is not None and self.process.poll() is not None:
            raise AssertionError(self.log_file.read_text())
        return self.request("GET", "/readyz").status == 200

    def kill(self) -> None:
        """End it as a power cut does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def stop(self) -> int:
        """End it as Kubernetes does, and return its exit code."""
        if self.process is None:
            return 0
        self.process.terminate()
        return self.process.wait(timeout=40)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> "Answer":
        """Send a request, its path as it is, and return the answer."""
        connection = self._connection()
        try:
            connection.putrequest(method, path, skip_host=False, skip_accept_encoding=True)
            for name, value in (headers or {}).items():
                connection.putheader(name, value)
            connection.endheaders(body)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), dict(answer.headers))
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self.ca_file is None:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        tls = ssl.create_default_context(cafile=self.ca_file)
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30, context=tls)

    def put(self, path: str, body: bytes, token: str | None, **headers: str | None) -> "Answer":
        """PUT a body as the edge program does; headers can be changed, None leaves one out."""
        usual = upload_headers(body, token) | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        sent = {name: value for name, value in usual.items() if value is not None}
        return self.request("PUT", path, sent, body)

    def half_sent(self, path: str, body: bytes, token: str) -> socket.socket:
        """Send the first half of an upload and leave the connection open."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        lines = [f"PUT {path} HTTP/1.1", f"Host: {urlsplit(self.url).netloc}"]
        lines += [f"{name}: {value}" for name, value in upload_headers(body, token).items()]
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + body[: len(body) // 2])
        return connection


@dataclass(frozen=True)
class Answer:
    """What the service answered."""

    status: int
    body: bytes
    headers: dict[str, str]

    @property
    def reason(self) -> str:
        """The reason that it states."""
        return str(json.loads(self.body)["reason"])


def upload_headers(body: bytes, token: str | None) -> dict[str, str | None]:
    """Return the headers of an upload."""
    digest = base64.b64encode(hashlib.sha256(body).digest()).decode()
    return {
        "Authorization": f"Bearer {token}" if token else None,
        "Content-Length": str(len(body)),
        "Content-Digest": f"sha-256=:{digest}:",
    }


def manifest(pod: Pod, contents: dict[str, bytes]) -> bytes:
    """Return what a commit of a pod needs of a node manifest."""
    place = pod.attempt
    files = [
        {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in contents.items()
    ]
    names = {part: getattr(place, part) for part in ("namespace", "job", "run", "node", "attempt")}
    return json.dumps({"kind": "NodeManifest", **names, "files": files}).encode()


def files_below(root: Path) -> dict[str, bytes]:
    """Return all files below a folder, those that are still being written too."""
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
