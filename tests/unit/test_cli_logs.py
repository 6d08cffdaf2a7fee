"""What `edge-etl logs` says where there is no pod whose log could be read."""

from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from edge_etl_operator import conditions, status
from edge_etl_operator.api import NodeStatus
from edge_etl_operator.cli import logs
from edge_etl_operator.status import Finding

from tests.support import operator_facts as facts

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DONE = Finding(conditions.EDGE_COMPLETE, "True", conditions.NODES_DELIVERED, "2 of 2")
WORKED = NodeStatus(name="pi-1", phase="Succeeded", reason="NothingNew", start_time=NOW)
OFF = NodeStatus(name="pi-2", phase="Offline", reason="NodeNotReady")


@pytest.mark.parametrize("merging", [False, True])
def test_of_what_never_had_a_pod_it_does_not_say_that_it_is_gone(merging: bool) -> None:
    job, run = facts.job(), facts.run()
    nodes = (WORKED, OFF)
    told = (
        status.failed(
            job, run, nodes,
            Finding(conditions.AGGREGATED, "False", conditions.AGGREGATION_FAILED, "no memory"),
            NOW, edge=DONE,
        )
        if merging
        else status.unchanged(job, run, nodes, DONE, NOW + timedelta(seconds=9), ())
    )  # fmt: skip
    kept = [asdict(each) for each in logs.kept_of_last(msgspec.structs.replace(job, status=told))]
    assert [(each["whose"], each["ran"]) for each in kept] == [
        ("pi-1", True), ("pi-2", False), ("spark", merging),
    ]  # fmt: skip
