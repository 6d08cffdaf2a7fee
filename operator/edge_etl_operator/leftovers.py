"""What is still there and does not belong to what goes on: pure."""

from datetime import datetime

from edge_etl_operator import names
from edge_etl_operator.decisions import Delete
from edge_etl_operator.kube import Job, Pod
from edge_etl_operator.observation import Observation

STUCK_SECONDS = 30
"""How long after its end of grace a pod that is being deleted is waited for: on a node that is off
it never goes. The lock on the node's state directory keeps two attempts apart in any case."""


def leftovers(seen: Observation, current: str | None) -> tuple[Delete, ...]:
    """Return what goes on, but does not belong to the current run; finished ones stay for logs."""
    jobs = (
        delete_job(job)
        for job in seen.jobs
        if _foreign(job, current) and not job.finished and not _delivered(seen, job)
    )
    drivers = (
        Delete("Pod", pod.name, pod.uid)
        for pod in seen.pods
        if _foreign(pod, current)
        and not pod.finished
        and pod.metadata.owned_by(seen.job.metadata.uid)
    )
    return (*jobs, *drivers)


def still_there(seen: Observation, now: datetime) -> bool:
    """Tell whether pods of an earlier run may still be at work."""
    return any(_at_work(seen, pod, now) for pod in seen.pods)


def occupied(seen: Observation, now: datetime) -> set[str]:
    """Return the nodes, as label values, on which an earlier attempt may still be at work."""
    return {
        pod.metadata.labels.get(names.NODE, "") for pod in seen.pods if _at_work(seen, pod, now)
    }


def delete_job(job: Job) -> Delete:
    """Return the end of a Job and its pods."""
    return Delete("Job", job.name, job.metadata.uid)


def _at_work(seen: Observation, pod: Pod, now: datetime) -> bool:
    """Tell whether a pod may still be at work; on a node that is off it ends when that is on."""
    if pod.finished:
        return False
    leaving = pod.metadata.deletion_timestamp
    if leaving is None:
        return True
    node = seen.node(pod.spec.node_name) if pod.spec.node_name else None
    off = node is not None and not node.ready
    return not off and (now - leaving).total_seconds() <= STUCK_SECONDS


def _delivered(seen: Observation, job: Job) -> bool:
    """Tell whether a Job has done its work; its controller says so up to a second later."""
    return any(pod.phase == "Succeeded" for pod in seen.pods_of(job))


def _foreign(thing: Job | Pod, current: str | None) -> bool:
    going = thing.metadata.deletion_timestamp is None
    return going and thing.metadata.labels.get(names.RUN) != current
