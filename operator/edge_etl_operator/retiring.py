"""What is deleted of runs that are over and not kept any longer: pure."""

from collections.abc import Iterator

from edge_etl_operator import names
from edge_etl_operator.decisions import Delete
from edge_etl_operator.kube import Job, Pod
from edge_etl_operator.observation import Observation


def retired(seen: Observation, kept: frozenset[str]) -> tuple[Delete, ...]:
    """Return the objects of finished runs that are not kept, what the others are found by last.

    ConfigMaps are not watched: they go with the Jobs and the driver that mounted them.
    """
    uid = seen.job.metadata.uid
    jobs = [each for each in seen.jobs if _over(each, kept) and each.finished]
    drivers = [
        each
        for each in seen.pods
        if _over(each, kept) and each.finished and each.metadata.owned_by(uid)
    ]
    configs = dict.fromkeys(_configs(seen.job.name, jobs, drivers))
    return (
        *(Delete("ConfigMap", name, "") for name in configs),
        *(Delete("Pod", each.name, each.uid) for each in drivers),
        *(Delete("Job", each.name, each.metadata.uid) for each in jobs),
    )


def _configs(job: str, jobs: list[Job], drivers: list[Pod]) -> Iterator[str]:
    for run in {_run(each) for each in jobs} | {_run(each) for each in drivers}:
        yield names.edge_config(job, run)
    for volume in (volume for each in drivers for volume in each.spec.volumes):
        # A person's own ConfigMap may be mounted too; it has another volume's name.
        if volume.name == "config" and volume.config_map is not None:
            yield volume.config_map.name


def _over(thing: Job | Pod, kept: frozenset[str]) -> bool:
    return thing.metadata.deletion_timestamp is None and _run(thing) not in kept


def _run(thing: Job | Pod) -> str:
    return thing.metadata.labels.get(names.RUN, "")
