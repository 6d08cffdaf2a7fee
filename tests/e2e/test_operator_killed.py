"""The operator killed with -9 at every moment of one run: the end is as if it had lived."""

from collections.abc import Callable
from functools import partial

import pytest

from tests.support import independent
from tests.support.cluster import AnyCluster, until
from tests.support.cluster.kube import CommandError
from tests.support.jobs import (
    NAMESPACE,
    SOURCES,
    finished,
    kill,
    objects,
    processes,
    results,
    sample,
    status,
)

OPERATOR = "app.kubernetes.io/component=operator"
PROGRAM = "/app/main.py"
DAY = "2019-03-05"
JOB = "killed-always"
NODES = ("pi-1", "pi-2", "pi-3")

PHASES = ("Pending", "Running", "Succeeded")

Seen = Callable[[AnyCluster, str], bool]


def _stage(stage: str, phase: str, at_least: int) -> Seen:
    """Say when so many pods of a stage have come to a phase; one may be over before it is seen."""
    reached = PHASES[PHASES.index(phase) :]

    def seen(cluster: AnyCluster, job: str) -> bool:
        pods = objects(cluster, "pods", job, stage)
        return len([pod for pod in pods if pod["status"]["phase"] in reached]) >= at_least

    return seen


MOMENTS: dict[str, Seen] = {
    "applied": lambda _cluster, _job: True,
    "run-begun": lambda cluster, job: "run" in status(cluster, job),
    "configured": lambda cluster, job: bool(objects(cluster, "configmaps", job, "edge")),
    "first-job": lambda cluster, job: len(objects(cluster, "jobs", job)) >= 1,
    "all-jobs": lambda cluster, job: len(objects(cluster, "jobs", job)) == 3,
    "cleaning": _stage("edge", "Running", 1),
    "one-delivered": _stage("edge", "Succeeded", 1),
    "all-delivered": _stage("edge", "Succeeded", 3),
    "driver-created": lambda cluster, job: bool(objects(cluster, "pods", job, "aggregate")),
    "aggregating": _stage("aggregate", "Running", 1),
    "aggregated": _stage("aggregate", "Succeeded", 1),
}


def test_the_end_is_the_same_however_often_the_operator_is_killed(pis: AnyCluster) -> None:
    source = {"name": "sensors", "include": [f"{DAY}*.csv"]}
    pis.apply(sample(JOB, source=source, aggregate={}), namespace=NAMESPACE)
    made: set[str] = set()
    for moment, seen in MOMENTS.items():
        until(partial(seen, pis, JOB), f"the moment {moment}", timeout=180, every=0.02)
        made |= _created(pis, JOB)
        _kill_operator(pis)
    end = finished(pis, JOB)

    assert end["nodesSummary"] == "3/3"
    assert len(objects(pis, "jobs", JOB)) == 3
    assert len(objects(pis, "pods", JOB, "edge")) == 3
    assert len(objects(pis, "pods", JOB, "aggregate")) == 1
    assert made <= _created(pis, JOB), "something was made anew"
    table = independent.published(results(pis, JOB))
    folders = {node: pis.node(node).path(f"{SOURCES}/sensors") for node in NODES}
    independent.assert_equal(table, independent.expected(folders, f"{DAY}*.csv"))
    assert end["rows"] == len(table.rows)


def _created(cluster: AnyCluster, job: str) -> set[str]:
    made = [*objects(cluster, "jobs", job), *objects(cluster, "pods", job, "aggregate")]
    return {each["metadata"]["uid"] for each in made}


def _kill_operator(cluster: AnyCluster) -> None:
    """Kill its process, then replace its pod: a container that crashes often restarts late."""
    pod = cluster.get("pods", "-l", OPERATOR, "-n", NAMESPACE)["items"][0]
    name = pod["metadata"]["name"]
    # On a busy machine it may just have ended by itself, as when it cannot renew its Lease.
    kill(cluster, pod, until(lambda: processes(cluster, pod, PROGRAM), "the operator's process"))
    cluster.kubectl("delete", "pod", name, "-n", NAMESPACE, "--force", "--grace-period=0")
    cluster.kubectl("rollout", "status", "deployment", "-l", OPERATOR, "-n", NAMESPACE)


def test_a_restart_writes_nothing_where_nothing_changed(pis: AnyCluster) -> None:
    finished(pis, JOB)
    before = pis.get("eej", JOB, "-n", NAMESPACE)["metadata"]["resourceVersion"]
    _kill_operator(pis)
    # A job applied afterwards is served only when the new operator works.
    pis.apply(sample("after-restart", source={"name": "nowhere"}), namespace=NAMESPACE)
    until(lambda: status(pis, "after-restart").get("conditions"), "the new operator works")
    assert pis.get("eej", JOB, "-n", NAMESPACE)["metadata"]["resourceVersion"] == before


def test_a_job_that_is_deleted_takes_its_objects_along(pis: AnyCluster) -> None:
    finished(pis, JOB)
    pis.kubectl("delete", "eej", JOB, "-n", NAMESPACE, "--timeout=30s")
    with pytest.raises(CommandError, match="NotFound"):
        pis.get("eej", JOB, "-n", NAMESPACE)
    until(
        lambda: not objects(pis, "jobs", JOB) and not objects(pis, "pods", JOB),
        "the garbage collector",
        timeout=60,
    )
