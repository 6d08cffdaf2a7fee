"""How many nodes are enough, what an absent one means, and what becomes of late data."""

from typing import Any

import pytest
from edge_etl_operator import conditions
from edge_etl_operator.api import NodeStatus
from edge_etl_operator.policies import absence, late, quorum
from edge_etl_operator.policies.quorum import Tally, Verdict

from tests.support import operator_facts as facts
from tests.support.operator_facts import START, World

GO, MERGE, FEW, ABSENT = (
    *(Verdict.GO_ON, Verdict.AGGREGATE),
    *(Verdict.TOO_MANY_FAILED, Verdict.ABSENCE),
)


@pytest.mark.parametrize(
    ("asked", "nodes", "expected"),
    [
        ("75%", 4, 3), ("75%", 3, 3), ("75%", 5, 4), ("75%", 1000, 750), ("1%", 4, 1),
        ("100%", 7, 7), ("50%", 3, 2), ("33%", 3, 1), (2, 4, 2), (9, 4, 9),
    ],
)  # fmt: skip
def test_how_many_are_needed(asked: int | str, nodes: int, expected: int) -> None:
    assert quorum.needed(asked, nodes) == expected


@pytest.mark.parametrize(
    ("count", "policy", "waited", "expected"),
    [
        # delivered, active, offline, failed; three of four are needed
        (Tally(4, 0, 0, 0), "Skip", False, MERGE),
        (Tally(3, 0, 0, 1), "Skip", False, MERGE),
        (Tally(3, 1, 0, 0), "Skip", False, GO),
        (Tally(2, 0, 0, 2), "Skip", False, FEW),
        # Others go on to their end although it is in vain: what they deliver is kept.
        (Tally(1, 1, 0, 2), "Skip", False, GO),
        (Tally(3, 0, 1, 0), "Skip", False, MERGE),
        (Tally(2, 1, 1, 0), "Skip", False, GO),
        (Tally(2, 0, 2, 0), "Skip", False, GO),
        (Tally(2, 0, 2, 0), "Skip", True, GO),
        (Tally(1, 0, 1, 2), "Skip", False, FEW),
        (Tally(0, 0, 4, 0), "Skip", False, GO),
        (Tally(3, 0, 1, 0), "Wait", False, GO),
        (Tally(3, 0, 1, 0), "Wait", True, MERGE),
        (Tally(2, 0, 2, 0), "Wait", True, GO),
        (Tally(1, 0, 1, 2), "Wait", False, FEW),
        (Tally(3, 0, 1, 0), "Fail", False, ABSENT),
        (Tally(2, 1, 1, 0), "Fail", False, GO),
        (Tally(4, 0, 0, 0), "Fail", False, MERGE),
        (Tally(3, 0, 0, 1), "Fail", False, MERGE),
    ],
)
def test_what_becomes_of_a_run(count: Tally, policy: Any, waited: bool, expected: Verdict) -> None:
    """Peers: aggregation must not wait for all nodes (sedna#459, #161)."""
    assert quorum.decide(count, 3, policy, waited=waited) is expected


@pytest.mark.parametrize(
    ("node", "tolerations", "expected"),
    [
        (None, [], "NodeNotReady"),
        ({"ready": "Unknown"}, [], "NodeNotReady"),
        ({"ready": "False"}, [], "NodeNotReady"),
        ({}, [], None),
        ({"unschedulable": True}, [], "NodeCordoned"),
        ({"taints": [("gpu", "NoSchedule", "")]}, [], "NodeTainted"),
        ({"taints": [("gpu", "NoExecute", "yes")]}, [], "NodeTainted"),
        ({"taints": [("node.kubernetes.io/unreachable", "NoExecute", "")]}, [], "NodeNotReady"),
        ({"taints": [("node.kubernetes.io/disk-pressure", "NoSchedule", "")]}, [], "NodeTainted"),
        ({"taints": [("gpu", "PreferNoSchedule", "")]}, [], None),
        ({"taints": [("gpu", "NoSchedule", "")]}, [{"operator": "Exists"}], None),
        ({"taints": [("gpu", "NoSchedule", "")]}, [{"key": "gpu"}], None),
        ({"taints": [("gpu", "NoSchedule", "a")]}, [{"key": "gpu", "value": "b"}], "NodeTainted"),
        ({"taints": [("gpu", "NoSchedule", "a")]}, [{"key": "gpu", "value": "a"}], None),
        (
            {"taints": [("gpu", "NoExecute", "")]},
            [{"key": "gpu", "effect": "NoSchedule"}],
            "NodeTainted",
        ),
    ],
)
def test_which_nodes_are_absent(
    node: dict[str, Any] | None, tolerations: list[dict[str, Any]], expected: str | None
) -> None:
    known = None
    if node is not None:
        taints = [
            {"key": key, "effect": effect, "value": value}
            for key, effect, value in node.get("taints", [])
        ]
        known = facts.node("pi-1", **{**node, "taints": taints})
    found = absence.closed("pi-1", known, tolerations)
    assert (found.reason.code if found else None) == expected


