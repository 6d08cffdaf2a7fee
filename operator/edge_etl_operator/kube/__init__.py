"""The part of Kubernetes' objects that the operator reads, decoded straight into this shape.

Whatever else an object holds is skipped while decoding, so a thousand pods cost little memory.
"""

from datetime import datetime

import msgspec

from edge_etl_operator.kube.part import (
    Condition,
    Metadata,
    OwnMetadata,
    Part,
    becomes,
    holds,
    shared,
)
from edge_etl_operator.kube.pod import UNKNOWN_END, ContainerStatus, Pod, PodSpec, Terminated
from edge_etl_operator.kube.wire import ListMetadata, Page, decoder, items

__all__ = [
    "UNKNOWN_END",
    "Condition",
    "ContainerStatus",
    "Event",
    "Job",
    "Lease",
    "ListMetadata",
    "Metadata",
    "Node",
    "OwnMetadata",
    "Page",
    "Part",
    "Pod",
    "PodSpec",
    "Taint",
    "Terminated",
    "decoder",
    "items",
    "shared",
]


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
    allocatable: dict[str, str] = msgspec.field(default_factory=dict)


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
        return holds(self.status.conditions, "Ready")

    @property
    def looks(self) -> tuple[object, ...]:
        """What of it can matter to a job; its regular reports change nothing of this."""
        return (self.metadata.uid, self.metadata.labels, self.spec, self.ready)


class JobState(Part, frozen=True, kw_only=True):
    """What the Job controller reports."""

    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        becomes(self, conditions=shared(self.conditions))


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
        return holds(self.status.conditions, "Complete")

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
