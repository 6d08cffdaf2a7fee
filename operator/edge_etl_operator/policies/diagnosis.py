"""Why a pod waits, and why one failed: from what Kubernetes says to a cause and its remedy."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge_etl_operator import conditions
from edge_etl_operator.conditions import Reason
from edge_etl_operator.documents import AggregationReport, NodeSummary
from edge_etl_operator.kube import ContainerStatus, Event, Job, Pod, Terminated

_IMAGE: Final = frozenset(
    {
        "ErrImagePull",
        "ImagePullBackOff",
        "ErrImageNeverPull",
        "InvalidImageName",
        "ImageInspectError",
        "RegistryUnavailable",
    }
)
_CONFIG: Final = frozenset({"CreateContainerConfigError", "CreateContainerError"})
_NORMAL: Final = frozenset({"", "ContainerCreating", "PodInitializing"})
_CLAIM: Final = re.compile(r"persistentvolumeclaim", re.IGNORECASE)
_SOURCE_VOLUME: Final = re.compile(r'volume "source"')
_OBJECT_MISSING: Final = re.compile(r'(configmap|secret) ".*" not found|references non-existent')
_ACCOUNT_MISSING: Final = re.compile(r'serviceaccounts? ".*" not found', re.IGNORECASE)
_FORBIDDEN: Final = re.compile(
    r'User \\?"(?P<user>[^"\\]+)\\?" cannot (?P<verb>\S+) resource \\?"(?P<resource>[^"\\]+)\\?"'
    r'(?: in API group \\?"(?P<group>[^"\\]*)\\?")?'
)
# The kubelet's own words for what it evicts for.
_DISK: Final = re.compile(
    r"ephemeral-storage|ephemeral local storage|EmptyDir volume|DiskPressure|inodes", re.IGNORECASE
)
_MEMORY: Final = re.compile(r"resource: memory|MemoryPressure", re.IGNORECASE)
_CACHE_LATE: Final = "failed to sync"
_KILLED: Final = 137
"""Exit code of what SIGKILL ended."""
_INIT_KILLED: Final = "OOM-killed"
"""runc's word for a limit that is too low even for the container's start."""
_LONGEST_TEXT: Final = 700


@dataclass(frozen=True)
class Diagnosis:
    """A cause and the facts behind it."""

    reason: Reason
    fact: str

    @property
    def message(self) -> str:
        """What is so, then what to do."""
        return self.reason.about(self.fact)


def waiting(pod: Pod, warnings: Sequence[Event]) -> Diagnosis | None:
    """Say why a pod does not run yet; None when it runs, or only needs its usual seconds.

    ``warnings`` are the events about the pod.
    """
    if pod.phase != "Pending":
        return None
    if found := _unscheduled(pod):
        return found
    for container in pod.containers:
        if found := _container_waits(container):
            return found
    return _mount(warnings)


def refused(job: Job, warnings: Sequence[Event]) -> Diagnosis | None:
    """Say why a Job has no pod: a quota or an admission policy refuses it."""
    event = _last(warnings, "FailedCreate")
    if event is None:
        return None
    return Diagnosis(
        refusal(event.message), f"The pod of Job {job.name} is refused: {_short(event.message)}"
    )


def refusal(message: str) -> Reason:
    """Sort what the API server says to a pod that it does not take by who can mend it."""
    if "exceeded quota" in message or "failed quota" in message:
        return conditions.QUOTA_EXCEEDED
    if _ACCOUNT_MISSING.search(message):
        return conditions.SERVICE_ACCOUNT_MISSING
    if _FORBIDDEN.search(message):
        return conditions.PERMISSION_MISSING
    return conditions.POD_REFUSED


def failed(pod: Pod, answer: NodeSummary | AggregationReport | None) -> Diagnosis:
    """Say why a pod failed; ``answer`` is what its program said in the end, if it could."""
    # Ended from outside, a program can only say that it was told to end.
    if pod.status.reason == "DeadlineExceeded":
        return Diagnosis(conditions.RUN_DEADLINE_EXCEEDED, f"Pod {pod.name} ran too long")
    if pod.status.reason == "Evicted" or pod.disrupted:
        why = pod.status.message or _message(pod, "DisruptionTarget")
        return Diagnosis(_pressure(why), f"Pod {pod.name} was evicted: {_short(why)}")
    if answer is not None and not answer.succeeded:
        return _forbidden(answer.message) or Diagnosis(
            conditions.by_code(answer.reason), answer.message
        )
    for container in pod.containers:
        ended = container.state.terminated
        if ended is None or ended.exit_code == 0:
            continue
        if found := _out_of_memory(pod, container.name, ended) or _forbidden(ended.message):
            return found
        text = f": {_tail(ended.message)}" if ended.message else ""
        return Diagnosis(
            conditions.CONTAINER_FAILED,
            f"Container {container.name} of pod {pod.name} ended with exit code "
            f"{ended.exit_code} ({ended.reason or 'Error'}){text}",
        )
    return Diagnosis(
        conditions.CONTAINER_FAILED, f"Pod {pod.name} failed: {_short(pod.status.message)}"
    )


def _out_of_memory(pod: Pod, container: str, ended: Terminated) -> Diagnosis | None:
    """Find that a container was killed for memory, for certain or by all that is known.

    The kubelet has "OOMKilled" from containerd, which now and then misses the kernel's word: when
    a child is killed first, or under load. Then only the exit code is left.
    """
    limit = pod.memory_limit() or "its node's memory"
    certain = ended.reason == "OOMKilled" or _INIT_KILLED in ended.message
    if not certain and not _killed_by_nobody_else(pod, ended):
        return None
    guess = "" if certain else f" ended with exit code {_KILLED}: killed, probably because it"
    fact = f"Container {container} of pod {pod.name}{guess} needed more than {limit}"
    return Diagnosis(conditions.OUT_OF_MEMORY, fact)


def _killed_by_nobody_else(pod: Pod, ended: Terminated) -> bool:
    """Tell whether a container was killed without a word of Kubernetes, which kills too.

    It then deletes the pod, or gives its status a reason: eviction, preemption, a node's shutdown,
    a deadline. 137 is also the kubelet's code for a container that it lost, with its own reason.
    """
    deleted = pod.metadata.deletion_timestamp is not None
    told = deleted or pod.disrupted or bool(pod.status.reason)
    return ended.exit_code == _KILLED and ended.reason in ("", "Error") and not told


def _unscheduled(pod: Pod) -> Diagnosis | None:
    scheduled = pod.condition("PodScheduled")
    if scheduled is None or scheduled.status != "False":
        return None
    fact = f"Pod {pod.name} cannot be scheduled: {_short(scheduled.message)}"
    if _CLAIM.search(scheduled.message):
        return Diagnosis(conditions.CLAIM_UNAVAILABLE, fact)
    if "node.kubernetes.io/disk-pressure" in scheduled.message:
        return Diagnosis(conditions.DISK_PRESSURE, fact)
    if "node.kubernetes.io/memory-pressure" in scheduled.message:
        return Diagnosis(conditions.MEMORY_PRESSURE, fact)
    return Diagnosis(conditions.UNSCHEDULABLE, fact)


def _pressure(message: str) -> Reason:
    """Sort an eviction by what the kubelet was short of."""
    if _DISK.search(message):
        return conditions.DISK_PRESSURE
    if _MEMORY.search(message):
        return conditions.MEMORY_PRESSURE
    return conditions.EVICTED


def _forbidden(text: str) -> Diagnosis | None:
    """Find in what a program said that its account lacks a permission: verb, resource, account."""
    found = _FORBIDDEN.search(text)
    if found is None:
        return None
    group = f".{found['group']}" if found["group"] else ""
    fact = f"{found['user']} may not {found['verb']} {found['resource']}{group}: {_tail(text)}"
    return Diagnosis(conditions.PERMISSION_MISSING, fact)


def _container_waits(container: ContainerStatus) -> Diagnosis | None:
    state = container.state.waiting
    if state is None or state.reason in _NORMAL:
        return None
    fact = f"Container {container.name} waits ({state.reason}): {_short(state.message)}"
    if state.reason in _IMAGE:
        return Diagnosis(
            conditions.IMAGE_UNAVAILABLE, f"Image {container.image}: {_short(state.message)}"
        )
    return Diagnosis(
        conditions.CONFIG_MISSING if state.reason in _CONFIG else conditions.CONTAINER_FAILED, fact
    )


def _mount(warnings: Sequence[Event]) -> Diagnosis | None:
    # A busy kubelet says that its own cache is late; it tries again a moment later by itself.
    warnings = [each for each in warnings if _CACHE_LATE not in each.message]
    event = _last(warnings, "FailedMount") or _last(warnings, "FailedAttachVolume")
    if event is None:
        return None
    text = _short(event.message)
    if _SOURCE_VOLUME.search(event.message) and "hostPath type check failed" in event.message:
        return Diagnosis(conditions.SOURCE_MISSING, f"The source's directory is missing: {text}")
    if _CLAIM.search(event.message):
        return Diagnosis(conditions.CLAIM_UNAVAILABLE, text)
    if _OBJECT_MISSING.search(event.message):
        return Diagnosis(conditions.CONFIG_MISSING, text)
    return Diagnosis(conditions.MOUNT_FAILED, text)


def _last(warnings: Sequence[Event], reason: str) -> Event | None:
    matching = [event for event in warnings if event.reason == reason]
    return max(matching, key=lambda event: event.when, default=None)


def _message(pod: Pod, kind: str) -> str:
    condition = pod.condition(kind)
    return condition.message if condition else ""


def _short(text: str) -> str:
    """Shorten from the end: what Kubernetes says begins with the cause."""
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_TEXT else f"{text[:_LONGEST_TEXT]}…"


def _tail(text: str) -> str:
    """Shorten from the beginning: a log ends with the cause."""
    text = text.strip()
    return text if len(text) <= _LONGEST_TEXT else f"…{text[-_LONGEST_TEXT:]}"
