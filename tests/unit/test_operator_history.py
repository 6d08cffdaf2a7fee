"""What is kept of a run: nodes that need attention, counts, and the runs that are over."""

from datetime import timedelta

import msgspec
import pytest
from edge_etl_operator import api, history
from edge_etl_operator.api import NodeStatus, Status

from tests.support import operator_facts as facts
from tests.support.operator_facts import World

FINE = {"phase": "Succeeded", "reason": "Delivered"}


def test_a_node_that_waits_without_a_reason_has_a_phase_too() -> None:
    world = World().with_nodes("pi-1").settle()
    assert [node["phase"] for node in world.status["nodes"]] == ["Pending"]
    assert world.status["nodeCounts"] == {"Pending": 1}


def test_up_to_200_nodes_are_all_kept() -> None:
    nodes = tuple(NodeStatus(name=f"pi-{number}") for number in range(200))
    status = Status(nodes=nodes)
    assert history.kept(status) is status


@pytest.mark.parametrize(
    ("fields", "rank"),
    [
        (FINE, 0),
        ({"phase": "Succeeded", "reason": "NothingNew"}, 0),
        ({}, 0),
        ({"phase": "Running"}, 0),
        ({"phase": "Failed", "reason": "OutOfMemory"}, 1),
        ({"reason": "ImageUnavailable"}, 2),
        ({"phase": "Running", "message": "Try 1 failed"}, 2),
        ({"phase": "Succeeded", "reason": "NoFiles"}, 3),
        ({**FINE, "files_quarantined": 1}, 3),
    ],
)
def test_which_of_many_nodes_are_kept(fields: dict[str, str], rank: int) -> None:
    odd = msgspec.structs.replace(NodeStatus(name="pi-odd"), **fields)
    failed = NodeStatus(name="pi-failed", phase="Failed")
    fine = [msgspec.structs.replace(NodeStatus(name=f"pi-{each}"), **FINE) for each in range(300)]
    names = [node.name for node in history.kept(Status(nodes=(odd, *fine, failed))).nodes]
    assert names == {0: ["pi-failed"], 1: ["pi-odd", "pi-failed"]}.get(
        rank, ["pi-failed", "pi-odd"]
    )


def test_a_thousand_nodes_in_trouble_stay_far_below_what_the_datastore_takes() -> None:
    trouble = "x" * 1500
    nodes = tuple(
        NodeStatus(name=f"pi-{number}", phase="Failed", attempt="u" * 36, message=trouble)
        for number in range(1000)
    )
    kept = history.kept(Status(nodes=nodes))
    assert len(kept.nodes) == history.MOST_NODES
    assert len(msgspec.json.encode(api.as_document(kept))) < 500_000


def test_a_run_that_is_over_is_in_the_history_once() -> None:
    world = World().with_nodes("pi-1", "pi-2").settle()
    world.deliver("pi-1", "pi-2").settle()
    world.after(60).pod_is(world.driver, "Succeeded", facts.report()).settle()
    world.settle()
    assert world.status["runs"] == [
        {
            "id": "20260301-120000",
            "result": "Succeeded",
            "reason": "RunSucceeded",
            "startTime": "2026-03-01T12:00:00Z",
            "completionTime": "2026-03-01T12:01:00Z",
            "nodesSummary": "2/2",
            "rowsRead": 200,
            "rowsRejected": 6,
        }
    ]


def test_a_run_that_another_one_replaces_names_the_nodes_that_had_not_delivered() -> None:
    world = World().with_nodes("pi-1", "pi-2").settle()
    world.deliver("pi-1").settle()
    world.after(10).edit(key=["sensor_id"]).settle()
    world.deliver("pi-1", "pi-2").settle()
    world.pod_is(world.driver, "Succeeded", facts.report()).settle()
    last, first = world.status["runs"]
    assert (first["result"], first["missing"]) == ("Replaced", ["pi-2"])
    assert last["result"] == "Succeeded"


def test_the_history_keeps_the_latest_runs() -> None:
    status = Status()
    for day in range(15):
        start = facts.START + timedelta(days=day)
        run = api.Run(id=f"{start:%Y%m%d-%H%M%S}", start_time=start, spec_hash="")
        over = msgspec.structs.replace(run, completion_time=start)
        told = msgspec.structs.replace(status, run=over, phase="Failed")
        status = history.recorded(status, told, start)
    assert [run.id[:8] for run in status.runs] == [f"202603{day:02}" for day in range(15, 5, -1)]
