"""Simulated nodes on a real control plane: API server, Job controller, scheduler, and kwok.

Everything but the nodes is real. kwok plays the kubelets (``kwok.yaml``); the driver's pod, of
which there is one for each job, is ended by the benchmark itself.
"""

import json
import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from edge_etl_operator import names
from edge_etl_operator.api import parse
from edge_etl_operator.builders import edge
from edge_etl_operator.connection import Connection
from edge_etl_operator.kube import Job, Metadata, Node, Pod
from edge_etl_operator.limiter import Limiter
from edge_etl_operator.mirror import Mirror
from edge_etl_operator.settings import Settings

from tests.support import operator_facts, operator_process
from tests.support.cluster import ApiServer, Kube, binaries
from tests.support.cluster.api_server import QUIET_CONTROLLERS
from tests.support.operator_process import ROOT, Kubelet, succeed

STAGES: Final = Path(__file__).with_name("kwok.yaml")
CRD: Final = ROOT / "operator" / "edge_etl_operator" / "crd.yaml"
NAMESPACE: Final = "farm"
PLAIN: Final = "plain"
PLAIN_CLIENTS: Final = 20
_REQUESTS_PER_SECOND: Final = 1000
"""Of the control plane's own parts: the operator shall be what is measured, not their limits."""


class _Condition(msgspec.Struct, frozen=True):
    type: str
    status: str


class _Run(msgspec.Struct, frozen=True):
    id: str = ""


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    phase: str = ""
    run: _Run = _Run()
    conditions: tuple[_Condition, ...] = ()


class EdgeETLJob(msgspec.Struct, frozen=True):
    """What the benchmark looks at of a job."""

    metadata: Metadata
    status: _Status = _Status()

    def is_(self, kind: str) -> bool:
        """Tell whether a condition holds."""
        return any(each.type == kind and each.status == "True" for each in self.status.conditions)


@dataclass
class Times:
    """When something was seen for one job, in monotonic seconds; 0 where it has not been yet."""

    applied: float = 0.0
    created: list[float] = field(default_factory=list)
    pods: list[float] = field(default_factory=list)
    ended: dict[str, float] = field(default_factory=dict)
    edge_said: float = 0.0
    driver_created: float = 0.0
    driver_ended: float = 0.0
    success_said: float = 0.0

    @property
    def last_ended(self) -> float:
        """When the last edge pod had ended."""
        return max(self.ended.values(), default=0.0)


class Watcher:
    """Notes when what happens in a namespace can be seen by a client."""

    def __init__(self, server: Kube, namespace: str = NAMESPACE) -> None:
        import kubernetes.client
        import kubernetes.config

        client = kubernetes.config.new_client_from_config(str(server.kubeconfig))  # type: ignore[no-untyped-call]
        self.times: dict[str, Times] = {}
        connection = self.connection = Connection(client, Limiter(10_000, 10_000))
        group = "/apis/pi-edge-spark.io/v1alpha1"
        self.namespace = namespace
        inside = f"namespaces/{namespace}"
        self.jobs = Mirror(
            connection,
            Job,
            f"/apis/batch/v1/{inside}/jobs",
            label=names.JOB,
            changed=self._job,
        )
        self.pods = Mirror(
            connection, Pod, f"/api/v1/{inside}/pods", label=names.JOB, changed=self._pod
        )
        self.wishes = Mirror(
            connection, EdgeETLJob, f"{group}/{inside}/edgeetljobs", label="", changed=self._wish
        )
        for mirror in (self.jobs, self.pods, self.wishes):
            mirror.start()
            mirror.synced.wait(30)

    def of(self, name: str) -> Times:
        """Return the times of one job."""
        return self.times.setdefault(name, Times())

    def _job(self, before: Job | None, now: Job | None) -> None:
        if before is None and now is not None:
            self.of(now.metadata.labels[names.JOB]).created.append(time.monotonic())

    def _pod(self, before: Pod | None, now: Pod | None) -> None:
        if now is None:
            return
        moment, labels = time.monotonic(), now.metadata.labels
        if names.STAGE not in labels:
            return
        seen = self.of(labels[names.JOB])
        if labels[names.STAGE] == names.EDGE:
            if before is None:
                seen.pods.append(moment)
            if now.phase == "Succeeded":
                seen.ended.setdefault(now.uid, moment)
        elif before is None:
            seen.driver_created = moment
        elif now.phase == "Succeeded":
            seen.driver_ended = seen.driver_ended or moment

    def _wish(self, before: EdgeETLJob | None, now: EdgeETLJob | None) -> None:
        if now is None:
            return
        seen, moment = self.of(now.metadata.name), time.monotonic()
        if now.is_("EdgeComplete"):
            seen.edge_said = seen.edge_said or moment
        if now.status.phase == "Succeeded":
            seen.success_said = seen.success_said or moment


