"""The decision, step by step, over facts: what is created, what is said, when a run ends."""

from typing import Any

import pytest
from edge_etl_operator.policies.spark_size import CLUSTER_BYTES

from tests.support import operator_facts as facts
from tests.support.operator_facts import World


def started(*nodes: str) -> World:
    return World().with_nodes(*(nodes or ("pi-1", "pi-2"))).settle()


def test_a_runs_id_is_written_before_anything_is_created() -> None:
    world = World().with_nodes("pi-1")
    decision = world.decide()
    assert decision.actions == ()
    assert decision.status.run is not None
    assert decision.status.run.id == "20260301-120000"
    assert decision.status.run.nodes == ("pi-1",)


def test_a_whole_run() -> None:
    """Peers: a JVM for each submission (KF#2337, #1138, #2972), 14 writes by the operator."""
    world = started("pi-1", "pi-2")
    assert world.created[0] == "ConfigMap/air-20260301-120000-edge"
    assert len(world.jobs) == 2
    assert world.status["phase"] == "Cleaning"
    world.deliver("pi-1").settle()
    assert world.status["nodesSummary"] == "1/2"
    assert world.driver not in world.pods
    world.deliver("pi-2").settle()
    assert world.status["phase"] == "Aggregating"
    assert world.condition("EdgeComplete") == ("True", "AllNodesDelivered")
    world.pod_is(world.driver, "Succeeded", facts.report()).settle()
    assert world.status["phase"] == "Succeeded"
    assert world.status["rows"] == 97
    assert world.status["rejectedRatio"] == "3.0%"
    assert "completionTime" in world.status["run"]
    kinds = [each.split("/")[0] for each in world.created]
    assert kinds == ["ConfigMap", "Job", "Job", "ConfigMap", "Pod"]
    assert world.writes <= 7


def test_the_nodes_of_a_run_are_those_of_its_start() -> None:
    world = started("pi-1").with_nodes("pi-2").settle()
    assert len(world.jobs) == 1
    assert world.status["run"]["nodes"] == ["pi-1"]


def test_a_runs_id_is_after_the_last_one_even_when_the_clock_goes_back() -> None:
    world = started("pi-1").after(-3600).edit(key=["sensor_id"]).settle()
    assert world.run > "20260301-120000"


def test_when_a_node_fails_the_others_go_on_and_then_the_run_fails() -> None:
    world = started("pi-1", "pi-2")
    pod = world.pod_of("pi-1")
    said = facts.summary("pi-1", "a", succeeded=False, reason="StateCorrupt", message="damaged")
    world.pod_is(pod, "Failed", said, 1).job_is("pi-1", "Failed", "BackoffLimitExceeded").settle()
    assert world.status["phase"] == "Cleaning"
    assert world.condition("EdgeComplete") == ("False", "NodeFailed")
    assert "pi-1: StateCorrupt: damaged" in world.message("EdgeComplete")
    world.deliver("pi-2").settle()
    assert world.status["phase"] == "Failed"
    assert world.condition("Succeeded") == ("False", "NodeFailed")
    assert world.driver not in world.pods
    assert len(world.jobs) == 2


def test_a_job_that_is_failing_counts_although_its_pod_never_goes() -> None:
    """Peers: orphaned Terminating pods on nodes that are off (kubeedge#3735)."""
    world = started("pi-1")
    world.pod_of("pi-1")
    world.job_is("pi-1", "FailureTarget", "DeadlineExceeded").settle()
    assert world.status["phase"] == "Failed"


def test_a_failed_try_is_told_while_the_next_one_runs() -> None:
    world = started("pi-1")
    world.pod_is(world.pod_of("pi-1"), "Failed", "boom", 1)
    world.after(1).pod_is(world.pod_of("pi-1"), "Running").settle()
    [node] = world.status["nodes"]
    assert node["phase"] == "Running"
    assert "Try 1 failed (ContainerFailed)" in node["message"]


def test_a_node_that_went_off_is_named() -> None:
    world = started("pi-1")
    world.pod_is(world.pod_of("pi-1"), "Running").settle()
    world.nodes.clear()
    world.settle()
    assert world.condition("EdgeComplete") == ("False", "NodeNotReady")


def test_a_delivery_whose_pod_is_gone_is_asked_for_again() -> None:
    world = started("pi-1")
    first = next(iter(world.jobs.values()))["metadata"]["uid"]
    world.job_is("pi-1", "Complete").settle()
    assert next(iter(world.jobs.values()))["metadata"]["uid"] != first


