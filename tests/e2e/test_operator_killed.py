"""The operator killed with -9 at different moments of a run: the end is always the same."""

from collections.abc import Callable

import pytest

from tests.support import independent
from tests.support.cluster import AnyCluster, until
from tests.support.cluster.kube import CommandError
from tests.support.jobs import NAMESPACE, Object, finished, objects, results, sample, status

OPERATOR = "app.kubernetes.io/component=operator"
DAY = "2019-03-05"

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


@pytest.mark.parametrize("moment", MOMENTS)
def test_the_end_is_the_same_whenever_the_operator_is_killed(pis: AnyCluster, moment: str) -> None:
    job = f"killed-{moment}"
    pis.apply(
        sample(job, source={"name": "sensors", "include": [f"{DAY}*.csv"]}, aggregate={}),
        namespace=NAMESPACE,
    )
    until(lambda: MOMENTS[moment](pis, job), f"the moment {moment}", timeout=180, every=0.02)
    before = {each["metadata"]["uid"] for each in _created(pis, job)}

    _kill_operator(pis)
    end = finished(pis, job)

    assert end["nodesSummary"] == "3/3"
    assert len(objects(pis, "jobs", job)) == 3
    assert len(objects(pis, "pods", job, "edge")) == 3
    assert len(objects(pis, "pods", job, "aggregate")) == 1
    assert before <= {each["metadata"]["uid"] for each in _created(pis, job)}
    table = independent.published(results(pis, job))
    folders = {node: pis.node(node).path("/var/lib/pi-edge-spark/sensors") for node in NODES}
    independent.assert_equal(table, independent.expected(folders, pattern=f"{DAY}*.csv"))
    assert end["rows"] == len(table.rows)


NODES = ("pi-1", "pi-2", "pi-3")


def _created(cluster: AnyCluster, job: str) -> list[Object]:
    return [*objects(cluster, "jobs", job), *objects(cluster, "pods", job, "aggregate")]


def _kill_operator(cluster: AnyCluster) -> None:
    """Kill its process, then replace its pod: a container that crashes often restarts late."""
    pod = cluster.get("pods", "-l", OPERATOR, "-n", NAMESPACE)["items"][0]
    node, name = cluster.node(pod["spec"]["nodeName"]), pod["metadata"]["name"]
    node.run("pkill", "-KILL", "-f", "/app/main.py")
    cluster.kubectl("delete", "pod", name, "-n", NAMESPACE, "--force", "--grace-period=0")
    cluster.kubectl("rollout", "status", "deployment", "-l", OPERATOR, "-n", NAMESPACE)


def test_a_restart_writes_nothing_where_nothing_changed(pis: AnyCluster) -> None:
    job = "killed-applied"
    finished(pis, job)
    before = pis.get("eej", job, "-n", NAMESPACE)["metadata"]["resourceVersion"]
    _kill_operator(pis)
    # A job applied afterwards is served only when the new operator works.
    pis.apply(sample("after-restart", source={"name": "nowhere"}), namespace=NAMESPACE)
    until(lambda: status(pis, "after-restart").get("conditions"), "the new operator works")
    assert pis.get("eej", job, "-n", NAMESPACE)["metadata"]["resourceVersion"] == before


def test_a_job_that_is_deleted_takes_its_objects_along(pis: AnyCluster) -> None:
    job = "killed-applied"
    finished(pis, job)
    pis.kubectl("delete", "eej", job, "-n", NAMESPACE, "--timeout=30s")
    with pytest.raises(CommandError, match="NotFound"):
        pis.get("eej", job, "-n", NAMESPACE)
    until(
        lambda: not objects(pis, "jobs", job) and not objects(pis, "pods", job),
        "the garbage collector",
        timeout=60,
    )
