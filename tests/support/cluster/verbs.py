"""What tests may ask of any cluster, ours or one that the user names."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from tests.support.cluster.images import Image
from tests.support.cluster.kube import Kube


class Machine(ABC):
    """A node as a machine: its disk, its power switch and its network cable."""

    name: str

    @abstractmethod
    def path(self, inside: str) -> Path:
        """Return where on this machine a folder of the node's own disk lies."""

    @abstractmethod
    def run(self, *argv: str | Path) -> str:
        """Run a command on the node, outside any pod, and return its output."""

    @abstractmethod
    def powered(self) -> bool:
        """Say whether the node is on."""

    @abstractmethod
    def power_off(self) -> None:
        """Cut the power: what ran on the node is gone when this returns."""

    @abstractmethod
    def power_on(self) -> None:
        """Boot, with the disk as it was left."""

    @abstractmethod
    def network_down(self) -> None:
        """Pull the network cable; what runs on the node goes on."""

    @abstractmethod
    def network_up(self) -> None:
        """Put the cable back."""


class AnyCluster(Kube, ABC):
    """A cluster whose nodes can be reached as machines."""

    @property
    @abstractmethod
    def edge_nodes(self) -> list[str]:
        """The names of the nodes that carry the edge label, sorted."""

    @property
    @abstractmethod
    def host(self) -> str:
        """The address of this machine for pods and nodes."""

    @abstractmethod
    def node(self, name: str) -> Machine:
        """Return a node as a machine."""

    @abstractmethod
    def load_images(self, images: Sequence[Image]) -> None:
        """Put images onto every node that is on."""