def test_a_delivery_that_the_status_knows_needs_no_pod_any_more() -> None:
    world = started("pi-1", "pi-2").deliver("pi-1").settle()
    world.pods.clear()
    world.jobs.clear()
    world.settle()
    assert world.status["nodes"][0]["phase"] == "Succeeded"
    assert len(world.jobs) == 1


def test_a_program_without_a_summary_is_not_ours() -> None:
    world = started("pi-1")
    world.pod_is(world.pod_of("pi-1"), "Succeeded", "hello").job_is("pi-1", "Complete").settle()
    assert world.status["nodes"][0]["reason"] == "NoSummary"
    assert world.status["phase"] == "Failed"


def test_the_deadline_of_the_run_names_what_was_waited_for_and_stops_it() -> None:
    world = started("pi-1", "pi-2").deliver("pi-2")
    condition = {"type": "PodScheduled", "status": "False", "message": "no room"}
    world.pod_of("pi-1", conditions=[condition])
    world.settle().after(3600).reconcile()
    assert world.condition("Succeeded") == ("False", "RunDeadlineExceeded")
    assert "no room" in world.message("Succeeded")
    world.settle()
    assert [job["metadata"]["annotations"] for job in world.jobs.values()] == [
        {"pi-edge-spark.io/node": "pi-2"}
    ]


def test_the_driver_is_made_again_when_it_was_ended_from_outside_but_not_when_it_failed() -> None:
    world = started("pi-1").deliver("pi-1").settle()
    drained = {"type": "DisruptionTarget", "status": "True", "message": "drain"}
    world.pod_is(world.driver, "Failed", code=143, conditions=[drained]).settle()
    assert world.pods[world.driver]["status"]["phase"] == "Pending"
    power_cut = 255
    world.pod_is(world.driver, "Failed", code=power_cut).settle()
    assert world.pods[world.driver]["status"]["phase"] == "Pending"
    said = facts.report(succeeded=False, reason="DiskFull", message="no space")
    world.pod_is(world.driver, "Failed", said, 1).settle()
    assert world.condition("Aggregated") == ("False", "AggregationFailed")
    assert "DiskFull: no space" in world.message("Aggregated")


@pytest.mark.parametrize(
    ("results", "size", "executors"),
    [
        ({"volumeClaim": {"name": "shared"}}, CLUSTER_BYTES, True),
        ({"s3": {"bucket": "readings", "secretRef": {"name": "key"}}}, CLUSTER_BYTES, True),
        ({"s3": {"bucket": "readings", "secretRef": {"name": "key"}}}, CLUSTER_BYTES - 1, False),
    ],
)
def test_large_deliveries_get_executors(
    results: dict[str, Any], size: int, *, executors: bool
) -> None:
    world = World(facts.spec(results=results)).with_nodes("pi-1").settle()
    world.deliver("pi-1", bytesWritten=size).settle()
    # Only a driver that makes executors talks to the API server.
    assert world.pods[world.driver]["spec"]["automountServiceAccountToken"] is executors


def test_executors_that_cannot_be_placed_are_told() -> None:
    """Peers: all drivers and no executors, a deadlock on small clusters (KF#594, #883, #1757)."""
    world = started("pi-1").deliver("pi-1").settle()
    world.pod_is(world.driver, "Running")
    condition = {"type": "PodScheduled", "status": "False", "message": "Insufficient memory"}
    world.pods["exec-1"] = {
        "metadata": {
            "name": "exec-1",
            "ownerReferences": [{"uid": world.pods[world.driver]["metadata"]["uid"]}],
        },
        "status": {"phase": "Pending", "conditions": [condition]},
    }
    decision = world.reconcile()
    assert world.condition("Aggregated") == ("False", "Unschedulable")
    assert decision.again == 5.0


def test_an_edit_in_the_middle_stops_the_old_pods_before_the_new_run() -> None:
    world = started("pi-1")
    first = world.run
    pod = world.pod_of("pi-1")
    world.pod_is(pod, "Running").edit(key=["sensor_id"])
    leaving = dict(world.pods[pod])
    world.reconcile()
    assert world.jobs == {}
    # Its pod takes the time that it was given to end.
    world.pods[pod] = {
        **leaving,
        "metadata": {**leaving["metadata"], "deletionTimestamp": world.now.isoformat()},
    }
    world.settle()
    assert world.run == first
    assert world.condition("EdgeComplete") == ("False", "StoppingEarlierRun")
    # On a node that is off it never ends.
    world.after(31).settle()
    assert world.run > first
    assert len(world.jobs) == 1


