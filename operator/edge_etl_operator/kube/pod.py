"""Pods: what the scheduler and the kubelet say of them."""

import sys
from datetime import datetime
from typing import Final

from edge_etl_operator.kube.part import Condition, OwnMetadata, Part, becomes, holds, shared

UNKNOWN_END: Final = 255
"""containerd's exit code of a container whose end it has not seen: a power cut."""


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

    def __post_init__(self) -> None:
        becomes(self, name=sys.intern(self.name), image=sys.intern(self.image))


class Limits(Part, frozen=True, kw_only=True):
    """What a container may use."""

    memory: str = ""


class Resources(Part, frozen=True, kw_only=True):
    """The resources of a container."""

    limits: Limits = Limits()


class Container(Part, frozen=True, kw_only=True):
    """The specification of a container."""

    name: str
    resources: Resources = Resources()


class ConfigMapVolume(Part, frozen=True, kw_only=True):
    """Which ConfigMap a volume is."""

    name: str = ""


class Volume(Part, frozen=True, kw_only=True):
    """A volume of a pod, as far as it is a ConfigMap."""

    name: str = ""
    config_map: ConfigMapVolume | None = None


class PodSpec(Part, frozen=True, kw_only=True):
    """The specification of a pod; of its volumes those that are ConfigMaps."""

    node_name: str = ""
    containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()

    def __post_init__(self) -> None:
        becomes(
            self,
            node_name=sys.intern(self.node_name),
            containers=shared(self.containers),
            volumes=shared(tuple(each for each in self.volumes if each.config_map is not None)),
        )


class PodState(Part, frozen=True, kw_only=True):
    """What the scheduler and the kubelet report."""

    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    conditions: tuple[Condition, ...] = ()
    container_statuses: tuple[ContainerStatus, ...] = ()
    init_container_statuses: tuple[ContainerStatus, ...] = ()

    def __post_init__(self) -> None:
        becomes(self, phase=sys.intern(self.phase), conditions=shared(self.conditions))


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
        return holds(self.status.conditions, "DisruptionTarget")

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
        for each in self.status.container_statuses:
            if each.state.terminated is not None:
                return each.state.terminated
        return None

    @property
    def started(self) -> datetime | None:
        """Since when its main container runs, None while it does not."""
        for each in self.status.container_statuses:
            if each.state.running is not None:
                return each.state.running.started_at
        return None

    def condition(self, kind: str) -> Condition | None:
        """Return its condition of a type."""
        return next((each for each in self.status.conditions if each.type == kind), None)

    def memory_limit(self) -> str:
        """Return its main container's memory limit, empty when there is none."""
        return next((each.resources.limits.memory for each in self.spec.containers), "")