@contextmanager
def control_plane(nodes: int) -> Iterator[ApiServer]:
    """Start everything with so many ready nodes, and end it."""
    with ExitStack() as stack:
        server = stack.enter_context(ApiServer(controllers=()))
        plane = server.control_plane
        limits = (
            f"--kube-api-qps={_REQUESTS_PER_SECOND}",
            f"--kube-api-burst={_REQUESTS_PER_SECOND}",
        )
        controllers = (*QUIET_CONTROLLERS, "job-controller")
        plane.start_controllers(controllers, *limits, "--concurrent-job-syncs=20")
        plane.start_scheduler(*limits)
        credentials = plane.internal_kubeconfig("kwok", "kwok", "system:masters")
        plane.spawn(
            "kwok",
            binaries.binary("kwok"),
            f"--kubeconfig={credentials}",
            f"--config={STAGES}",
            "--manage-all-nodes",
            "--node-lease-duration-seconds=0",
            environment={"HOME": str(server.state.folder)},
        )
        server.install_crd(CRD)
        server.kubectl("create", "namespace", NAMESPACE)
        for account in ("edge", "spark"):
            server.kubectl("create", "serviceaccount", account, "-n", NAMESPACE)
        _add_nodes(server, nodes)
        yield server


def node_names(count: int) -> list[str]:
    """Return the names of the nodes."""
    return [f"pi-{number:04}" for number in range(count)]


def _add_nodes(server: ApiServer, count: int) -> None:
    items = [
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {
                "name": name,
                "labels": {"pi-edge-spark.io/role": "edge", "kubernetes.io/hostname": name},
            },
        }
        for name in node_names(count)
    ]
    for start in range(0, count, 250):
        part = {"apiVersion": "v1", "kind": "List", "items": items[start : start + 250]}
        server.kubectl("create", "-f", "-", stdin=json.dumps(part))

    def ready() -> bool:
        found = server.kubectl(
            "get", "nodes", "-o", "jsonpath={.items[*].status.conditions[0].status}"
        )
        return found.split().count("True") == count

    wait(ready, "the nodes are ready", 300, every=1)
    # Nobody here takes away the taint that a new node has.
    server.kubectl("taint", "nodes", "--all", "node.kubernetes.io/not-ready-", timeout=600)


def apply(watcher: Watcher, job: str, **more: Any) -> bytes:
    """Create a job over all nodes, by a request of its own: kubectl takes longer than the rest."""
    watcher.of(job).applied = time.monotonic()
    nodes = {"selector": {"matchLabels": {"pi-edge-spark.io/role": "edge"}}}
    return watcher.connection.call(
        "POST",
        f"/apis/pi-edge-spark.io/v1alpha1/namespaces/{watcher.namespace}/edgeetljobs",
        body={
            "apiVersion": "pi-edge-spark.io/v1alpha1",
            "kind": "EdgeETLJob",
            "metadata": {"name": job},
            "spec": operator_facts.spec(nodes=nodes, **more),
        },
    )


def plain(server: ApiServer, nodes: int) -> float:
    """Create as many Kubernetes Jobs as a job over all nodes has, by a client that does only that.

    Return how many seconds that took until they were seen: what the API server can take while all
    that follows from them goes on. Then wait until all is over.
    """
    server.kubectl("create", "namespace", PLAIN)
    server.kubectl("create", "serviceaccount", "edge", "-n", PLAIN)
    watcher = Watcher(server, PLAIN)
    owner = parse(json.loads(apply(watcher, "plain")))
    settings = msgspec.convert(operator_process.settings(PLAIN), Settings)
    fleet = [Node(metadata=Metadata(name=name)) for name in node_names(nodes)]
    manifests = edge.node_jobs(owner, "20260301-120000", fleet, settings)
    config = edge.edge_config(owner, "20260301-120000")
    place = f"namespaces/{PLAIN}"
    watcher.connection.call("POST", f"/api/v1/{place}/configmaps", body=config)

    def create(manifest: dict[str, Any]) -> None:
        watcher.connection.call("POST", f"/apis/batch/v1/{place}/jobs", body=manifest)

    begun, seen = time.monotonic(), watcher.of("plain")
    with ThreadPoolExecutor(PLAIN_CLIENTS) as pool:
        list(pool.map(create, manifests))
    wait(lambda: len(seen.ended) == nodes, "the plain Jobs have ended", 1800)
    return max(seen.created) - begun


def end_drivers(watcher: Watcher, kubelet: Kubelet) -> None:
    """Let the drivers that were created succeed."""
    for pod in watcher.pods.all():
        of_driver = pod.metadata.labels[names.STAGE] == names.AGGREGATE
        if of_driver and not pod.finished:
            document = {
                "metadata": {
                    "name": pod.name,
                    "uid": pod.uid,
                    "labels": pod.metadata.labels,
                },
                "spec": {"containers": [{"name": "driver", "image": "spark"}]},
            }
            kubelet.patch(document, succeed(document))


def kubelet(server: ApiServer) -> Kubelet:
    """Return who ends the drivers."""
    return Kubelet(server.kubeconfig, NAMESPACE, succeed)


def wait(
    done: Callable[[], Any],
    what: str,
    timeout: float,
    every: float = 0.2,
    step: Callable[[], Any] = lambda: None,
) -> None:
    """Wait until something is so."""
    end = time.monotonic() + timeout
    while not done():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout:.0f} s")
        step()
        time.sleep(every)


def fresh(prefix: str) -> str:
    """Return a name that was not used."""
    return f"{prefix}-{secrets.token_hex(2)}"
