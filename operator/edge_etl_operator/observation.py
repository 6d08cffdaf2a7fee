"""Gather: everything that a decision about one job needs, seen at one moment, immutable."""

from dataclasses import dataclass

from edge_etl_operator import names
from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.cluster import Cluster
from edge_etl_operator.kube import Event, Job, Node, Pod


@dataclass(frozen=True)
class Observation:
    """What is known of a job; Jobs and pods are of all its runs, but never of another owner's."""

    job: EdgeETLJob
    nodes: tuple[Node, ...] = ()
    jobs: tuple[Job, ...] = ()
    pods: tuple[Pod, ...] = ()
    warnings: tuple[Event, ...] = ()

    def node_job(self, run: str, node: str) -> Job | None:
        """Return the Kubernetes Job of a node in a run."""
        name = names.node_job(self.job.name, run, node)
        return next((job for job in self.jobs if job.name == name), None)

    def pods_of(self, job: Job) -> tuple[Pod, ...]:
        """Return the pods of a Kubernetes Job, the latest last."""
        owned = (pod for pod in self.pods if pod.metadata.owned_by(job.metadata.uid))
        return tuple(sorted(owned, key=_age))

    def driver(self, run: str) -> Pod | None:
        """Return the driver's pod of a run."""
        name = names.driver(self.job.name, run)
        return next((pod for pod in self.pods if pod.name == name), None)

    def executors(self, driver: Pod) -> tuple[Pod, ...]:
        """Return the executors of a driver, the latest last."""
        owned = (pod for pod in self.pods if pod.metadata.owned_by(driver.uid))
        return tuple(sorted(owned, key=_age))

    def warnings_of(self, uid: str) -> tuple[Event, ...]:
        """Return the warnings about an object."""
        return tuple(event for event in self.warnings if event.involved_object.uid == uid)

    def node(self, name: str) -> Node | None:
        """Return a node of the cluster."""
        return next((node for node in self.nodes if node.name == name), None)


def gather(cluster: Cluster, job: EdgeETLJob) -> Observation:
    """Look at everything afresh; ApiError if the API server does not let us."""
    selector = f"{names.JOB}={job.name}"
    jobs = cluster.jobs(job.namespace, selector)
    pods = cluster.pods(job.namespace, selector)
    jobs = tuple(each for each in jobs if each.metadata.owned_by(job.metadata.uid))
    pods = _owned(pods, job.metadata.uid, jobs)
    waits = any(pod.phase == "Pending" for pod in pods) or any(
        not each.finished and not any(pod.metadata.owned_by(each.metadata.uid) for pod in pods)
        for each in jobs
    )
    # Only the events of what waits tell something; most of the time nothing does.
    warnings = cluster.warnings(job.namespace) if waits else ()
    return Observation(job, cluster.nodes(), jobs, pods, warnings)


def _owned(pods: tuple[Pod, ...], uid: str, jobs: tuple[Job, ...]) -> tuple[Pod, ...]:
    """Keep the pods of the Jobs, the drivers, and the executors of the drivers."""
    owners = {uid, *(job.metadata.uid for job in jobs)}
    owners |= {pod.uid for pod in pods if pod.metadata.owned_by(uid)}
    return tuple(
        pod for pod in pods if any(owner.uid in owners for owner in pod.metadata.owner_references)
    )


def _age(pod: Pod) -> tuple[str, str]:
    created = pod.metadata.creation_timestamp
    return (created.isoformat() if created else "", pod.name)