def state(name: str, phase: Any) -> NodeStatus:
    return NodeStatus(name=name, phase=phase)


@pytest.mark.parametrize(
    ("phases", "expected"),
    [
        (("Succeeded", "Offline"), False),
        (("Succeeded", "Failed"), False),
        (("Succeeded", "Succeeded"), True),
        (("Running", "Succeeded"), False),
        (("Offline", "Succeeded"), True),
    ],
)
def test_when_a_run_is_aggregated_again(phases: tuple[str, str], expected: bool) -> None:
    run = facts.run(nodes=("a", "b"), missing=("b",))
    states = [state(name, phase) for name, phase in zip("ab", phases, strict=True)]
    assert late.delivered(run, states) == expected


@pytest.mark.parametrize(
    ("policy", "succeeded", "changes", "expected"),
    [
        ("Reaggregate", "True", {}, True),
        ("NextRun", "True", {}, False),
        ("Ignore", "True", {}, False),
        ("Reaggregate", "False", {}, False),
        ("Reaggregate", "True", {"suspend": True}, False),
        ("Reaggregate", "True", {"over": False}, False),
    ],
)
def test_which_runs_take_late_nodes_in(
    policy: str, succeeded: str, changes: dict[str, bool], expected: bool
) -> None:
    over = changes.get("over", True)
    run = {"id": "20260301-120000", "startTime": START, "specHash": ""}
    told = {"type": "Succeeded", "status": succeeded, "reason": "", "message": ""}
    status = {
        "run": {**run, **({"completionTime": START} if over else {})},
        "conditions": [{**told, "lastTransitionTime": START}],
    }
    nodes = {"selector": {"matchLabels": {"role": "edge"}}, "lateDataPolicy": policy}
    assert late.completes(facts.job(status, nodes=nodes, suspend="suspend" in changes)) is expected


def test_nodes_that_match_only_now_join_once() -> None:
    run = facts.run(nodes=("a", "b"))
    assert late.joined(run, ("c", "b", "d")) == ("c", "d")


FOUR = ("pi-1", "pi-2", "pi-3", "pi-4")


def four(**asked: Any) -> World:
    nodes = {"selector": {"matchLabels": {"role": "edge"}}, **asked}
    return World(spec=facts.spec(nodes=nodes)).with_nodes(*FOUR)


def published(world: World, rows: int = 97) -> World:
    return world.pod_is(world.driver, "Succeeded", facts.report(rows=rows)).settle()


def _missing(world: World) -> list[str]:
    found: list[str] = world.status["run"].get("missing", [])
    return found


def test_a_power_cut_during_cleaning_does_not_hold_the_run_up() -> None:
    """Peers: unknown is not unhealthy (bacalhau#3944, #3784)."""
    world = four().settle()
    world.pod_is(world.pod_of("pi-4"), "Running")
    world.deliver("pi-1", "pi-2", "pi-3").settle()
    assert world.status["phase"] == "Cleaning"
    world.off("pi-4").settle()
    assert world.status["phase"] == "Aggregating"
    assert world.condition("EdgeComplete") == ("True", "QuorumReached")
    assert "pi-4: NodeNotReady" in world.message("EdgeComplete")
    published(world)
    assert world.status["phase"] == "PartiallySucceeded"
    assert world.status["nodesSummary"] == "3/4"
    assert world.condition("Succeeded") == ("True", "PartiallySucceeded")
    assert "without pi-4 (Offline)" in world.message("Succeeded")
    assert world.condition("Degraded") == ("True", "NodesMissing")
    assert world.status["runs"][0]["missing"] == ["pi-4"]
    # Its pod hangs, and is gone when it is back; it does nothing then.
    assert len(world.jobs) == 4
    assert len(world.back("pi-4").settle().jobs) == 3