def test_a_spec_that_becomes_what_it_was_runs_again() -> None:
    world = started("pi-1").deliver("pi-1").settle()
    world.pod_is(world.driver, "Succeeded", facts.report()).settle()
    first = world.run
    world.edit(source={"name": "other"}).settle()
    assert world.condition("Accepted") == ("False", "SourceNotAllowed")
    assert world.status["phase"] == "Failed"
    world.edit(source={"name": "sensors"}).settle()
    assert world.run > first
    assert world.condition("Accepted") == ("True", "Valid")


def test_without_nodes_nothing_runs_until_one_matches() -> None:
    world = World().with_nodes(facts.node("pi-1", unschedulable=True)).settle()
    assert world.status["phase"] == "Pending"
    assert world.condition("EdgeComplete") == ("False", "NoMatchingNode")
    assert "run" not in world.status
    world.with_nodes("pi-2").settle()
    assert world.status["run"]["nodes"] == ["pi-2"]
    assert world.condition("Degraded") == ("True", "NodesCordoned")


def test_transition_times_change_only_with_the_status() -> None:
    world = started("pi-1", "pi-2")
    before = world.job.status.condition("EdgeComplete")
    world.after(60).deliver("pi-1").settle()
    after = world.job.status.condition("EdgeComplete")
    assert before is not None
    assert after is not None
    assert after.message != before.message
    assert after.last_transition_time == before.last_transition_time
    world.after(60).deliver("pi-2").settle()
    done = world.job.status.condition("EdgeComplete")
    assert done is not None
    assert done.last_transition_time == world.now


def published(world: World) -> World:
    """Let both nodes deliver rows, and the driver publish them."""
    world.deliver("pi-1", "pi-2").settle()
    return world.pod_is(world.driver, "Succeeded", facts.report()).settle()


NOTHING = {"rowsRead": 0, "rowsClean": 0, "rowsRejected": 0, "reason": "NothingNew"}


def asked_again(world: World) -> World:
    world.annotations = {"pi-edge-spark.io/run-now": world.run}
    return world.after(60).settle()


def test_a_run_with_nothing_new_starts_no_spark_and_says_so() -> None:
    world = asked_again(published(started()))
    first = world.run
    world.deliver("pi-1", **NOTHING).settle()
    assert world.status["phase"] == "Cleaning"
    world.deliver("pi-2", **NOTHING).settle()
    assert world.driver not in world.pods
    assert world.status["phase"] == "Succeeded"
    assert world.condition("Aggregated") == ("True", "NothingNew")
    assert "with 97 rows" in world.message("Succeeded")
    assert (world.status["run"]["id"], world.status["rows"]) == (first, 97)
    # After it, the next one need not look either.
    asked_again(world).deliver("pi-1", "pi-2", **NOTHING).settle()
    assert world.status["phase"] == "Succeeded"
    assert len([name for name in world.created if "driver" in name and "Pod" in name]) == 1


def test_spark_looks_where_something_may_wait_to_be_merged() -> None:
    one_has_rows = asked_again(published(started()))
    one_has_rows.deliver("pi-1", **NOTHING).deliver("pi-2").settle()
    assert one_has_rows.driver in one_has_rows.pods
    one_is_refused = asked_again(published(started())).deliver("pi-1", **NOTHING)
    one_is_refused.deliver("pi-2", rowsRead=3, rowsClean=0, rowsRejected=3).settle()
    assert one_is_refused.driver in one_is_refused.pods
    first_run = started().deliver("pi-1", "pi-2", **NOTHING).settle()
    assert first_run.driver in first_run.pods

    after_a_failure = started().deliver("pi-1", "pi-2").settle()
    said = facts.report(succeeded=False, reason="DiskFull", message="no space")
    after_a_failure.pod_is(after_a_failure.driver, "Failed", said, 1).settle()
    asked_again(after_a_failure).deliver("pi-1", "pi-2", **NOTHING).settle()
    assert after_a_failure.driver in after_a_failure.pods

    differing = started().deliver("pi-1", "pi-2").settle()
    apart = facts.report(quarantinedNodes=[{"node": "pi-2", "difference": "no pm10"}])
    differing.pod_is(differing.driver, "Succeeded", apart).settle()
    asked_again(differing).deliver("pi-1", "pi-2", **NOTHING).settle()
    assert differing.driver in differing.pods

    application = {"configMap": {"name": "mine", "key": "own.py"}}
    own = World(facts.spec(aggregate={"application": application})).with_nodes("pi-1", "pi-2")
    asked_again(published(own.settle())).deliver("pi-1", "pi-2", **NOTHING).settle()
    assert own.driver in own.pods
