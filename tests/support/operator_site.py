"""A namespace with EdgeETLJobs, nodes and an operator, on an API server without kubelets."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import operator_facts
from tests.support.cluster import ApiServer
from tests.support.operator_process import Kubelet, OperatorProcess, Outcome, succeed


@dataclass
class Site:
    """A namespace with an operator, and nodes that only this test's jobs select."""

    server: ApiServer
    namespace: str
    folder: Path

    def operator(
        self, kubeconfig: Path | None = None, where: Sequence[str] = (), **changes: Any
    ) -> OperatorProcess:
        """Return an operator for the namespace, not started yet; `changes` are settings."""
        path = kubeconfig or self.server.kubeconfig
        return OperatorProcess(path, self.namespace, self.folder, where, **changes)

    def kubelet(self, behave: Callable[[dict[str, Any]], Outcome] = succeed) -> Kubelet:
        """Return a kubelet for the pods of the namespace."""
        return Kubelet(self.server.kubeconfig, self.namespace, behave)

    def add_node(self, name: str, **spec: Any) -> str:
        """Add a ready node that the jobs of this namespace select, and return its name."""
        full = f"{name}-{self.namespace}"
        labels = {"site": self.namespace, "kubernetes.io/hostname": f"host-{full}"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": full, "labels": labels}}
        self.server.apply({**node, "spec": spec})
        self.heard_of(full)
        # A new node is tainted until its kubelet is ready; here nobody takes the taint away.
        self.server.kubectl("patch", "node", full, "-p", json.dumps({"spec": {"taints": None}}))
        return full

    def heard_of(self, node: str, ready: str = "True") -> None:
        """Say whether a node's kubelet is heard of: True or Unknown."""
        condition = {"type": "Ready", "status": ready, "reason": "Kubelet", "message": ""}
        patch = json.dumps({"status": {"conditions": [condition]}})
        self.server.kubectl("patch", "node", node, "--subresource=status", "-p", patch)

    def add_nodes(self, count: int) -> list[str]:
        """Add some nodes and return their names."""
        return [self.add_node(f"pi-{number}") for number in range(1, count + 1)]

    def apply(self, name: str = "air", **changes: Any) -> None:
        """Apply a job that selects the namespace's nodes; `changes` are fields of its spec."""
        nodes = {"selector": {"matchLabels": {"site": self.namespace}}}
        spec = operator_facts.spec(**{"nodes": nodes, **changes})
        job = {"apiVersion": "pi-edge-spark.io/v1alpha1", "kind": "EdgeETLJob"}
        self.server.apply({**job, "metadata": {"name": name}, "spec": spec}, self.namespace)

    def job(self, name: str = "air") -> dict[str, Any]:
        """Return a job as the API server has it."""
        found: dict[str, Any] = self.server.get("eej", name, "-n", self.namespace)
        return found

    def status(self, name: str = "air") -> dict[str, Any]:
        """Return a job's status."""
        found: dict[str, Any] = self.job(name).get("status", {})
        return found

    def phase(self, *phases: str) -> bool:
        """Tell whether the job is in one of the phases."""
        return self.status().get("phase") in phases

    def condition(self, kind: str, name: str = "air") -> dict[str, Any]:
        """Return a condition of a job, empty when it is not there."""
        found = [each for each in self.status(name).get("conditions", []) if each["type"] == kind]
        return found[0] if found else {}

    def reason(self, kind: str, name: str = "air") -> str:
        """Return the reason of a condition of a job."""
        return str(self.condition(kind, name).get("reason", ""))

    def names(self, kind: str) -> list[str]:
        """Return the names of what the jobs of the namespace created of a kind."""
        items = self.server.get(kind, "-n", self.namespace, "-l", "pi-edge-spark.io/job")["items"]
        return sorted(item["metadata"]["name"] for item in items)