def test_a_node_that_is_off_before_the_start_gets_its_job_when_it_is_back() -> None:
    world = four(offlinePolicy="Wait").off("pi-4").settle()
    assert len(world.jobs) == 3
    world.deliver("pi-1", "pi-2", "pi-3").settle()
    assert world.status["nodes"][3]["phase"] == "Offline"
    assert world.status["phase"] == "Cleaning"
    world.after(1100).with_nodes("pi-4").settle()
    assert len(world.jobs) == 4
    world.deliver("pi-4").settle()
    assert world.condition("EdgeComplete") == ("True", "AllNodesDelivered")


def test_wait_ends_with_the_time_that_a_node_may_take() -> None:
    world = four(offlinePolicy="Wait").off("pi-4").settle()
    world.deliver("pi-1", "pi-2", "pi-3").settle()
    decision = world.after(1199).reconcile()
    assert decision.again == pytest.approx(1.01)
    world.after(1).settle()
    assert world.status["phase"] == "Aggregating"


def test_an_absence_can_be_a_failure() -> None:
    world = four(offlinePolicy="Fail").off("pi-4").settle().deliver("pi-1", "pi-2").settle()
    assert world.status["phase"] == "Cleaning"
    world.deliver("pi-3").settle()
    assert world.status["phase"] == "Failed"
    assert world.condition("Succeeded") == ("False", "NodeOffline")
    assert "pi-4" in world.message("Succeeded")


def test_too_few_without_the_absent_ones_wait_until_the_runs_deadline() -> None:
    world = four().off("pi-3", "pi-4").settle().deliver("pi-1", "pi-2").settle()
    assert world.status["phase"] == "Cleaning"
    assert world.condition("EdgeComplete") == ("False", "NodeNotReady")
    world.after(3600).settle()
    assert world.condition("Succeeded") == ("False", "NodeOffline")
    assert "2 of 4 nodes delivered, 2 offline" in world.message("Succeeded")


def test_failed_nodes_can_be_done_without() -> None:
    world = four().settle().deliver("pi-1", "pi-2", "pi-3")
    world.pod_is(world.pod_of("pi-4"), "Failed", "boom", 1)
    world.job_is("pi-4", "Failed", "BackoffLimitExceeded").settle()
    assert world.status["phase"] == "Aggregating"
    published(world)
    assert "without pi-4 (Failed)" in world.message("Succeeded")


def test_fewer_nodes_than_are_needed_do_not_begin() -> None:
    world = four(minSuccess=5).settle()
    assert world.status["phase"] == "Pending"
    assert world.condition("EdgeComplete") == ("False", "TooFewNodes")
    world.with_nodes("pi-5").settle()
    assert world.status["phase"] == "Cleaning"


def test_a_cordoned_node_that_returns_gets_its_pod() -> None:
    """Peers: a cordoned node that returns gets its pod (kruise#1199)."""
    world = four(offlinePolicy="Wait").settle()
    pod = world.pod_of("pi-4")
    drained = {"type": "DisruptionTarget", "status": "True", "message": "drain"}
    world.pod_is(pod, "Failed", code=143, conditions=[drained])
    world.with_nodes(facts.node("pi-4", unschedulable=True)).settle()
    [node] = [each for each in world.status["nodes"] if each["name"] == "pi-4"]
    assert (node["phase"], node["reason"]) == ("Offline", "NodeCordoned")
    world.deliver("pi-1", "pi-2", "pi-3").with_nodes("pi-4").settle()
    world.after(1).deliver("pi-4").settle()
    assert world.condition("EdgeComplete") == ("True", "AllNodesDelivered")


def test_a_pod_that_has_its_place_minds_no_cordon() -> None:
    world = four().settle().deliver("pi-1", "pi-2", "pi-3")
    world.pods[world.pod_of("pi-4")]["spec"]["nodeName"] = "pi-4"
    world.with_nodes(facts.node("pi-4", unschedulable=True)).settle()
    assert world.status["phase"] == "Cleaning"


