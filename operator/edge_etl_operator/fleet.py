"""What is seen of the cluster at every moment: Jobs, pods and nodes, kept current by watches."""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import msgspec

from edge_etl_operator import capacity, names, patience
from edge_etl_operator.capacity import Capacity
from edge_etl_operator.cluster import Cluster
from edge_etl_operator.connection import TransientError
from edge_etl_operator.kube import Event, Job, Node, Pod, decoder
from edge_etl_operator.mirror import Item, Mirror, Source

WARNINGS_SECONDS: Final = 3.0
"""How old a list of warnings may be; many jobs of a namespace ask for the same one."""

EVERYWHERE: Final = ""

Own = TypeVar("Own", Job, Pod)

Ring = Callable[[str, str, int], None]
"""Rings for a job: its namespace, its name, and the weight of what changed."""


class Fleet:
    """The mirrors of all namespaces that the operator serves; EVERYWHERE serves them all."""

    def __init__(
        self,
        source: Source,
        cluster: Cluster,
        namespaces: Iterable[str],
        ring: Ring,
        ring_all: Callable[[], None],
        most: int | None = None,
    ) -> None:
        self._most = most
        self._cluster = cluster
        self._warnings: dict[str, tuple[float, tuple[Event, ...]]] = {}
        self._warnings_lock = threading.Lock()

        def object_changed(before: Job | Pod | None, now: Job | Pod | None) -> None:
            changed, weight = now or before, patience.weight(before, now)
            if changed is None or weight is None:
                return
            if job := changed.metadata.labels.get(names.JOB):
                ring(changed.metadata.namespace, job, weight)

        def node_changed(before: Node | None, now: Node | None) -> None:
            """Ring for all jobs when a node came, went or changed; its reports are nothing."""
            if before is None or now is None or before.looks != now.looks:
                ring_all()

        self._nodes = Mirror(source, Node, "/api/v1/nodes", label="", changed=node_changed)
        self._jobs: dict[str, Mirror[Job]] = {}
        self._pods: dict[str, Mirror[Pod]] = {}

        def of_jobs(kind: type[Own], place: str) -> Mirror[Own]:
            """Mirror the objects that belong to jobs."""
            label = names.JOB
            return Mirror(source, kind, place, label=label, selector=label, changed=object_changed)

        for namespace in namespaces:
            inside = f"/namespaces/{namespace}" if namespace != EVERYWHERE else ""
            self._jobs[namespace] = of_jobs(Job, f"/apis/batch/v1{inside}/jobs")
            self._pods[namespace] = of_jobs(Pod, f"/api/v1{inside}/pods")

    @property
    def mirrors(self) -> tuple[Mirror[Node] | Mirror[Job] | Mirror[Pod], ...]:
        """All mirrors."""
        return (self._nodes, *self._jobs.values(), *self._pods.values())

    def start(self, seconds: float) -> None:
        """Begin, and wait until everything is listed or cannot be; a reconcile finds out which."""
        for mirror in self.mirrors:
            mirror.start()
        end = time.monotonic() + seconds
        for mirror in self.mirrors:
            mirror.synced.wait(max(0.0, end - time.monotonic()))

    def nodes(self) -> tuple[Node, ...]:
        """Return all nodes."""
        return self._nodes.all()

    def jobs(self, namespace: str, job: str) -> tuple[Job, ...]:
        """Return the Kubernetes Jobs of a job."""
        return _of(self._jobs, namespace).group(namespace, job)

    def pods(self, namespace: str, job: str) -> tuple[Pod, ...]:
        """Return the pods of a job."""
        return _of(self._pods, namespace).group(namespace, job)

    def pods_now(self, namespace: str, selector: str) -> tuple[Pod, ...]:
        """Ask the API server for pods: the watch may be behind."""
        found = self._cluster.pods(namespace, selector)
        mirror = _of(self._pods, namespace)
        for pod in found:
            mirror.put(pod)
        return found

    def warnings(self, namespace: str) -> tuple[Event, ...]:
        """Return the warnings of a namespace, at most a few seconds old."""
        with self._warnings_lock:
            taken, found = self._warnings.get(namespace, (float("-inf"), ()))
            if time.monotonic() - taken > WARNINGS_SECONDS:
                found = self._cluster.warnings(namespace)
                self._warnings[namespace] = (time.monotonic(), found)
            return found

    def capacity(self, namespace: str, claim: str) -> Capacity:
        """Look at what all nodes can still take, and at a claim."""
        return capacity.look(self._cluster, namespace, claim)

    def room(self) -> int | None:
        """Return how many more nodes may be at work, of all jobs; None without a limit."""
        if self._most is None:
            return None
        at_work = sum(
            job.metadata.labels.get(names.STAGE) == names.EDGE and not job.finished
            for mirror in self._jobs.values()
            for job in mirror.all()
        )
        return max(0, self._most - at_work)

    def written(self, kind: str, document: bytes) -> None:
        """Take the API server's answer to a write, so that nothing is done twice meanwhile."""
        if kind == "Job":
            job: Job = decoder(Job)(document)
            _of(self._jobs, job.metadata.namespace).put(job)
        elif kind == "Pod":
            pod: Pod = decoder(Pod)(document)
            _of(self._pods, pod.metadata.namespace).put(pod)

    def deleted(self, kind: str, namespace: str, name: str, uid: str, document: bytes) -> None:
        """Take the answer to a deletion: the object as it goes, or that it is gone."""
        if msgspec.json.decode(document, type=_Kind).kind == kind:
            self.written(kind, document)
        else:
            self.gone(kind, namespace, name, uid)

    def gone(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """Forget an object that the API server says is not there."""
        if kind == "Job":
            _of(self._jobs, namespace).drop(namespace, name, uid)
        elif kind == "Pod":
            _of(self._pods, namespace).drop(namespace, name, uid)


class _Kind(msgspec.Struct, frozen=True):
    kind: str = ""


def _of(mirrors: dict[str, Mirror[Item]], namespace: str) -> Mirror[Item]:
    found = mirrors.get(namespace) or mirrors.get(EVERYWHERE)
    if found is None:
        raise TransientError(0, "NotWatched", f"Namespace {namespace} is not watched")
    return found
