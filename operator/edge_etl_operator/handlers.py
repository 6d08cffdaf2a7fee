"""Doorbells: what changed in the cluster only tells whose job is to be looked at.

Handlers decide nothing and write nothing, so kopf puts neither finalizers nor annotations on
anything. What a handler is told is not used further: the reconciler looks at everything itself.
"""

import asyncio
import contextlib
import itertools
import logging
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import kopf

from edge_etl_operator import metrics, patience, serving
from edge_etl_operator.api import GROUP, PLURAL, VERSION
from edge_etl_operator.cluster import ApiError, Cluster
from edge_etl_operator.connection import Connection
from edge_etl_operator.fleet import EVERYWHERE, Fleet
from edge_etl_operator.lease import RENEW_SECONDS, Lease
from edge_etl_operator.limiter import Limiter
from edge_etl_operator.patience import Patience
from edge_etl_operator.reconciler import Reconciler
from edge_etl_operator.sentinel import DEAF_SECONDS, Sentinel
from edge_etl_operator.settings import Settings
from edge_etl_operator.workqueue import WorkQueue

log = logging.getLogger(__name__)

REQUEST_SECONDS: Final = 30
WATCH_SECONDS: Final = 300
LISTING_SECONDS: Final = 30.0
"""How long to wait at the start for everything to be listed."""


RINGS_SECONDS: Final = 0.01
"""How long rings from the watches are collected."""


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


class _NoDiffs(kopf.DiffBaseStorage):
    """Remembers nothing of a resource: kopf would copy each one whole to compare it later."""

    def build(self, *, body: kopf.Body, extra_fields: Any = None) -> kopf.BodyEssence:
        """Return nothing to compare."""
        return kopf.BodyEssence()

    def fetch(self, *, body: kopf.Body) -> kopf.BodyEssence | None:
        """Return nothing, as for a resource that is new."""
        return None

    def store(self, *, body: kopf.Body, patch: kopf.Patch, essence: kopf.BodyEssence) -> None:
        """Store nothing."""


