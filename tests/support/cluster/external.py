"""A cluster that the user names: k3s, k3d, or Pis on a desk.

Both the kubeconfig and the context must be named. A kubeconfig's current context
is whatever its owner used last, which may be production.
"""

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from tests.support.cluster.images import Image
from tests.support.cluster.verbs import AnyCluster, Machine

KUBECONFIG = "PI_EDGE_SPARK_KUBECONFIG"
CONTEXT = "PI_EDGE_SPARK_CONTEXT"


class NotAvailableError(RuntimeError):
    """A verb that needs the machine itself, on a cluster that is not ours."""


class ExternalCluster(AnyCluster):
    """Somebody's cluster: Kubernetes verbs work, switches and cables are out of reach."""

    def __init__(self, kubeconfig: Path, context: str) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="pi-edge-spark-")
        super().__init__(kubeconfig, context, Path(self._scratch.name))

    @property
    def edge_nodes(self) -> list[str]:
        """The names of the nodes that carry the edge label, sorted."""
        nodes = self.get("nodes", "-l", "pi-edge-spark.io/role=edge")["items"]
        return sorted(node["metadata"]["name"] for node in nodes)

    @property
    def host(self) -> str:
        """Refuse: how it reaches this machine is not known."""
        _refuse("the address of this machine for its pods")

    def node(self, name: str) -> Machine:
        """Return a node, all of whose verbs say that they are not available."""
        return ExternalMachine(name)

    def load_images(self, images: Sequence[Image]) -> None:
        """Not possible from here: the images have to be there."""
        names = ", ".join(image.reference for image in images)
        _refuse(f"loading images (put {names} onto its nodes yourself)")

    def close(self) -> None:
        """Forget what was cached about it."""
        self._scratch.cleanup()


class ExternalMachine(Machine):
    """A node that only Kubernetes can reach."""

    def __init__(self, name: str) -> None:
        self.name = name

    def path(self, inside: str) -> Path:
        """Refuse."""
        _refuse(f"the disk of {self.name}, where {inside} is")

    def run(self, *argv: str | Path) -> str:
        """Refuse."""
        _refuse(f"running {argv[0]} on {self.name}")

    def powered(self) -> bool:
        """Refuse."""
        _refuse(f"the power of {self.name}")

    def power_off(self) -> None:
        """Refuse."""
        _refuse(f"the power of {self.name}")

    def power_on(self) -> None:
        """Refuse."""
        _refuse(f"the power of {self.name}")

    def network_down(self) -> None:
        """Refuse."""
        _refuse(f"the network of {self.name}")

    def network_up(self) -> None:
        """Refuse."""
        _refuse(f"the network of {self.name}")


def named_by_user(environment: Mapping[str, str] = os.environ) -> ExternalCluster | None:
    """Return the cluster that the environment names, if it does so completely."""
    kubeconfig, context = environment.get(KUBECONFIG), environment.get(CONTEXT)
    if not kubeconfig and not context:
        return None
    if not kubeconfig or not context:
        raise ValueError(f"set both {KUBECONFIG} and {CONTEXT}, or neither")
    return ExternalCluster(Path(kubeconfig), context)


def _refuse(what: str) -> NoReturn:
    raise NotAvailableError(f"not available on an external cluster: {what}")