def test_time_that_passes_while_a_node_is_off_is_not_its_failure() -> None:
    world = four(offlinePolicy="Wait", activeDeadlineSeconds=3000).settle()
    world.pod_is(world.pod_of("pi-4"), "Running").deliver("pi-1", "pi-2", "pi-3")
    world.off("pi-4").settle()
    world.after(1300).job_is("pi-4", "FailureTarget", "DeadlineExceeded").settle()
    assert world.status["nodes"][3]["phase"] == "Offline"
    first = {job["metadata"]["uid"] for job in world.jobs.values()}
    world.with_nodes("pi-4").settle()
    assert len({job["metadata"]["uid"] for job in world.jobs.values()} - first) == 1
    world.deliver("pi-4").settle()
    assert world.condition("EdgeComplete") == ("True", "AllNodesDelivered")


def test_real_failures_count_wherever_the_node_is() -> None:
    world = four().settle().deliver("pi-1", "pi-2", "pi-3")
    world.pod_is(world.pod_of("pi-4"), "Failed", "boom", 1)
    world.job_is("pi-4", "Failed", "BackoffLimitExceeded").off("pi-4").settle()
    assert world.status["nodes"][3]["phase"] == "Failed"


def test_a_late_node_does_not_change_what_is_aggregated() -> None:
    world = four().settle()
    late_pod = world.pod_of("pi-4")
    world.pod_is(late_pod, "Running").deliver("pi-1", "pi-2", "pi-3").off("pi-4")
    kept = dict(world.jobs), dict(world.pods)
    world.reconcile()
    assert _missing(world) == ["pi-4"]
    # It was cut off, delivers all the same, and its Job is still seen.
    world.jobs, world.pods = dict(kept[0]), dict(kept[1])
    world.pod_is(late_pod, "Succeeded", facts.summary("pi-4", f"{late_pod}-uid")).settle()
    assert world.status["nodesSummary"] == "3/4"
    published(world)
    assert world.status["phase"] == "PartiallySucceeded"


def test_reaggregate_completes_the_run_when_the_node_is_back() -> None:
    world = four(lateDataPolicy="Reaggregate").off("pi-4").settle()
    world.deliver("pi-1", "pi-2", "pi-3").settle()
    published(world)
    first = world.run
    assert world.status["phase"] == "PartiallySucceeded"
    world.after(7200).with_nodes("pi-4").settle()
    # What was published stays so while the node cleans.
    assert world.status["phase"] == "PartiallySucceeded"
    assert world.status["nodes"][3]["phase"] == "Pending"
    world.deliver("pi-4").settle()
    assert world.status["phase"] == "Aggregating"
    assert world.driver == f"air-{first}-driver-2"
    published(world, rows=194)
    assert world.status["phase"] == "Succeeded"
    assert (world.run, world.status["nodesSummary"], world.status["rows"]) == (first, "4/4", 194)
    [past] = world.status["runs"]
    assert past["result"] == "Succeeded"


def test_reaggregate_takes_in_a_node_that_joins_later() -> None:
    """Peers: run once on every node, also nodes that join later (kubernetes#36601, #64623)."""
    world = four(lateDataPolicy="Reaggregate").settle().deliver(*FOUR).settle()
    published(world)
    assert world.status["phase"] == "Succeeded"
    world.after(7200).with_nodes("pi-5").settle().deliver("pi-5").settle()
    published(world)
    assert (world.status["phase"], world.status["nodesSummary"]) == ("Succeeded", "5/5")


def test_a_late_node_that_fails_leaves_the_run_as_it_was() -> None:
    world = four(lateDataPolicy="Reaggregate").off("pi-4").settle()
    world.deliver("pi-1", "pi-2", "pi-3").settle()
    published(world).with_nodes("pi-4").settle()
    world.pod_is(world.pod_of("pi-4"), "Failed", "boom", 1)
    world.job_is("pi-4", "Failed", "BackoffLimitExceeded").settle()
    assert world.status["phase"] == "PartiallySucceeded"
    world.jobs.clear()
    world.settle()
    assert world.jobs == {}


def test_by_default_late_nodes_wait_for_the_next_run() -> None:
    world = four().off("pi-4").settle().deliver("pi-1", "pi-2", "pi-3").settle()
    published(world).with_nodes("pi-4", "pi-5").settle()
    assert len(world.jobs) == 3
    world.annotations = {"pi-edge-spark.io/run-now": "1"}
    world.settle()
    assert world.status["run"]["nodes"] == [*FOUR, "pi-5"]


