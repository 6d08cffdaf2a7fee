"""What nodes can still take, and which of them reach the results' volume.

Gathered only when Spark is about to be placed: it asks for the pods of all namespaces.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from edge_etl_operator.api import LabelExpression, Selector
from edge_etl_operator.connection import NotFoundError, RefusedError
from edge_etl_operator.kube import Node, Part
from edge_etl_operator.policies import absence, nodes

if TYPE_CHECKING:
    from edge_etl_operator.cluster import Cluster

_MEBIBYTE: Final = 1024 * 1024
_UNITS: Final = {
    "": 1.0, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
}  # fmt: skip


class _Resources(Part, frozen=True, kw_only=True):
    requests: dict[str, str] = msgspec.field(default_factory=dict)


class _Container(Part, frozen=True, kw_only=True):
    resources: _Resources = _Resources()


class _Spec(Part, frozen=True, kw_only=True):
    node_name: str = ""
    restart_policy: str = ""
    containers: tuple[_Container, ...] = ()
    init_containers: tuple[_Container, ...] = ()


class _State(Part, frozen=True, kw_only=True):
    phase: str = ""


class PodUsage(Part, frozen=True, kw_only=True):
    """A pod of any namespace: where it is and what it has asked for."""

    spec: _Spec = _Spec()
    status: _State = _State()


class _ClaimSpec(Part, frozen=True, kw_only=True):
    access_modes: tuple[str, ...] = ()
    volume_name: str = ""


class Claim(Part, frozen=True, kw_only=True):
    """A volume claim."""

    spec: _ClaimSpec = _ClaimSpec()

    @property
    def shared(self) -> bool:
        """Whether pods on several nodes can write to it at once."""
        return "ReadWriteMany" in self.spec.access_modes


class _Term(Part, frozen=True, kw_only=True):
    match_expressions: tuple[LabelExpression, ...] = ()


class _Required(Part, frozen=True, kw_only=True):
    node_selector_terms: tuple[_Term, ...] = ()


class _Affinity(Part, frozen=True, kw_only=True):
    required: _Required = _Required()


class _VolumeSpec(Part, frozen=True, kw_only=True):
    node_affinity: _Affinity = _Affinity()


class Volume(Part, frozen=True, kw_only=True):
    """A persistent volume: the nodes that it can be mounted on."""

    spec: _VolumeSpec = _VolumeSpec()

    def reaches(self, node: Node) -> bool:
        """Tell whether it can be mounted on a node."""
        terms = self.spec.node_affinity.required.node_selector_terms
        return not terms or any(
            nodes.matches(Selector(match_expressions=term.match_expressions), node.metadata.labels)
            for term in terms
        )


@dataclass(frozen=True)
class Room:
    """What a node can still take: thousandths of a core, and MiB; and what it has in all."""

    node: str
    cpu: int
    memory: int
    whole_memory: int


@dataclass(frozen=True)
class Capacity:
    """What is known of the cluster's room and of the results' volume."""

    usage: tuple[PodUsage, ...] = ()
    claim: Claim | None = None
    volume: Volume | None = None

    @property
    def one_node(self) -> bool:
        """Whether all pods of Spark have to be on one node, since the volume is."""
        return self.claim is not None and not self.claim.shared

    def lasting(self) -> "Capacity":
        """Return the same without the pods that end by themselves, as those of runs do."""
        usage = tuple(pod for pod in self.usage if pod.spec.restart_policy == "Always")
        return replace(self, usage=usage)

    def rooms(
        self,
        seen: Iterable[Node],
        selector: dict[str, str],
        tolerations: Sequence[dict[str, Any]],
    ) -> tuple[Room, ...]:
        """Return the room of the nodes on which Spark may run, the most memory first."""
        taken: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        for pod in self.usage:
            if pod.status.phase not in ("Succeeded", "Failed"):
                used = taken[pod.spec.node_name]
                used[0] += _asked(pod, "cpu")
                used[1] += _asked(pod, "memory")
        found = [
            _room(node, taken[node.name])
            for node in seen
            if node.status.allocatable
            and not absence.closed(node.name, node, tolerations)
            and nodes.matches(Selector(match_labels=selector), node.metadata.labels)
            and (self.volume is None or self.volume.reaches(node))
        ]
        return tuple(sorted(found, key=lambda room: (-room.memory, room.node)))


def _room(node: Node, taken: Sequence[float]) -> Room:
    cpu = quantity(node.status.allocatable.get("cpu", "0"))
    memory = quantity(node.status.allocatable.get("memory", "0"))
    return Room(
        node.name,
        int((cpu - taken[0]) * 1000),
        int((memory - taken[1]) / _MEBIBYTE),
        int(memory / _MEBIBYTE),
    )


def _asked(pod: PodUsage, resource: str) -> float:
    """Return what the scheduler counts: the containers together, or a greater earlier one."""
    of = [quantity(each.resources.requests.get(resource, "0")) for each in pod.spec.containers]
    before = [
        quantity(each.resources.requests.get(resource, "0")) for each in pod.spec.init_containers
    ]
    return max([sum(of), *before])


def quantity(text: str) -> float:
    """Return the value of a Kubernetes quantity, such as 500m, 128974848, 1e3 or 2Gi."""
    match = re.fullmatch(r"([0-9.]+(?:[eE][0-9]+)?)([a-zA-Z]*)", text)
    return float(match[1]) * _UNITS.get(match[2], 1.0) if match else 0.0


def look(cluster: "Cluster", namespace: str, claim: str) -> Capacity:
    """Look at the pods of all namespaces and at the claim, if there is one.

    What the operator may not see is left out: the scheduler then finds out.
    """
    usage: tuple[PodUsage, ...] = ()
    found = volume = None
    try:
        usage = cluster.pod_usage()
    except RefusedError:
        usage = cluster.pod_usage(namespace)
    if not claim:
        return Capacity(usage)
    with suppress(NotFoundError, RefusedError):
        found = cluster.claim(namespace, claim)
        if found.spec.volume_name:
            volume = cluster.volume(found.spec.volume_name)
    return Capacity(usage, found, volume)
