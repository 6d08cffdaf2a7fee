"""The part of Kubernetes' objects that the operator reads, decoded straight into this shape.

Whatever else an object holds is skipped while decoding, so a thousand pods cost little memory.
"""

import sys
from collections.abc import Callable, Hashable
from datetime import datetime
from functools import cache
from typing import Any, Final, TypeVar, cast

import msgspec

from edge_etl_operator.api import GROUP

_OURS: Final = f"{GROUP}/"
UNKNOWN_END: Final = 255
"""containerd's exit code of a container whose end it has not seen: a power cut."""


# Without gc, since tens of thousands are kept, and what was decoded from JSON has no cycles.
class Part(msgspec.Struct, gc=False, frozen=True, kw_only=True, rename="camel"):
    """A part of an object; null and absent fields are the same to Kubernetes."""


class OwnerReference(Part, frozen=True, kw_only=True):
    """Who an object belongs to."""

    uid: str


class Metadata(Part, frozen=True, kw_only=True):
    """Name, identity and labels of an object."""

    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None

    def owned_by(self, uid: str) -> bool:
        """Tell whether the object with a UID is an owner."""
        return uid in [owner.uid for owner in self.owner_references]


class OwnMetadata(Metadata, frozen=True, kw_only=True):
    """Metadata of what belongs to a run: of its labels those that say to which one."""

    def __post_init__(self) -> None:
        own = {
            key: sys.intern(value) for key, value in self.labels.items() if key.startswith(_OURS)
        }
        msgspec.structs.force_setattr(self, "labels", own)


class Condition(Part, frozen=True, kw_only=True):
    """A condition of any object."""

    type: str
    status: str
    reason: str = ""
    message: str = ""

    def __post_init__(self) -> None:
        # Each pod has the same five: kept once, they are a tenth of what many pods take.
        for field in ("type", "status"):
            msgspec.structs.force_setattr(self, field, sys.intern(getattr(self, field)))


class Taint(Part, frozen=True, kw_only=True):
    """A taint of a node."""

    key: str
    effect: str
    value: str = ""


class NodeSpec(Part, frozen=True, kw_only=True):
    """What is wanted of a node."""

    unschedulable: bool = False
    taints: tuple[Taint, ...] = ()


class NodeState(Part, frozen=True, kw_only=True):
    """What a node reports."""

    conditions: tuple[Condition, ...] = ()
    allocatable: dict[str, str] = {}


class Node(Part, frozen=True, kw_only=True):
    """A node of the cluster."""

    metadata: Metadata
    spec: NodeSpec = NodeSpec()
    status: NodeState = NodeState()

    @property
    def name(self) -> str:
        """The node's name."""
        return self.metadata.name

    @property
    def hostname(self) -> str:
        """The value of the label by which pods are pinned; it can differ from the name."""
        return self.metadata.labels.get("kubernetes.io/hostname", self.name)

    @property
    def ready(self) -> bool:
        """Whether the kubelet says so, and was heard of lately."""
        return _holds(self.status.conditions, "Ready")

    @property
    def looks(self) -> tuple[object, ...]:
        """What of it can matter to a job; its regular reports change nothing of this."""
        return (self.metadata.uid, self.metadata.labels, self.spec, self.ready)


class JobState(Part, frozen=True, kw_only=True):
    """What the Job controller reports."""

    conditions: tuple[Condition, ...] = ()


class Job(Part, frozen=True, kw_only=True):
    """A Kubernetes Job."""

    metadata: OwnMetadata
    status: JobState = JobState()

    @property
    def name(self) -> str:
        """The Job's name."""
        return self.metadata.name

    @property
    def succeeded(self) -> bool:
        """Whether it completed."""
        return _holds(self.status.conditions, "Complete")

    @property
    def failure(self) -> Condition | None:
        """Why it failed, None if it did not.

        FailureTarget says so before the last pod is gone, which on a node that is off may be never.
        """
        kinds = ("Failed", "FailureTarget")
        found = (each for each in self.status.conditions if each.type in kinds)
        return next((each for each in found if each.status == "True"), None)

    @property
    def finished(self) -> bool:
        """Whether nothing more will happen to it."""
        return bool(self.status.conditions) and (self.succeeded or self.failure is not None)


class Waiting(Part, frozen=True, kw_only=True):
    """Why a container does not run yet."""

    reason: str = ""
    message: str = ""


