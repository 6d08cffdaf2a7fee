"""Doorbells: what changed in the cluster only tells whose job is to be looked at.

Handlers decide nothing and write nothing, so kopf puts neither finalizers nor annotations on
anything. What a handler is told is not used further: the reconciler looks at everything itself.
"""

import asyncio
import contextlib
import itertools
import logging
import signal
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

import kopf

from edge_etl_operator import names
from edge_etl_operator.api import GROUP, PLURAL, VERSION
from edge_etl_operator.cluster import ApiError, Cluster
from edge_etl_operator.reconciler import Reconciler
from edge_etl_operator.settings import Settings
from edge_etl_operator.workqueue import WorkQueue

log = logging.getLogger(__name__)

REQUEST_SECONDS: Final = 30
WATCH_SECONDS: Final = 300


class JobKey(NamedTuple):
    """Which EdgeETLJob."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


class EndlessBackoff:
    """Delays in seconds that grow and never end.

    kopf's own list ends: a watch that used it up dies, and the operator stays deaf for ever
    (kopf#1276).
    """

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((0.5, 1, 2, 5), itertools.repeat(15.0))


class Doorbells:
    """The handlers, and what they need to know: which jobs there are, how nodes looked last."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._jobs: set[JobKey] = set()
        self._nodes: dict[str, tuple[Any, ...]] = {}
        self._queue: WorkQueue[JobKey] | None = None
        self._task: asyncio.Task[None] | None = None

    def register(self) -> None:
        """Make kopf call the handlers."""
        kopf.on.startup()(self.configure)
        kopf.on.startup()(self.start)
        kopf.on.cleanup()(self.stop)
        kopf.on.event(GROUP, VERSION, PLURAL)(self.job_changed)
        kopf.on.event("batch", "v1", "jobs")(self.object_changed)
        kopf.on.event("", "v1", "pods")(self.object_changed)
        kopf.on.event("", "v1", "nodes")(self.node_changed)

    def configure(self, settings: kopf.OperatorSettings, **_: Any) -> None:
        """Give kopf limits: its defaults wait for ever, and ask for rights that are not needed."""
        settings.posting.enabled = False
        settings.posting.level = logging.WARNING
        settings.peering.standalone = True
        settings.scanning.disabled = True
        settings.networking.request_timeout = REQUEST_SECONDS
        settings.networking.connect_timeout = 5
        settings.networking.error_backoffs = EndlessBackoff()
        settings.watching.connect_timeout = 5
        settings.watching.server_timeout = WATCH_SECONDS
        settings.watching.client_timeout = WATCH_SECONDS + 30
        settings.watching.label_selectors["batch", "v1", "jobs"] = names.JOB
        settings.watching.label_selectors["", "v1", "pods"] = names.JOB
        for noisy in ("kopf", "urllib3", "aiohttp.access"):
            logging.getLogger(noisy).setLevel(logging.WARNING)

    async def start(self, **_: Any) -> None:
        """Connect, wait for the CRD, and begin to work."""
        cluster = await asyncio.to_thread(Cluster.connect)
        try:
            served = await asyncio.to_thread(cluster.serves_jobs)
        except ApiError as error:
            raise kopf.TemporaryError(f"The API server does not answer: {error}", delay=2) from None
        if not served:
            # kopf looks for resources once and would never see a CRD that comes later.
            raise kopf.TemporaryError(f"The CRD {PLURAL}.{GROUP} is not installed yet", delay=2)
        reconciler = Reconciler(cluster, self._settings)

        async def work(key: JobKey) -> float | None:
            return await asyncio.to_thread(reconciler.reconcile, *key)

        self._queue = WorkQueue(work, expected=(ApiError,))
        self._task = asyncio.create_task(self._queue.run())
        self._task.add_done_callback(_end_if_failed)
        log.info("started", extra={"sources": sorted(self._settings.sources)})

    async def stop(self, **_: Any) -> None:
        """End the workers; what they were at is found again by the next operator."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    def _ring(self, key: JobKey) -> None:
        if self._queue is not None:
            self._queue.ring(key)

    async def job_changed(
        self, event: kopf.RawEvent, namespace: str | None, name: str, **_: Any
    ) -> None:
        """Ring for an EdgeETLJob that was created, changed or deleted."""
        key = JobKey(namespace or "", name)
        if event["type"] == "DELETED":
            self._jobs.discard(key)
        else:
            self._jobs.add(key)
        self._ring(key)

    async def object_changed(
        self, namespace: str | None, labels: Mapping[str, str], **_: Any
    ) -> None:
        """Ring for the job whose Job or pod changed."""
        if job := labels.get(names.JOB):
            self._ring(JobKey(namespace or "", job))

    async def node_changed(
        self, event: kopf.RawEvent, name: str, body: Mapping[str, Any], **_: Any
    ) -> None:
        """Ring for all jobs when a node came, went or changed; its regular reports are nothing."""
        looks = None if event["type"] == "DELETED" else _looks(body)
        if looks == self._nodes.get(name):
            return
        if looks is None:
            self._nodes.pop(name, None)
        else:
            self._nodes[name] = looks
        for key in self._jobs:
            self._ring(key)


def _end_if_failed(task: asyncio.Task[None]) -> None:
    """End the operator when nobody works any more: Kubernetes starts it again."""
    if not task.cancelled():
        log.critical("the workers ended", exc_info=task.exception())
        signal.raise_signal(signal.SIGTERM)


def _looks(node: Mapping[str, Any]) -> tuple[Any, ...]:
    spec, conditions = node.get("spec", {}), node.get("status", {}).get("conditions", [])
    ready = [each.get("status") for each in conditions if each.get("type") == "Ready"]
    labels = sorted(node["metadata"].get("labels", {}).items())
    return (labels, spec.get("unschedulable"), spec.get("taints"), ready)
