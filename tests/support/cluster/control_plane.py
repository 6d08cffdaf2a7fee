"""kine, kube-apiserver, kube-controller-manager and kube-scheduler as processes."""

import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster import binaries
from tests.support.cluster.pki import Authority
from tests.support.cluster.processes import Process, spawn
from tests.support.cluster.state import State

SERVICES = "10.43.0.0/16"
CLUSTER_DNS = "10.43.0.10"
SERVICE_NAMES = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost")


@dataclass(frozen=True)
class Address:
    """Where the API server listens, and how others reach it."""

    bind: str
    port: int
    clients: str  # the host's own clients
    nodes: str = "127.0.0.1"  # nodes, and pods by way of the service `kubernetes`
    namespace: int | None = None  # a process in whose network namespace it lives

    @property
    def for_clients(self) -> str:
        """The URL for whoever runs on the host."""
        return f"https://{self.clients}:{self.port}"

    @property
    def for_nodes(self) -> str:
        """The URL for the nodes."""
        return f"https://{self.nodes}:{self.port}"


class ControlPlane:
    """The processes that every cluster has once."""

    def __init__(self, state: State, address: Address) -> None:
        self.state = state
        self.address = address
        self.authority = Authority(state.folder / "pki")
        self.kubeconfig = state.folder / "kubeconfig"

    def start_api_server(self) -> None:
        """Start kine and the API server, and wait until it answers."""
        self.authority.create()
        self._issue()
        self._kine()
        self._api_server()
        self.authority.kubeconfig(
            self.kubeconfig, self.address.for_clients, "admin", "system:masters"
        )

    def start_controllers(self, controllers: Sequence[str] = ("*",), *options: str) -> None:
        """Start kube-controller-manager with some or all of its controllers; options go last."""
        user = "system:kube-controller-manager"
        self._start(
            "kube-controller-manager",
            *("--kubeconfig", self.internal_kubeconfig("controllers", user)),
            f"--controllers={','.join(controllers)}",
            f"--root-ca-file={self.authority.certificate}",
            f"--service-account-private-key-file={self.authority.account_key}",
            "--use-service-account-credentials",
            "--allocate-node-cidrs=false",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--secure-port=0",
            # An absent node is noticed within the time a test can wait.
            "--node-monitor-period=2s",
            "--node-monitor-grace-period=20s",
            "--kube-api-qps=100",
            "--kube-api-burst=200",
            *options,
        )

    def start_scheduler(self, *options: str) -> None:
        """Start kube-scheduler."""
        self._start(
            "kube-scheduler",
            *("--kubeconfig", self.internal_kubeconfig("scheduler", "system:kube-scheduler")),
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
            "--secure-port=0",
            *options,
        )

    def spawn(
        self, what: str, *argv: str | Path, environment: Mapping[str, str] | None = None
    ) -> Process:
        """Start a process of the control plane in its network namespace."""
        space = self.address.namespace
        inside = ["nsenter", f"--net=/proc/{space}/ns/net"] if space else []
        log = self.state.folder / "logs" / f"{what}.log"
        return self.state.record(spawn(what, [*inside, *argv], log, environment))

    def _start(self, name: str, *arguments: str | Path) -> Process:
        return self.spawn(name, binaries.folder("kubernetes") / name, *arguments)

    def internal_kubeconfig(self, name: str, user: str, group: str = "") -> Path:
        """Write a kubeconfig for a process of the control plane."""
        path = self.state.folder / f"{name}.kubeconfig"
        return self.authority.kubeconfig(path, self.address.for_nodes, user, group)

    def _issue(self) -> None:
        hosts = {self.address.clients, self.address.nodes, "127.0.0.1", "10.43.0.1"}
        names = [f"IP:{host}" for host in sorted(hosts)]
        names += [f"DNS:{name}" for name in (*SERVICE_NAMES, f"{SERVICE_NAMES[2]}.cluster.local")]
        self.authority.issue("api-server", "/CN=kube-apiserver", names)
        self.authority.issue("api-server-client", "/O=system:masters/CN=kube-apiserver-client")

    def _kine(self) -> None:
        socket = self._socket()
        if len(str(socket)) > 100:
            raise ValueError(f"too long for a socket's path, set PI_EDGE_SPARK_CACHE: {socket}")
        database = self.state.folder / "datastore.db"
        # Nobody needs this database after the machine's own power cut: no fsync.
        options = (
            "_journal_mode=WAL&_busy_timeout=30000&_synchronous=OFF"
            "&_txlock=immediate&_stmt_cache_size=20&cache=shared"
        )
        kine = self.spawn(
            "kine",
            binaries.binary("kine"),
            *("--listen-address", f"unix://{socket}"),
            *("--endpoint", f"sqlite://{database}?{options}"),
            *("--metrics-bind-address", "0"),
        )
        deadline = time.monotonic() + 30
        while not socket.exists():
            self._must_run(kine, deadline)
            time.sleep(0.02)

    def _socket(self) -> Path:
        return self.state.folder / "kine.sock"

    def _api_server(self) -> None:
        pki, loopback = self.authority, self.address.nodes.startswith("127.")
        server = self._start(
            "kube-apiserver",
            f"--etcd-servers=unix://{self._socket()}",
            f"--bind-address={self.address.bind}",
            f"--advertise-address={self.address.nodes}",
            f"--secure-port={self.address.port}",
            f"--tls-cert-file={pki.cert('api-server')}",
            f"--tls-private-key-file={pki.key('api-server')}",
            f"--client-ca-file={pki.certificate}",
            f"--kubelet-client-certificate={pki.cert('api-server-client')}",
            f"--kubelet-client-key={pki.key('api-server-client')}",
            "--kubelet-preferred-address-types=InternalIP",
            f"--service-account-key-file={pki.account_public_key}",
            f"--service-account-signing-key-file={pki.account_key}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            f"--service-cluster-ip-range={SERVICES}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            # A loopback address is not allowed as an endpoint of the service `kubernetes`.
            *(["--endpoint-reconciler-type=none"] if loopback else []),
        )
        deadline = time.monotonic() + 90
        while not self._ready():
            self._must_run(server, deadline)
            time.sleep(0.1)

    def _ready(self) -> bool:
        trust = ssl.create_default_context(cafile=str(self.authority.certificate))
        try:
            url = f"{self.address.for_clients}/readyz"
            with urllib.request.urlopen(url, context=trust, timeout=5) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _must_run(self, process: Process, deadline: float) -> None:
        log = self.state.folder / "logs" / f"{process.what}.log"
        if not process.alive():
            raise RuntimeError(f"{process.what} ended:\n" + "\n".join(_tail(log)))
        if time.monotonic() > deadline:
            raise TimeoutError(f"{process.what} did not become ready:\n" + "\n".join(_tail(log)))


def _tail(log: Path, lines: int = 15) -> list[str]:
    return log.read_text(errors="replace").splitlines()[-lines:]