class Doorbells:
    """The handlers, and what they need to know: which jobs there are, how they looked last."""

    def __init__(self, settings: Settings, namespaces: Sequence[str] = (EVERYWHERE,)) -> None:
        self._settings = settings
        self._namespaces = namespaces
        self._jobs: dict[JobKey, tuple[Any, ...]] = {}
        self._sentinel = Sentinel()
        self._patience: Patience[JobKey] = Patience()
        self._lease: Lease | None = None
        self._queue: WorkQueue[JobKey] | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def register(self) -> None:
        """Make kopf call the handlers."""
        kopf.on.startup()(self.configure)
        kopf.on.startup()(self.start)
        kopf.on.cleanup()(self.stop)
        kopf.on.event(GROUP, VERSION, PLURAL)(self.job_changed)

    def configure(self, settings: kopf.OperatorSettings, **_: Any) -> None:
        """Give kopf limits: its defaults wait for ever, and ask for rights that are not needed."""
        settings.persistence.diffbase_storage = _NoDiffs()
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
        for noisy in ("kopf", "urllib3", "aiohttp.access"):
            logging.getLogger(noisy).setLevel(logging.WARNING)

    async def start(self, **_: Any) -> None:
        """Connect, wait for the CRD and for the lease, list everything, and begin to work."""
        rate = self._settings.api_requests_per_second
        connection = await asyncio.to_thread(Connection.connect, Limiter(rate, int(2 * rate)))
        cluster = Cluster(connection)
        try:
            served = await asyncio.to_thread(cluster.serves_jobs)
        except ApiError as error:
            raise kopf.TemporaryError(f"The API server does not answer: {error}", delay=2) from None
        if not served:
            # kopf looks for resources once and would never see a CRD that comes later.
            raise kopf.TemporaryError(f"The CRD {PLURAL}.{GROUP} is not installed yet", delay=2)
        if self._settings.port is not None:
            serving.serve(self._settings.port, self.problems)
        if self._settings.lease is not None:
            await self._lead(connection)
        fleet = self._fleet(connection, cluster)
        await asyncio.to_thread(fleet.start, LISTING_SECONDS)
        self._work(Reconciler(cluster, fleet, self._settings))
        log.info("started", extra={"sources": sorted(self._settings.sources)})

    async def stop(self, **_: Any) -> None:
        """End the workers; what they were at is found again by the next operator."""
        for task in self._tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        if self._lease is not None:
            await asyncio.to_thread(self._lease.release)

    async def job_changed(
        self,
        event: kopf.RawEvent,
        namespace: str | None,
        name: str,
        body: Mapping[str, Any],
        **_: Any,
    ) -> None:
        """Ring for an EdgeETLJob that was created, changed or deleted; not for its status."""
        key = JobKey(namespace or "", name)
        if event["type"] == "DELETED":
            self._jobs.pop(key, None)
            self._sentinel.forget(str(key))
            self._patience.forget(key)
            self._ring(key)
            return
        self._sentinel.saw(str(key), body["metadata"].get("resourceVersion", ""))
        looks = _looks(body)
        if self._jobs.get(key) != looks:
            self._jobs[key] = looks
            self._ring(key)

    def problems(self) -> list[str]:
        """Say why this operator should be started again; nothing when it is alive."""
        found = self._sentinel.problems()
        if self._lease is not None and (deaf := self._lease.unseen_seconds()) > DEAF_SECONDS:
            found.append(f"a renewal of the lease was not seen for {deaf:.0f} s: the watch is deaf")
        return found

    async def _lead(self, connection: Connection) -> None:
        """Wait until no other operator acts; from then on the lease is renewed."""
        place = self._settings.lease
        assert place is not None  # noqa: S101  # asked before
        lease = Lease(connection, place.namespace, place.name, socket.gethostname())
        connection.may_write = lambda: lease.held
        while not await asyncio.to_thread(_renewed, lease):
            self._sentinel.beat()
            await asyncio.sleep(2)
        lease.mirror.start()
        self._lease = lease
        self._tasks.append(asyncio.create_task(self._keep(lease)))
        self._tasks[-1].add_done_callback(_end_if_failed)

    async def _keep(self, lease: Lease) -> None:
        """Renew the lease; end the operator when another one has it."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            self._sentinel.beat()
            was_held = lease.held
            if not await asyncio.to_thread(_renewed, lease) and was_held:
                raise RuntimeError("the lease was taken by another operator")

    def _fleet(self, connection: Connection, cluster: Cluster) -> Fleet:
        loop = asyncio.get_running_loop()

        rung: Counter[JobKey] = Counter()
        lock = threading.Lock()

        def ring(namespace: str, name: str, weight: int) -> None:
            # The loop is woken once for the many objects that change in a moment.
            with lock:
                first = not rung
                rung[JobKey(namespace, name)] += weight
            if first:
                loop.call_soon_threadsafe(loop.call_later, RINGS_SECONDS, answer)

        def answer() -> None:
            with lock:
                changed = dict(rung)
                rung.clear()
            for key, weight in changed.items():
                self._changed(key, weight)

        def ring_all() -> None:
            loop.call_soon_threadsafe(self._ring_all)

        most = self._settings.max_parallel_nodes
        return Fleet(connection, cluster, self._namespaces, ring, ring_all, most)

    def _work(self, reconciler: Reconciler) -> None:
        async def work(key: JobKey) -> float | None:
            self._patience.looks(key)
            again = await asyncio.to_thread(reconciler.reconcile, *key)
            if self._patience.due(key):
                self._ring(key)
            return again

        def looked(namespace: str, name: str, at_work: int) -> None:
            self._patience.saw(JobKey(namespace, name), at_work)

        def wrote(namespace: str, name: str, version: str) -> None:
            self._sentinel.expect(str(JobKey(namespace, name)), version)

        reconciler.wrote, reconciler.looked = wrote, looked
        queue = self._queue = WorkQueue(work, expected=(ApiError,))
        metrics.QUEUE_DEPTH.set_function(lambda: queue.depth)
        self._tasks.append(asyncio.create_task(queue.run()))
        self._tasks[-1].add_done_callback(_end_if_failed)

    def _changed(self, key: JobKey, weight: int) -> None:
        """Have a job looked at soon whose Jobs or pods changed; how soon the change decides."""
        if self._patience.enough(key, weight):
            self._ring(key)
        elif self._queue is not None:
            self._queue.ring_within(key, patience.SECONDS)

    def _ring(self, key: JobKey) -> None:
        if self._queue is not None:
            self._queue.ring(key)

    def _ring_all(self) -> None:
        for key in self._jobs:
            self._ring(key)


def _renewed(lease: Lease) -> bool:
    try:
        return lease.renew()
    except ApiError as error:
        log.warning("the lease could not be renewed: %s", error)
        return lease.held


def _end_if_failed(task: asyncio.Task[None]) -> None:
    """End the operator when nobody works any more: Kubernetes starts it again."""
    if not task.cancelled():
        log.critical("the operator ends", exc_info=task.exception())
        signal.raise_signal(signal.SIGTERM)


def _looks(job: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what of a job is a person's wish; what the operator writes itself is no news."""
    metadata = job["metadata"]
    deleted = metadata.get("deletionTimestamp")
    asked = dict(metadata.get("annotations", {}))
    return (metadata.get("uid"), metadata.get("generation"), deleted, asked)
