"""A cluster of nodes: the whole of k3s' parts, and the verbs that tests need."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.cluster import addons, cgroups, image_store, lifetime, packages
from tests.support.cluster.control_plane import Address, ControlPlane
from tests.support.cluster.ending import end, sweep
from tests.support.cluster.images import Image, cluster_images
from tests.support.cluster.kube import CommandError, until
from tests.support.cluster.network import GATEWAY, Lan
from tests.support.cluster.node import Node
from tests.support.cluster.pki import CONTEXT
from tests.support.cluster.state import State
from tests.support.cluster.verbs import AnyCluster

EDGE = {"pi-edge-spark.io/role": "edge"}


def unavailable() -> str:
    """Return why this machine cannot run nodes ('' if it can)."""
    if sys.platform != "linux":
        return "nodes need Linux"
    if os.geteuid() != 0:
        return "nodes need root (namespaces, mounts, cgroups)"
    if not cgroups.available():
        return "nodes need a writable /sys/fs/cgroup"
    if packages.missing() and not shutil.which("apt-get"):
        return f"nodes need these programs: {' '.join(packages.missing())}"
    return ""


class Cluster(AnyCluster, lifetime.Closer):
    """Nodes pi-1, pi-2, … that are edge nodes, and server-1, … that are not.

    `images` are on every node from the start; `load_image` adds others later.
    With `detached` the cluster outlives the program: `attach` finds it again.
    """

    def __init__(
        self,
        nodes: int = 3,
        servers: int = 0,
        images: Sequence[Image] = (),
        name: str = "test",
        detached: bool = False,
    ) -> None:
        names = [f"pi-{number}" for number in range(1, nodes + 1)]
        names += [f"server-{number}" for number in range(1, servers + 1)]
        sweep()
        self._prepare(State.create(name, names, detached=detached))
        self.images = images

    @classmethod
    def attach(cls, state: State) -> "Cluster":
        """Return a cluster that an earlier program has started."""
        cluster = cls.__new__(cls)
        cluster._prepare(state)
        return cluster

    def _prepare(self, state: State) -> None:
        self.state = state
        self.lan = Lan(state)
        self.nodes = {
            name: Node(state, self.lan, number, name, EDGE if name.startswith("pi-") else {})
            for number, name in enumerate(state.nodes, start=1)
        }
        super().__init__(state.folder / "kubeconfig", CONTEXT, state.folder / "scratch")

    def start(self) -> None:
        """Start everything and wait until every node is ready."""
        if self.state.detached:
            lifetime.interrupt_on_signals()
        else:
            lifetime.close_at_exit(self)
        try:
            self._start()
        except BaseException as error:
            error.add_note(f"logs: {self.state.keep_logs()}")
            self.close()
            raise

    def _start(self) -> None:
        if reason := unavailable():
            raise RuntimeError(reason)
        packages.require()
        store = image_store.holding([*cluster_images(), *self.images])
        self.lan.create()
        address = Address("0.0.0.0", 6443, self.lan.address(), GATEWAY, self.lan.holder())  # noqa: S104
        control_plane = ControlPlane(self.state, address)
        control_plane.start_api_server()
        control_plane.start_controllers()
        control_plane.start_scheduler()
        with ThreadPoolExecutor(8) as pool:
            jobs = [
                pool.submit(self._boot, node, control_plane, store) for node in self.nodes.values()
            ]
            addons.start(self, control_plane)
            for job in jobs:
                job.result()
        # Pods cannot be created before their service account exists.
        until(lambda: self.get("serviceaccount", "default"), "a service account")
        self.wait_ready()

    def _boot(self, node: Node, control_plane: ControlPlane, store: Path) -> None:
        node.create(control_plane, store)
        node.power_on()

    def wait_ready(self, timeout: float = 120) -> None:
        """Wait until every node is there, ready, and knows the cluster's services."""
        if self.nodes:
            names = [f"node/{name}" for name in self.nodes]
            until(lambda: self.kubectl("get", *names), "the nodes register", timeout)
            self.wait(*names, condition="Ready", timeout=timeout)
        for node in self.nodes.values():
            until(node.routes_services, f"{node.name} routes services", timeout)

    def node(self, name: str) -> Node:
        """Return a node by its name."""
        return self.nodes[name]

    @property
    def host(self) -> str:
        """The address of this machine for pods and nodes."""
        return self.lan.host_address()

    @property
    def edge_nodes(self) -> list[str]:
        """The names of the nodes that carry the edge label, sorted."""
        return sorted(name for name, node in self.nodes.items() if node.labels)

    def load_images(self, images: Sequence[Image]) -> None:
        """Put images onto every node that is on."""
        pairs = [(n, image) for n in self.nodes.values() if n.powered() for image in images]
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda pair: pair[0].import_image(pair[1].archive), pairs))

    def keep_evidence(self) -> Path:
        """Keep logs, objects and events for whoever looks for the cause of a failure."""
        kept = self.state.keep_logs()
        for name, kinds in {"events": "events", "objects": "all,pvc,configmaps"}.items():
            with contextlib.suppress(CommandError, subprocess.TimeoutExpired):
                text = self.kubectl("get", kinds, "--all-namespaces", "-o", "yaml", timeout=30)
                (kept / f"{name}.yaml").write_text(text)
        return kept

    def close(self) -> None:
        """End every process, and remove every link, cgroup and file of the cluster."""
        with lifetime.undisturbed():
            end(self.state)
            lifetime.closed(self)
