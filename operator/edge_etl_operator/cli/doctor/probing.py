"""Send a pod to each Pi and bring home what it saw; nothing of it stays."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from edge_etl_operator import conditions
from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.builders import probe
from edge_etl_operator.cli.cluster_view import MachineNode
from edge_etl_operator.cli.doctor.seen import NodeProbe, parsed
from edge_etl_operator.cli.session import Session
from edge_etl_operator.cluster import ApiError, ConflictError, NotFoundError
from edge_etl_operator.documents import job_document
from edge_etl_operator.kube import Pod, items
from edge_etl_operator.policies import diagnosis
from edge_etl_operator.policies.diagnosis import Diagnosis
from edge_etl_operator.settings import Settings

_AT_ONCE: Final = 8
_EVERY_SECONDS: Final = 0.5
_PATIENCE_SECONDS: Final = 20.0
"""How long a cause may show that goes by itself: a scheduler that is late, a mount that is slow."""
_FORGOTTEN_AFTER: Final = timedelta(minutes=10)
"""Age of a finished pod, well above `probe.SECONDS`, at which no doctor waits for it any more."""
_AT_ONCE_CLEAR: Final = frozenset({"ImageUnavailable", "SourceMissing"})
"""Causes that do not go by themselves."""


@dataclass(frozen=True)
class Answer:
    """What a pod found out on a node, or why it could not."""

    node: str
    seen: NodeProbe | None = None
    cause: Diagnosis | None = None
    refused: str = ""
    """What the API server said to the pod."""
    not_before: datetime | None = None
    """The API server's time before the pod looked at its clock, and ours after it."""
    not_after: datetime | None = None


def ask(
    within: Session,
    job: EdgeETLJob,
    machines: Sequence[MachineNode],
    settings: Settings,
    tell: Callable[[str], None],
) -> list[Answer]:
    """Look at nodes, some at once; ``tell`` is called with each that has answered."""
    _sweep(within, job.namespace)

    def look(node: MachineNode) -> Answer:
        answer = _look(within, job, node, settings)
        tell(node.name)
        return answer

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(look, machines))


def _look(within: Session, job: EdgeETLJob, node: MachineNode, settings: Settings) -> Answer:
    # A run's id is a time: what lies in the future is told by the node's own clock.
    document = job_document(job, f"{datetime.now(UTC):%Y%m%d-%H%M%S}", "")
    manifest = probe.probe_pod(job, document, node, settings)
    try:
        made = msgspec.json.decode(within.cluster.create(manifest), type=Pod)
    except ApiError as error:
        if error.status in (0, 401):
            raise
        return Answer(node.name, refused=error.message)
    try:
        return _awaited(within, made, node.name)
    finally:
        with suppress(NotFoundError, ConflictError):
            within.cluster.delete("Pod", job.namespace, made.name, made.uid)


def _awaited(within: Session, made: Pod, node: str) -> Answer:
    namespace = made.metadata.namespace
    place = f"/api/v1/namespaces/{namespace}/pods/{made.name}"
    begun = time.monotonic()
    while True:
        pod = msgspec.json.decode(within.connection.call("GET", place), type=Pod)
        if pod.finished:
            said = parsed(pod.terminated.message if pod.terminated else "")
            cause = diagnosis.failed(pod, None) if said is None else None
            since = made.metadata.creation_timestamp
            return Answer(node, said, cause, "", since, datetime.now(UTC))
        passed = time.monotonic() - begun
        if cause := _waits(within, pod):
            if passed > _PATIENCE_SECONDS or cause.reason.code in _AT_ONCE_CLEAR:
                return Answer(node, cause=cause)
        elif passed > probe.SECONDS:
            fact = f"pod {made.name} did not start within {probe.SECONDS} s"
            return Answer(node, cause=Diagnosis(conditions.UNSCHEDULABLE, fact))
        time.sleep(_EVERY_SECONDS)


def _waits(within: Session, pod: Pod) -> Diagnosis | None:
    if found := diagnosis.waiting(pod, ()):
        return found
    try:
        warnings = within.cluster.warnings(pod.metadata.namespace)
    except ApiError:
        return None
    return diagnosis.waiting(pod, [e for e in warnings if e.involved_object.uid == pod.uid])


def forgotten(pod: Pod, now: datetime) -> bool:
    """Say whether the doctor that made a pod must have been killed: another may be at work now."""
    made = pod.metadata.creation_timestamp
    return pod.finished and made is not None and now - made > _FORGOTTEN_AFTER


def _sweep(within: Session, namespace: str) -> None:
    """Remove what a doctor has left that was killed."""
    selector = ",".join(f"{key}={value}" for key, value in probe.LABELS.items())
    place = f"/api/v1/namespaces/{namespace}/pods"
    query = [("labelSelector", selector)]
    with suppress(ApiError):
        for pod in items(within.connection.call("GET", place, query=query), Pod):
            if forgotten(pod, datetime.now(UTC)):
                within.cluster.delete("Pod", namespace, pod.name, pod.uid)
