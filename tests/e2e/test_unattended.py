"""What happens to runs that nobody watches: people who change their minds, Pis that go off.

All jobs are played at the same time; what each came to is looked at afterwards.
"""

import json
from functools import partial
from typing import Any

import pytest

from tests.support.cluster import AnyCluster, until
from tests.support.cluster.images import project_images
from tests.support.cluster.install import install_chart
from tests.support.jobs import (
    NAMESPACE,
    SOURCES,
    VALUES,
    condition,
    objects,
    results,
    status,
)
from tests.support.playing import (
    OPERATOR,
    apply,
    ask,
    away_from_the_operator,
    held,
    node_of,
    patch,
    reaches,
    shown,
    waits,
)

CHANGED_MINDS = ("suspended", "replaced", "edited", "upgraded", "deleted", "drained", "orphan")


@pytest.fixture(scope="module")
def minds(pis: AnyCluster) -> dict[str, Any]:
    """Play what people do in the middle of a run, and an operator that dies again and again."""
    node = away_from_the_operator(pis)
    before: dict[str, Any] = {"node": node}
    apply(pis, "killed-often", schedule="* * * * *")
    memory = {"requests": {"cpu": "50m"}, "limits": {"memory": "12Mi"}}
    apply(pis, "small", {"backoffLimit": 0, "minSuccess": 3}, edge={"resources": memory})
    with held(pis, node, *CHANGED_MINDS):
        for name in CHANGED_MINDS:
            apply(pis, name, {"offlinePolicy": "Wait"}, concurrencyPolicy="Replace")
        for name in CHANGED_MINDS:
            until(partial(waits, pis, name, node), f"{name} waits", timeout=240)
            before[name] = status(pis, name)["run"]
        patch(pis, "suspended", suspend=True)
        ask(pis, "replaced")
        patch(pis, "edited", key=["sensor_id"])
        pis.kubectl("delete", "eej", "deleted", "-n", NAMESPACE, "--timeout=30s")
        pis.kubectl("cordon", node)
        drained = "--pod-selector=pi-edge-spark.io/job=drained"
        pis.kubectl("drain", node, drained, "--delete-emptydir-data", "--timeout=100s")
        until(
            lambda: node_of(status(pis, "drained"), node).get("reason") == "NodeCordoned",
            "the drained Pi is Offline",
        )
        shown(pis, "drained", "A Pi that was drained")
        reaches(pis, "suspended", "Suspended", told_in="Suspended")
        pis.kubectl("scale", "deployment", "-l", OPERATOR, "-n", NAMESPACE, "--replicas=0")
        pis.kubectl("delete", "eej", "orphan", "-n", NAMESPACE, "--timeout=30s")
        more = {"name": "more", "path": f"{SOURCES}/more"}
        install_chart(pis, project_images(), {"sources": [*VALUES["sources"], more]})
        pis.kubectl("uncordon", node)
        patch(pis, "suspended", suspend=False)
    return before


def test_a_suspended_run_goes_on(pis: AnyCluster, minds: dict[str, Any]) -> None:
    told = reaches(pis, "suspended", "Succeeded")
    assert told["run"]["id"] == minds["suspended"]["id"]
    assert told["nodesSummary"] == "3/3"


def test_a_run_is_replaced(pis: AnyCluster, minds: dict[str, Any]) -> None:
    heading = "A run that another one replaced"
    told = reaches(pis, "replaced", "Succeeded", told_in=heading)
    assert told["run"]["id"] > minds["replaced"]["id"]
    assert told["runs"][1]["result"] == "Replaced"


def test_an_edit_begins_the_run_again(pis: AnyCluster, minds: dict[str, Any]) -> None:
    heading = "A spec that is edited in the middle of a run"
    told = reaches(pis, "edited", "Succeeded", told_in=heading)
    assert told["run"]["specHash"] != minds["edited"]["specHash"]
    # What the first run's nodes delivered is merged by the second.
    assert told["rows"] > 0


def test_an_upgrade_of_the_chart_leaves_the_run_alone(
    pis: AnyCluster, minds: dict[str, Any]
) -> None:
    heading = "An upgrade, or an operator that dies, in the middle of a run"
    told = reaches(pis, "upgraded", "Succeeded", told_in=heading)
    assert told["run"]["id"] == minds["upgraded"]["id"]
    assert len(objects(pis, "jobs", "upgraded")) == 3


def test_a_drained_pi_gets_its_pod_when_it_is_back(pis: AnyCluster, minds: dict[str, Any]) -> None:
    """Peers: a cordoned node that returns gets its pod (kruise#1199)."""
    told = reaches(pis, "drained", "Succeeded")
    assert told["run"]["id"] == minds["drained"]["id"]
    assert told["nodesSummary"] == "3/3"


@pytest.mark.parametrize("job", ["deleted", "orphan"])
def test_a_job_deleted_in_the_middle_takes_its_pods_along(
    pis: AnyCluster, minds: dict[str, Any], job: str
) -> None:
    """`orphan` is deleted while no operator is there: nothing waits for one."""
    until(
        lambda: not objects(pis, "jobs", job) and not objects(pis, "pods", job),
        f"the pods of {job} are gone",
        timeout=240,
    )
    shown(pis, job, "A job that is deleted")


def test_a_pod_that_needs_more_memory_is_told_with_its_limit(
    pis: AnyCluster, minds: dict[str, Any]
) -> None:
    told = reaches(pis, "small", "Failed", told_in="A pod that needs more memory")
    assert {each["reason"] for each in told["nodes"]} == {"OutOfMemory"}
    assert "12Mi" in condition(told, "Succeeded")["message"]


