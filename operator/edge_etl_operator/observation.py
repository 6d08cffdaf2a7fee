"""Gather: everything that a decision about one job needs, seen at one moment, immutable."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from typing import Final

from edge_etl_operator import names
from edge_etl_operator.api import EdgeETLJob, Run
from edge_etl_operator.capacity import Capacity
from edge_etl_operator.fleet import Fleet
from edge_etl_operator.kube import Event, Job, Node, Pod

_ASKED_SINGLY: Final = 10


@dataclass(frozen=True)
class Observation:
    """What is known of a job; Jobs and pods are of all its runs, but never of another owner's."""

    job: EdgeETLJob
    nodes: tuple[Node, ...] = ()
    jobs: tuple[Job, ...] = ()
    pods: tuple[Pod, ...] = ()
    warnings: tuple[Event, ...] = ()
    room: int | None = None
    """How many more nodes may be at work, of all jobs together; None when there is no limit."""
    clock_set: timedelta = timedelta()
    """By how much the clock was set since the job was looked at last."""
    capacity: Callable[[str], Capacity] = lambda claim: Capacity()
    """Looks at the cluster's room and at a claim, when Spark is to be placed: it costs a lot."""

    def node_job(self, run: str, node: str) -> Job | None:
        """Return the Kubernetes Job of a node in a run."""
        return self._jobs_by_name.get(names.node_job(self.job.name, run, node))

    def pods_of(self, job: Job) -> list[Pod]:
        """Return the pods of a Kubernetes Job, the latest last."""
        return self._pods_by_owner[job.metadata.uid]

    def driver(self, run: Run) -> Pod | None:
        """Return the driver's pod of a run's current aggregation."""
        name = names.driver(self.job.name, run.id, run.aggregations)
        return next(
            (pod for pod in self._pods_by_owner[self.job.metadata.uid] if pod.name == name), None
        )

    def executors(self, driver: Pod) -> list[Pod]:
        """Return the executors of a driver, the latest last."""
        return self._pods_by_owner[driver.uid]

    def warnings_of(self, uid: str) -> list[Event]:
        """Return the warnings about an object."""
        return self._warnings_by_uid[uid]

    def node(self, name: str) -> Node | None:
        """Return a node of the cluster."""
        return self._nodes_by_name.get(name)

    # Looked up once for each node of a run: with a thousand nodes a search would be a million.

    @cached_property
    def _jobs_by_name(self) -> dict[str, Job]:
        return {job.name: job for job in self.jobs}

    @cached_property
    def _nodes_by_name(self) -> dict[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def _pods_by_owner(self) -> Mapping[str, list[Pod]]:
        found: defaultdict[str, list[Pod]] = defaultdict(list)
        for pod in self.pods:
            for owner in pod.metadata.owner_references:
                found[owner.uid].append(pod)
        for tries in found.values():
            if len(tries) > 1:
                tries.sort(key=_age)
        return found

    @cached_property
    def _warnings_by_uid(self) -> Mapping[str, list[Event]]:
        found: defaultdict[str, list[Event]] = defaultdict(list)
        for event in self.warnings:
            found[event.involved_object.uid].append(event)
        return found


def gather(fleet: Fleet, job: EdgeETLJob, clock_set: timedelta = timedelta()) -> Observation:
    """Look at everything that belongs to a job; ApiError if the API server does not let us."""
    uid = job.metadata.uid
    jobs = tuple(
        each for each in fleet.jobs(job.namespace, job.name) if each.metadata.owned_by(uid)
    )
    pods = _owned(fleet.pods(job.namespace, job.name), uid, jobs)
    pods = _caught_up(fleet, job, jobs, pods)
    # Only the events about what waits tell something, and most of the time nothing does.
    warnings = fleet.warnings(job.namespace) if _waits(jobs, pods) else ()
    look = partial(fleet.capacity, job.namespace)
    return Observation(job, fleet.nodes(), jobs, pods, warnings, fleet.room(), clock_set, look)


def _caught_up(
    fleet: Fleet, job: EdgeETLJob, jobs: tuple[Job, ...], pods: tuple[Pod, ...]
) -> tuple[Pod, ...]:
    """Ask for the pods of Jobs that are over while no pod is: two watches need not agree.

    Without it a delivery that is only late would be taken for a lost one.
    """
    run = job.status.run
    if run is None or run.completion_time is not None:
        return pods
    known = {names.label_value(node.name) for node in job.status.nodes if node.phase == "Succeeded"}
    over = {owner.uid for pod in pods if pod.finished for owner in pod.metadata.owner_references}
    doubtful = [
        each
        for each in jobs
        if each.metadata.uid not in over
        and each.metadata.labels.get(names.RUN) == run.id
        and each.metadata.labels.get(names.NODE) not in known
        and each.finished
    ]
    if len(doubtful) > _ASKED_SINGLY:
        asked = [f"{names.JOB}={job.name},{names.RUN}={run.id}"]
    else:
        asked = [f"batch.kubernetes.io/job-name={each.name}" for each in doubtful]
    now = {pod.uid: pod for each in asked for pod in fleet.pods_now(job.namespace, each)}
    return tuple(now.pop(pod.uid, pod) for pod in pods) + tuple(now.values())


def _waits(jobs: tuple[Job, ...], pods: tuple[Pod, ...]) -> bool:
    """Tell whether a pod does not run yet, or a Job has none."""
    owners = {owner.uid for pod in pods for owner in pod.metadata.owner_references}
    return any(pod.phase == "Pending" for pod in pods) or any(
        job.metadata.uid not in owners and not job.finished for job in jobs
    )


def _owned(pods: tuple[Pod, ...], uid: str, jobs: tuple[Job, ...]) -> tuple[Pod, ...]:
    """Keep the pods of the Jobs, the drivers, and the executors of the drivers."""
    owners = {uid, *(job.metadata.uid for job in jobs)}
    owners |= {pod.uid for pod in pods if pod.metadata.owned_by(uid)}
    return tuple(
        pod for pod in pods if any(owner.uid in owners for owner in pod.metadata.owner_references)
    )


def _age(pod: Pod) -> tuple[float, str]:
    created = pod.metadata.creation_timestamp
    return (created.timestamp() if created else 0.0, pod.name)
