"""What a person's commands read of a cluster beyond what the operator does."""

from collections.abc import Iterable
from typing import Any, Final, TypeVar

import msgspec

from edge_etl_operator import kube
from edge_etl_operator.cluster import ApiError
from edge_etl_operator.connection import Connection, Query
from edge_etl_operator.kube import Page, Part

_Kind = TypeVar("_Kind")

COMPONENT: Final = "app.kubernetes.io/part-of=pi-edge-spark,app.kubernetes.io/component="
"""Selects the objects of a part of the chart, whose name follows, by the labels that it has."""


class NodeInfo(Part, frozen=True, kw_only=True):
    """What a kubelet says of its machine."""

    architecture: str = ""
    os_image: str = ""
    kernel_version: str = ""
    kubelet_version: str = ""


class NodeImage(Part, frozen=True, kw_only=True):
    """An image on a node, by all its names; a kubelet names the 50 largest."""

    names: tuple[str, ...] = ()


class NodeState(kube.NodeState, frozen=True, kw_only=True):
    """What a node reports, with what its machine is."""

    node_info: NodeInfo = NodeInfo()
    images: tuple[NodeImage, ...] = ()
    capacity: dict[str, str] = msgspec.field(default_factory=dict)


class MachineNode(kube.Node, frozen=True, kw_only=True):
    """A node, with what its machine is."""

    status: NodeState = NodeState()

    def has_image(self, reference: str) -> bool:
        """Tell whether a node names an image, with or without the registry's host."""
        there = {name for each in self.status.images for name in each.names}
        return bool(there & {reference, f"docker.io/{reference}", f"docker.io/library/{reference}"})


def machines(connection: Connection) -> tuple[MachineNode, ...]:
    """Return all nodes, by name."""
    found = kube.items(connection.call("GET", "/api/v1/nodes"), MachineNode)
    return tuple(sorted(found, key=lambda node: node.name))


def one(connection: Connection, place: str, kind: type[_Kind]) -> _Kind:
    """Return the object at a path."""
    return msgspec.json.decode(connection.call("GET", place), type=kind)


def listed(connection: Connection, place: str, query: Query = ()) -> list[dict[str, Any]]:
    """Return the objects of a list as JSON has them."""
    page = msgspec.json.decode(connection.call("GET", place, query=query), type=Page)
    return [msgspec.json.decode(item) for item in page.items]


def listed_in(
    connection: Connection, prefix: str, plural: str, namespaces: Iterable[str | None], query: Query
) -> list[dict[str, Any]]:
    """Return a list of the first of these namespaces in which there is something; None is all.

    Where one may not look is passed over; ApiError when one may look nowhere.
    """
    refused: ApiError | None = None
    looked = False
    for namespace in namespaces:
        within = f"/namespaces/{namespace}" if namespace else ""
        try:
            found = listed(connection, f"{prefix}{within}/{plural}", query)
        except ApiError as error:
            if error.status != 403:
                raise
            refused = error
            continue
        looked = True
        if found:
            return found
    if refused is not None and not looked:
        raise refused
    return []