def test_an_operator_that_dies_in_two_scheduled_runs(pis: AnyCluster, minds: Any) -> None:
    """Peers: a schedule stops silently (KF#787, #998, #3174)."""

    def done() -> list[str]:
        runs = status(pis, "killed-often").get("runs", [])
        return [run["id"] for run in runs if run["result"] == "Succeeded"]

    def goes() -> str:
        told = status(pis, "killed-often")
        run: str = told.get("run", {}).get("id", "")
        return run if told.get("phase") in ("Cleaning", "Aggregating") else ""

    for _ in range(2):
        run = until(goes, "a run goes on", timeout=240)
        pod = ("pod", "-l", OPERATOR, "-n", NAMESPACE, "--force", "--grace-period=0")
        pis.kubectl("delete", *pod)
        until(lambda run=run: run in done(), f"{run} succeeds", timeout=240)  # type: ignore[misc]
    patch(pis, "killed-often", suspend=True)
    told = status(pis, "killed-often")
    shown(pis, "killed-often")
    slots = [run["id"] for run in told["runs"]]
    assert len(slots) == len(set(slots))
    # A run that began while another job's Pi was cordoned had one node less, and no other.
    assert {run["nodesSummary"] for run in told["runs"]} <= {"2/2", "3/3"}
    assert told["runs"][0]["nodesSummary"] == "3/3"


CUT_HEADING = "A Pi whose power was cut"
CUT = ("cut-next", "cut-again", "cut-ignore")
ASKED = ("cut-next", "cut-ignore", "off-before")
"""Jobs that are asked for another run when the Pi is back."""


@pytest.fixture(scope="module")
def power(pis: AnyCluster, minds: dict[str, Any]) -> dict[str, Any]:
    """Cut a Pi's power while it cleans, start a job without it, and switch it on again.

    Then some are asked for another run.
    """
    victim = away_from_the_operator(pis)
    before: dict[str, Any] = {"victim": victim}
    policies = ("NextRun", "Reaggregate", "Ignore")
    with held(pis, victim, *CUT):
        for name, policy in zip(CUT, policies, strict=True):
            apply(pis, name, {"lateDataPolicy": policy})
        for name in CUT:
            until(partial(waits, pis, name, victim), f"{name} waits", timeout=240)
        pis.node(victim).power_off()
        until(
            lambda: node_of(status(pis, CUT[0]), victim).get("phase") == "Offline",
            "the Pi is noticed to be off",
            timeout=240,
        )
        apply(pis, "off-before")
        apply(pis, "off-waits", {"offlinePolicy": "Wait"})
        for name in (*CUT, "off-before"):
            before[name] = reaches(pis, name, "PartiallySucceeded", told_in=CUT_HEADING)
        before["off-waits"] = status(pis, "off-waits")
        shown(pis, "off-waits", "A Pi that is off before the start")
    pis.node(victim).power_on()
    until(lambda: not pis.get("node", victim)["spec"].get("taints"), "the Pi is back", timeout=240)
    for name in ASKED:
        ask(pis, name)
    return before


@pytest.mark.parametrize("job", [*CUT, "off-before"])
def test_a_pi_that_is_off_is_done_without_and_named(
    pis: AnyCluster, power: dict[str, Any], job: str
) -> None:
    told = power[job]
    assert told["nodesSummary"] == "2/3"
    assert power["victim"] in condition(told, "Succeeded")["message"]
    assert node_of(told, power["victim"])["phase"] == "Offline"
    table = results(pis, job) / "table"
    versions = [json.loads(path.read_text()) for path in table.glob("versions/*/version.json")]
    assert [power["victim"]] in [version["missingNodes"] for version in versions]


def test_a_pi_that_is_waited_for_completes_its_run(pis: AnyCluster, power: dict[str, Any]) -> None:
    assert power["off-waits"]["phase"] == "Cleaning"
    told = reaches(pis, "off-waits", "Succeeded")
    assert told["nodesSummary"] == "3/3"
    assert node_of(told, power["victim"])["rowsRead"] > 0


def test_a_late_pi_completes_its_run_where_the_policy_says_so(
    pis: AnyCluster, power: dict[str, Any]
) -> None:
    told = reaches(pis, "cut-again", "Succeeded")
    assert told["run"]["id"] == power["cut-again"]["run"]["id"]
    assert (told["nodesSummary"], told["run"]["aggregations"]) == ("3/3", 1)
    assert told["rows"] > power["cut-again"]["rows"]


@pytest.mark.parametrize("job", ASKED)
def test_otherwise_the_next_run_brings_what_the_pi_has(
    pis: AnyCluster, power: dict[str, Any], job: str
) -> None:
    told = reaches(pis, job, "Succeeded")
    assert told["run"]["id"] > power[job]["run"]["id"]
    assert told["rows"] > power[job]["rows"]
    # Pods that hung on the Pi while it was off are gone.
    until(
        lambda: (
            not [
                pod for pod in objects(pis, "pods", job) if pod["metadata"].get("deletionTimestamp")
            ]
        ),
        "no pod hangs",
    )


def test_a_quota_is_told_and_waited_for(pis: AnyCluster, power: dict[str, Any]) -> None:
    hard = {"hard": {"pods": "0"}}
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}}
    pis.apply({**quota, "spec": hard}, namespace=NAMESPACE)
    until(lambda: pis.get("quota", "none", "-n", NAMESPACE).get("status"), "the quota counts")
    apply(pis, "over-quota")
    until(
        lambda: (
            condition(status(pis, "over-quota"), "EdgeComplete").get("reason") == "QuotaExceeded"
        ),
        "the quota is told",
    )
    shown(pis, "over-quota", "A quota")
    pis.kubectl("delete", "quota", "none", "-n", NAMESPACE)
    reaches(pis, "over-quota", "Succeeded")
