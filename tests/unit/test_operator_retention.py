"""What runs leave is kept for a while, of the latest ones only; data is never deleted."""

from datetime import timedelta
from typing import Any

import pytest
from edge_etl_operator.policies import retention

from tests.support import operator_facts as facts
from tests.support.operator_facts import World

S, P, F, R = "Succeeded", "PartiallySucceeded", "Failed", "Replaced"


@pytest.mark.parametrize(
    ("results", "spec", "expected"),
    [
        # The results of runs that ended 0, 1, 2, … hours ago, and which of them are kept.
        ([S, S, S, S, S], {}, [0, 1, 2]),
        ([F, S, F, P, R, S, F], {}, [0, 1, 2, 3, 4, 5]),
        ([S, P, S], {"successfulRunsHistoryLimit": 1}, [0]),
        ([S, F, F], {"failedRunsHistoryLimit": 0}, [0]),
        ([S, S], {"successfulRunsHistoryLimit": 0}, []),
        ([S, S, S], {"ttlSecondsAfterFinished": 3600}, [0]),
        ([S, F], {"ttlSecondsAfterFinished": 0}, []),
        ([S] * 9, {"ttlSecondsAfterFinished": None, "successfulRunsHistoryLimit": 9}, [*range(9)]),
    ],
)
def test_which_runs_keep_their_objects(
    results: list[str], spec: dict[str, Any], expected: list[int]
) -> None:
    """Peers: TTL not honoured (KF#1761); driver logs lost (KF#1361, #2280, #196)."""
    ended = [facts.START - timedelta(hours=hours) for hours in range(len(results))]
    past = [
        {"id": f"run-{number}", "result": result, "startTime": when, "completionTime": when}
        for number, (result, when) in enumerate(zip(results, ended, strict=True))
    ]
    job = facts.job({"runs": past}, **spec)
    kept = retention.kept(job, facts.START)
    assert sorted(kept.runs) == [f"run-{number}" for number in expected]
    if expected and job.spec.ttl_seconds_after_finished is not None:
        last = ended[expected[-1]]
        assert kept.until == last + timedelta(seconds=job.spec.ttl_seconds_after_finished)
    else:
        assert kept.until is None


def run_again(world: World, request: str) -> None:
    world.annotations = {"pi-edge-spark.io/run-now": request}
    world.after(60).settle().deliver("pi-1").settle()
    world.pod_is(world.driver, "Succeeded", facts.report()).settle()


def test_objects_go_with_the_limit_and_with_time() -> None:
    """Peers: a finished job is shown as ResourceReleased (AP)."""
    world = World().with_nodes("pi-1").edit(successfulRunsHistoryLimit=2)
    for request in "1234":
        run_again(world, request)
    assert len({name.split("-edge")[0] for name in world.configs if name.endswith("-edge")}) == 2
    assert (len(world.jobs), len(world.pods), len(world.configs)) == (2, 4, 4)
    assert len(world.status["runs"]) == 4
    decision = world.reconcile()
    assert decision.again == 3600
    world.after(86400 - 60).settle()
    assert len(world.jobs) == 1
    world.after(60).settle()
    assert (world.jobs, world.pods, world.configs) == ({}, {}, set())
    # At rest nothing more is done, and nothing runs again.
    assert world.reconcile().again is None
    assert world.status["phase"] == "Succeeded"


def test_a_run_that_waits_for_late_nodes_keeps_its_objects() -> None:
    nodes = {"selector": {"matchLabels": {"role": "edge"}}, "minSuccess": 1}
    nodes["lateDataPolicy"] = "Reaggregate"
    world = World(spec=facts.spec(nodes=nodes)).with_nodes("pi-1").off("pi-2").settle()
    world.deliver("pi-1").settle()
    world.pod_is(world.driver, "Succeeded", facts.report()).settle()
    world.after(10 * 86400).settle()
    assert len(world.jobs) == 1