class Terminated(Part, frozen=True, kw_only=True):
    """How a container ended."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class Running(Part, frozen=True, kw_only=True):
    """Since when a container runs."""

    started_at: datetime | None = None


class ContainerState(Part, frozen=True, kw_only=True):
    """One of waiting, running and terminated."""

    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Part, frozen=True, kw_only=True):
    """A container of a pod."""

    name: str
    image: str = ""
    state: ContainerState = ContainerState()


class ResourceLimits(Part, frozen=True, kw_only=True):
    """The resources of a container."""

    limits: dict[str, str] = {}


class Container(Part, frozen=True, kw_only=True):
    """The specification of a container."""

    name: str
    resources: ResourceLimits = ResourceLimits()


class ConfigMapVolume(Part, frozen=True, kw_only=True):
    """Which ConfigMap a volume is."""

    name: str = ""


class Volume(Part, frozen=True, kw_only=True):
    """A volume of a pod, as far as it is a ConfigMap."""

    name: str = ""
    config_map: ConfigMapVolume | None = None


class PodSpec(Part, frozen=True, kw_only=True):
    """The specification of a pod."""

    node_name: str = ""
    containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()


class PodState(Part, frozen=True, kw_only=True):
    """What the scheduler and the kubelet report."""

    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()


class Pod(Part, frozen=True, kw_only=True):
    """A pod."""

    metadata: OwnMetadata
    spec: PodSpec = PodSpec()
    status: PodState = PodState()

    @property
    def name(self) -> str:
        """The pod's name."""
        return self.metadata.name

    @property
    def uid(self) -> str:
        """The pod's UID, which is the attempt's id."""
        return self.metadata.uid

    @property
    def phase(self) -> str:
        """Pending, Running, Succeeded, Failed or Unknown."""
        return self.status.phase

    @property
    def finished(self) -> bool:
        """Whether all its containers have ended for good."""
        return self.phase in ("Succeeded", "Failed")

    @property
    def placed(self) -> bool:
        """Whether it has its node."""
        return bool(self.spec.node_name) or self.phase == "Running"

    @property
    def disrupted(self) -> bool:
        """Whether it was ended from outside: eviction, drain, preemption, a lost node."""
        return _holds(self.status.conditions, "DisruptionTarget")

    @property
    def cut_off(self) -> bool:
        """Whether its node lost its power while it ran, and is back."""
        return self.terminated is not None and self.terminated.exit_code == UNKNOWN_END

    @property
    def containers(self) -> tuple[ContainerStatus, ...]:
        """The status of all containers, those that run first before the others."""
        return self.status.init_container_statuses + self.status.container_statuses

    @property
    def terminated(self) -> Terminated | None:
        """How its main container ended, None while it has not."""
        states = (each.state.terminated for each in self.status.container_statuses)
        return next((each for each in states if each), None)

    @property
    def started(self) -> datetime | None:
        """Since when its main container runs, None while it does not."""
        states = (each.state.running for each in self.status.container_statuses)
        return next((each.started_at for each in states if each), None)

    def condition(self, kind: str) -> Condition | None:
        """Return its condition of a type."""
        return next((each for each in self.status.conditions if each.type == kind), None)

    def memory_limit(self) -> str:
        """Return its main container's memory limit, empty when there is none."""
        return next((each.resources.limits.get("memory", "") for each in self.spec.containers), "")


class ObjectReference(Part, frozen=True, kw_only=True):
    """Which object an event is about."""

    uid: str = ""


class Event(Part, frozen=True, kw_only=True):
    """A warning that a component of Kubernetes posted about an object."""

    involved_object: ObjectReference = ObjectReference()
    reason: str = ""
    message: str = ""
    last_timestamp: datetime | None = None
    event_time: datetime | None = None

    @property
    def when(self) -> float:
        """When it happened last, in seconds since 1970; a component fills one of the fields."""
        moment = self.last_timestamp or self.event_time
        return moment.timestamp() if moment else 0.0


class LeaseSpec(Part, frozen=True, kw_only=True):
    """Who holds a lease, and for how long after its last change."""

    holder_identity: str = ""
    lease_duration_seconds: int = 0
    lease_transitions: int = 0


class Lease(Part, frozen=True, kw_only=True):
    """A lock with an end."""

    metadata: Metadata
    spec: LeaseSpec = LeaseSpec()


def _holds(conditions: tuple[Condition, ...], kind: str) -> bool:
    return any(each.type == kind and each.status == "True" for each in conditions)


_Item = TypeVar("_Item")


class ListMetadata(Part, frozen=True, kw_only=True):
    """Where a list was taken, and where its next page begins."""

    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class Page(Part, frozen=True, kw_only=True):
    """A page of a list; its items are decoded by their own type."""

    items: list[msgspec.Raw] = []
    metadata: ListMetadata = ListMetadata()


def items(document: bytes, kind: type[_Item]) -> tuple[_Item, ...]:
    """Return the items of a list."""
    decode = decoder(kind)
    return tuple(decode(item) for item in msgspec.json.decode(document, type=Page).items)


def decoder(kind: type[_Item]) -> Callable[[bytes | msgspec.Raw], _Item]:
    """Return what decodes a type of object."""
    return _decoder(cast("Hashable", kind)).decode


@cache
def _decoder(kind: Hashable) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind)
