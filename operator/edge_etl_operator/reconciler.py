"""Reconcile one job: gather, decide, act, then one write of the status."""

import contextlib
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Final, TypeGuard

import msgspec

from edge_etl_operator import api, conditions, history, metrics, observation, planning, status
from edge_etl_operator.announcing import Announcer
from edge_etl_operator.api import EdgeETLJob, InvalidResourceError, Status
from edge_etl_operator.clock import Clock
from edge_etl_operator.cluster import (
    ApiError,
    Cluster,
    ConflictError,
    NotFoundError,
    RefusedError,
)
from edge_etl_operator.conditions import Reason
from edge_etl_operator.decisions import Action, Create, Delete
from edge_etl_operator.fleet import Fleet
from edge_etl_operator.policies import diagnosis
from edge_etl_operator.settings import Settings

log = logging.getLogger(__name__)

PROGRESS_SECONDS: Final = 1.0
"""How long at least between two writes that only count nodes on."""

WRITERS: Final = 12
"""How many nodes' Jobs of a job are created at once."""

SLICE_SECONDS: Final = 3.0
"""How long objects are created before the status is written and the rest is looked at again."""


class Reconciler:
    """Reconciles jobs one at a time each; blocks, so it runs in threads."""

    def __init__(
        self,
        cluster: Cluster,
        fleet: Fleet,
        settings: Settings,
        clock: Clock | None = None,
    ) -> None:
        self._cluster = cluster
        self._fleet = fleet
        self._settings = settings
        self._clock = clock or Clock()
        # With a limit for all jobs together two must not take the same place.
        capped = settings.max_parallel_nodes is not None
        self._turn = threading.Lock() if capped else contextlib.nullcontext()
        self.wrote: Callable[[str, str, str], None] = lambda namespace, name, version: None
        """Is told of each status that was written: namespace, name, new version."""
        self.looked: Callable[[str, str, int], None] = lambda namespace, name, at_work: None
        """Is told of each look how many of a job's nodes are at work: namespace, name, number."""
        self._announcer = Announcer(cluster, socket.gethostname())
        # What each job's status said before it was shortened; it is only a shorter way to what the
        # cluster says too, so that it is gone after a restart costs nothing but time.
        self._whole: dict[str, Status] = {}
        self._written: dict[tuple[str, str], float] = {}
        self._ahead: dict[tuple[str, str], float] = {}

    def reconcile(self, namespace: str, name: str) -> float | None:
        """Bring a job one step further; return in how many seconds to look again, if at all.

        Raise ApiError when it has to be tried again: everything done so far is found again then.
        """
        try:
            resource = self._cluster.edge_etl_job(namespace, name)
        except NotFoundError:
            self._written.pop((namespace, name), None)
            self._ahead.pop((namespace, name), None)
            self._whole.pop(f"{namespace}/{name}", None)
            metrics.forget(namespace, name)
            return None
        # What a job owns goes with it, by its owner references.
        if resource["metadata"].get("deletionTimestamp"):
            return None
        try:
            job = api.parse(resource)
        except InvalidResourceError as error:
            self._refuse(resource, str(error))
            return None
        whole = self._whole.get(f"{namespace}/{name}")
        if whole is None:
            # What happened before this operator was there, or to a status that does not change.
            metrics.note(job.metadata, job.status, job.status)
        elif history.kept(whole) == job.status:
            job = msgspec.structs.replace(job, status=whole)
        try:
            return self._proceed(resource, job)
        except NotFoundError:
            # The namespace or the job itself went away meanwhile.
            return None
        except ConflictError:
            # Someone changed the resource since it was read: look at it again as it is now.
            return 0.0

    def _proceed(self, resource: dict[str, Any], job: EdgeETLJob) -> float | None:
        problem: ApiError | None = None
        key, ahead = (job.namespace, job.name), self._clock.ahead()
        clock_set = timedelta(seconds=ahead - self._ahead.get(key, ahead))
        with self._turn:
            try:
                seen = observation.gather(self._fleet, job, clock_set)
            except RefusedError as error:
                told = status.with_problem(
                    job, job.status, conditions.PERMISSION_MISSING, error.message, self._clock.now()
                )
                self._write(resource, job.status, told)
                raise
            decision = planning.plan(seen, self._settings, self._clock.now())
            told = decision.status
            self.looked(*key, self._at_work(job, told))
            complete = True
            try:
                complete = self._act(job, decision.actions)
            except RefusedError as error:
                problem = error
                told = status.with_problem(
                    job, told, _reason(error), error.message, self._clock.now()
                )
        again = decision.again if complete else 0.0
        if problem is None and (wait := self._early(job, told)) > 0:
            return wait if again is None else min(wait, again)
        self._write(resource, job.status, told)
        self._ahead[key] = ahead
        if problem is not None:
            raise problem
        return again

    def _at_work(self, job: EdgeETLJob, told: Status) -> int:
        """Return how many nodes can be at work, of those that have not ended."""
        left = told.node_counts.get("Pending", 0) + told.node_counts.get("Running", 0)
        limits = (job.spec.nodes.max_parallel, self._settings.max_parallel_nodes)
        return min([left, *(limit for limit in limits if limit is not None)])

    def _early(self, job: EdgeETLJob, told: Status) -> float:
        """Return for how many seconds to wait with a write that only counts nodes on.

        Of a thousand nodes several end in each second; what a person waits for is written at once.
        """
        written = self._written.get((job.namespace, job.name), float("-inf"))
        left = written + PROGRESS_SECONDS - time.monotonic()
        return left if left > 0 and _landmarks(told) == _landmarks(job.status) else 0.0

    def _act(self, job: EdgeETLJob, actions: Sequence[Action]) -> bool:
        """Do what was decided; False when time is up, so that the status is not kept waiting.

        Nodes' Jobs come last and at once: one after the other they would take as long as the API
        server answers slowly, on a Pi's card a thousand times longer than a moment.
        """
        end = time.monotonic() + SLICE_SECONDS
        together = [each for each in actions if _is_node_job(each)]
        for action in actions:
            match action:
                case Create(manifest) if not _is_node_job(action):
                    self._create(job, manifest)
                case Delete(kind, name, uid):
                    self._delete(job, kind, name, uid)

        if not together:
            return True

        def create(action: Create) -> bool:
            if time.monotonic() > end:
                return False
            self._create(job, action.manifest)
            return True

        # A pool of its own: in a common one a job's turn could come when its time is over already.
        with ThreadPoolExecutor(WRITERS, "writer") as pool:
            return all(list(pool.map(create, together)))

    def _create(self, job: EdgeETLJob, manifest: dict[str, Any]) -> None:
        kind, name = manifest["kind"], manifest["metadata"]["name"]
        try:
            document = self._cluster.create(manifest)
        except ConflictError:
            found = self._cluster.get(kind, job.namespace, name)
            owners = found["metadata"].get("ownerReferences", [])
            if not any(owner["uid"] == job.metadata.uid for owner in owners):
                raise RefusedError(
                    409, conditions.NAME_TAKEN.code, f"{kind} {name} exists and is not this job's"
                ) from None
            self._fleet.written(kind, json.dumps(found).encode())
            return
        self._fleet.written(kind, document)
        log.info("created", extra={**_about(job), "kind": kind, "object": name})

    def _delete(self, job: EdgeETLJob, kind: str, name: str, uid: str) -> None:
        try:
            uid = uid or self._owned(job, kind, name)
            document = self._cluster.delete(kind, job.namespace, name, uid)
        except (NotFoundError, ConflictError):
            # It is gone, or another one has its name; the watch has yet to say so.
            self._fleet.gone(kind, job.namespace, name, uid)
            return
        self._fleet.deleted(kind, job.namespace, name, uid, document)
        log.info("deleted", extra={**_about(job), "kind": kind, "object": name})

    def _owned(self, job: EdgeETLJob, kind: str, name: str) -> str:
        """Return the UID of an object that is not watched; NotFoundError if it is not ours."""
        metadata = self._cluster.get(kind, job.namespace, name)["metadata"]
        if any(owner["uid"] == job.metadata.uid for owner in metadata.get("ownerReferences", [])):
            return str(metadata["uid"])
        raise NotFoundError(404, "NotFound", f"{kind} {name} is not this job's")

    def _refuse(self, resource: dict[str, Any], fact: str) -> None:
        known = api.parse_status(resource)
        generation = api.parse_metadata(resource).generation
        self._write(resource, known, status.invalid(generation, known, fact, self._clock.now()))

    def _write(self, resource: dict[str, Any], known: Status, told: Status) -> None:
        """Write the status if it says anything new."""
        if told == known:
            return
        metadata = resource["metadata"]
        kept = history.kept(told)
        if kept != history.kept(known):
            self._written[metadata["namespace"], metadata["name"]] = time.monotonic()
            version = self._cluster.replace_status(resource, api.as_document(kept))
            self.wrote(metadata["namespace"], metadata["name"], version)
            self._announcer.tell(api.parse_metadata(resource), known, told, self._clock.now())
            metrics.note(api.parse_metadata(resource), known, told)
        self._whole[f"{metadata['namespace']}/{metadata['name']}"] = told
        success = told.condition(conditions.SUCCEEDED)
        if told.phase != known.phase:
            log.info(
                "phase",
                extra={
                    "namespace": resource["metadata"]["namespace"],
                    "job": resource["metadata"]["name"],
                    "run": told.run.id if told.run else None,
                    "phase": told.phase,
                    "reason": success.reason if success else None,
                },
            )


def _reason(error: ApiError) -> Reason:
    """Sort a refused creation by who can do something about it."""
    if error.reason == conditions.NAME_TAKEN.code:
        return conditions.NAME_TAKEN
    found = diagnosis.refusal(error.message)
    if found is not conditions.POD_REFUSED:
        return found
    # Admission refuses with 403 too, in words of its own.
    denied = error.status == 403 or "denied" in error.message
    return conditions.POD_REFUSED if denied else conditions.CREATE_REFUSED


def _is_node_job(action: Action) -> TypeGuard[Create]:
    return isinstance(action, Create) and action.manifest["kind"] == "Job"


def _landmarks(status: Status) -> tuple[object, ...]:
    """Return what of a status is more than how far the nodes are."""
    reasons = [(each.type, each.status, each.reason) for each in status.conditions]
    troubled = [node.name for node in status.nodes if node.phase in ("Failed", "Offline")]
    return (status.observed_generation, status.phase, status.run, reasons, troubled)


def _about(job: EdgeETLJob) -> dict[str, str]:
    return {"namespace": job.namespace, "job": job.name}