def test_of_several_oddities_the_first_is_the_reason_and_begins_the_message() -> None:
    world = four().settle().with_nodes("pi-5").settle()
    world.deliver(*FOUR, rowsRead=10, rowsRejected=9).settle()
    assert world.condition("Degraded") == ("True", "MostlyRejected")
    told = world.message("Degraded")
    assert told.startswith("Most rows are rejected.")
    assert told.endswith(conditions.NODES_JOINED.remedy)
    assert told.count(conditions.MOSTLY_REJECTED.remedy) == 1


def test_who_joins_during_a_run_is_told() -> None:
    world = four().settle().with_nodes("pi-5").settle()
    assert world.condition("Degraded") == ("True", "NodesJoined")
    assert "pi-5" in world.message("Degraded")


def test_a_suspended_aggregation_goes_on_with_the_same_nodes() -> None:
    world = four().off("pi-4").settle().deliver("pi-1", "pi-2", "pi-3").settle()
    assert world.driver in world.pods
    world.edit(suspend=True).settle()
    assert world.status["phase"] == "Suspended"
    assert world.driver not in world.pods
    world.with_nodes("pi-4").edit(suspend=False).settle()
    published(world)
    assert world.status["phase"] == "PartiallySucceeded"


def test_an_earlier_attempt_that_still_ends_is_waited_for() -> None:
    world = four().settle()
    job = next(iter(world.jobs.values()))
    pod = world.pod_of("pi-1")
    world.pod_is(pod, "Running")
    world.jobs.pop(job["metadata"]["name"])
    world.pods[pod]["metadata"]["deletionTimestamp"] = world.now.isoformat()
    world.settle()
    assert len(world.jobs) == 3
    world.pods.pop(pod)
    world.settle()
    assert len(world.jobs) == 4


def test_a_node_with_too_many_rejected_rows_is_done_without_or_fails_the_run() -> None:
    """A gate of the edge program: the node's rows are not in the results at all."""
    gate = {"quality": {"maxRejectedRatio": "25%"}}
    for rows, phase in ((20, "Aggregating"), (5000, "Failed")):
        world = four().edit(**gate).settle().deliver("pi-1", "pi-2", "pi-3")
        said = facts.summary(
            *("pi-4", "a"),
            succeeded=False,
            reason="TooManyRejected",
            message="bad",
            rowsRead=rows,
            rowsRejected=rows,
        )
        world.pod_is(world.pod_of("pi-4"), "Failed", said, 3)
        world.job_is("pi-4", "Failed", "PodFailurePolicy").settle()
        assert world.status["phase"] == phase
        assert world.status["nodes"][3]["rowsRejected"] == rows
        assert world.status["rowsRead"] == 300 + rows
    assert world.condition("Succeeded") == ("False", "TooManyRejected")
    assert "pi-4 5000" in world.message("Succeeded")


def test_a_node_that_the_aggregation_quarantined_is_missing() -> None:
    world = four().settle().deliver(*FOUR).settle()
    apart = [{"node": "pi-2", "difference": "no column for pm10"}]
    said = facts.report(quarantinedNodes=apart)
    world.pod_is(world.driver, "Succeeded", said).settle()
    assert world.status["phase"] == "PartiallySucceeded"
    assert "without pi-2 (SchemaDrift)" in world.message("Succeeded")
    assert world.condition("Degraded") == ("True", "SchemaDrift")
    assert "pi-2: no column for pm10" in world.message("Degraded")


def test_a_pod_that_hangs_on_a_pi_that_is_off_does_not_hold_the_next_run_up() -> None:
    """Peers: orphaned Terminating pods on nodes that are off (kubeedge#3735)."""
    world = four().settle()
    hanging = world.pod_of("pi-4")
    world.pod_is(hanging, "Running").deliver("pi-1", "pi-2", "pi-3").off("pi-4").settle()
    published(world)
    first = world.run
    assert hanging in world.pods
    world.annotations = {"pi-edge-spark.io/run-now": "1"}
    world.settle()
    assert world.run > first
    assert len([job for job in world.jobs if world.run in job]) == 3
    world.back("pi-4").settle()
    assert hanging not in world.pods
    assert len([job for job in world.jobs if world.run in job]) == 4
