"""What follows from what doctor's pod saw on a Pi: the cause, and what to do."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from edge_etl_operator.capacity import Capacity, PodUsage
from edge_etl_operator.cli.cluster_view import MachineNode
from edge_etl_operator.cli.doctor import job_checks, node_checks, probe_checks
from edge_etl_operator.cli.doctor.checks import Check, failed
from edge_etl_operator.cli.doctor.probing import Answer, forgotten
from edge_etl_operator.cli.doctor.seen import NodeProbe
from edge_etl_operator.kube import Pod

from tests.support import operator_facts as facts

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
FINE: dict[str, Any] = {
    "kind": "NodeProbe",
    "node": "pi-1",
    "time": NOW.isoformat(),
    "synchronised": True,
    "machine": "aarch64",
    "kernel": "6.12",
    "pageSize": 16384,
    "memoryCgroup": True,
    "memoryBytes": 4 << 30,
    "availableBytes": 3 << 30,
    "disks": [
        {"path": "source", "freeBytes": 9 << 30, "totalBytes": 20 << 30, "readOnly": False},
        {"path": "work", "freeBytes": 9 << 30, "totalBytes": 20 << 30, "readOnly": False},
    ],
    "celsius": 50.0,
    "files": {"count": 3, "bytes": 3000},
    "samples": [],
}
FULL = {"path": "work", "freeBytes": 9 << 20, "totalBytes": 20 << 30, "readOnly": False}
WORN = {"path": "source", "freeBytes": 9 << 30, "totalBytes": 20 << 30, "readOnly": True}


def sample(**over: Any) -> dict[str, Any]:
    return {"file": "a.csv", "modified": NOW.isoformat(), "rowsRead": 10, **over}


def rejected(reason: str, detail: str = "said") -> dict[str, Any]:
    example = {"line": 2, "reason": reason, "detail": detail}
    return sample(rejectedByReason={reason: 8}, examples=[example])


def answer(**over: Any) -> Answer:
    seen = msgspec.convert({**FINE, **over}, NodeProbe)
    return Answer("pi-1", seen, not_before=NOW - timedelta(seconds=2), not_after=NOW)


def checks(**over: Any) -> list[Check]:
    return list(probe_checks.checks(answer(**over), facts.job()))


def test_a_pi_in_order_has_no_odd_check() -> None:
    found = checks(samples=[sample(latest=(NOW - timedelta(minutes=1)).isoformat())])
    assert {check.result for check in found} == {"ok"}
    assert {"machine", "clock", "disk", "files", "sample"} <= {check.name for check in found}


@pytest.mark.parametrize(
    ("over", "name", "message", "remedy"),
    [
        ({"memoryCgroup": False}, "memory cgroup", "off", "cgroup_memory=1 cgroup_enable=memory"),
        ({"time": "2026-11-22T11:00:00Z"}, "clock", "60 min behind the API", "timedatectl"),
        ({"time": "2026-11-22T13:00:00Z"}, "clock", "60 min ahead of the API", "timedatectl"),
        ({"disks": [FULL]}, "disk", "9.0 MiB of 20.0 GiB free", "Free some"),
        ({"disks": [WORN]}, "disk", "it is read-only", "SD card"),
        ({"files": {}}, "files", "no file matches", "spec.source.include"),
        ({"files": {"unreadable": ["b/"]}}, "files", "cannot be read: b/", "chmod"),
        ({"files": {"message": "may not be read"}}, "files", "may not be read", "runAsUser"),
        (
            {"samples": [rejected("invalid_value", "pm10: '4,5' is not a double")]},
            "sample",
            "8 of 10 rows would be rejected: line 2: pm10: '4,5' is not a double",
            "decimal comma: set spec.source.csv.decimal",
        ),
        ({"samples": [rejected("invalid_timestamp")]}, "sample", "8 of 10", "timestamp.formats"),
        (
            {"samples": [sample(latest="2026-11-22T21:00:00Z")]},
            "time zone",
            "9.0 h in the future",
            "spec.schema.timestamp.timeZone",
        ),
        (
            {
                "samples": [
                    sample(
                        reason="missing_column",
                        message="no column for pm10 (P1)",
                        columnsSeen=["timestamp", "sensor_id", "P10"],
                    )
                ]
            },
            "sample",
            "a.csv: no column for pm10",
            "perhaps P10 is meant",
        ),
    ],
)
def test_a_mistake_is_told_with_its_remedy(
    over: dict[str, Any], name: str, message: str, remedy: str
) -> None:
    (wrong,) = (check for check in checks(**over) if check.result == "problem")
    assert wrong.name == name
    assert message in wrong.message
    assert remedy in wrong.remedy


@pytest.mark.parametrize(
    ("over", "message"),
    [
        ({"synchronised": False}, "no time server keeps it so"),
        ({"celsius": 81.0}, "81 °C"),
        ({"throttled": ["under-voltage now"]}, "under-voltage now"),
        ({"pageSize": 65536}, "pages of 64 KiB"),
        ({"samples": [sample(latest="2026-11-22T07:00:30Z")]}, "5.0 h older than the file"),
    ],
)
def test_what_is_odd_is_no_problem(over: dict[str, Any], message: str) -> None:
    found = checks(**over)
    assert not failed(found)
    (odd,) = (check for check in found if check.result == "notice")
    assert message in odd.message
    assert odd.remedy


def test_a_field_that_no_sample_has_is_named_with_the_nearest_column() -> None:
    misspelt = sample(columnsSeen=["timestamp", "sensor_id", "P10"], columnsMissing=["pm10"])
    answers = [answer(samples=[misspelt])]
    (wrong,) = probe_checks.missing_everywhere(answers, facts.job())
    assert "no file has a column for pm10 (looked for P1)" in wrong.message
    assert "write from: [P10]" in wrong.remedy
    one_has_it = [*answers, answer(samples=[sample(columnsSeen=["P1"])])]
    assert list(probe_checks.missing_everywhere(one_has_it, facts.job())) == []


def test_values_that_a_broken_sensor_writes_keep_no_run_from_its_success() -> None:
    (sample,) = (each for each in checks(samples=[rejected("out_of_range")]) if each.remedy)
    assert (sample.name, sample.result) == ("sample", "notice")
    assert "8 of 10 rows would be rejected" in sample.message
    assert "min and max" in sample.remedy


def machine(name: str, architecture: str = "arm64", **labels: str) -> MachineNode:
    document = {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {"memory": "900Mi", "cpu": "4"},
            "nodeInfo": {"architecture": architecture},
        },
    }
    return msgspec.convert(document, MachineNode)


def of_nodes(*machines: MachineNode, **changes: Any) -> list[Check]:
    found = node_checks.checks(facts.job(**changes), machines, facts.SETTINGS)
    return [check for check in found if check.result == "problem"]


def test_a_32_bit_system_and_a_pod_that_fits_nowhere_are_told() -> None:
    (key, value), *_ = facts.job().spec.nodes.selector.match_labels.items()
    pi = machine("pi-1", "arm", **{key: value})
    huge = {"requests": {"memory": "2Gi"}, "limits": {"memory": "2Gi"}}
    small, wide = of_nodes(pi), of_nodes(pi, edge={"resources": huge})
    assert [check.name for check in small] == ["architecture"]
    assert "64-bit" in small[0].remedy
    assert "is 2048 MiB, and the node has 900 MiB" in wide[1].message


def test_a_limit_at_which_the_cleaning_pod_dies_is_told() -> None:
    (key, value), *_ = facts.job().spec.nodes.selector.match_labels.items()
    tiny = {"requests": {"memory": "12Mi"}, "limits": {"memory": "12Mi"}}
    (wrong,) = of_nodes(machine("pi-1", **{key: value}), edge={"resources": tiny})
    assert "limits.memory is 12 MiB" in wrong.message
    assert "64Mi at least" in wrong.remedy


def test_of_a_node_that_was_never_heard_of_only_that_is_told() -> None:
    (key, value), *_ = facts.job().spec.nodes.selector.match_labels.items()
    document = {"metadata": {"name": "pi-9", "labels": {key: value}}}
    (wrong,) = of_nodes(msgspec.convert(document, MachineNode))
    assert wrong.name == "ready"


@pytest.mark.parametrize(
    ("memory", "restarts", "result"),
    [("0", "Always", "ok"), ("800Mi", "Never", "notice"), ("800Mi", "Always", "problem")],
)
def test_room_that_comes_back_by_itself_is_no_problem(
    memory: str, restarts: str, result: str
) -> None:
    document = {
        "spec": {
            "nodeName": "pi-1",
            "restartPolicy": restarts,
            "containers": [{"resources": {"requests": {"memory": memory}}}],
        },
        "status": {"phase": "Running"},
    }
    seen = Capacity((msgspec.convert(document, PodUsage),))
    found = job_checks.room_for_spark(facts.job(), facts.SETTINGS, seen, [machine("pi-1")])
    assert found.result == result


@pytest.mark.parametrize(
    ("phase", "age", "expected"),
    [
        ("Succeeded", timedelta(seconds=1), False),
        ("Failed", timedelta(minutes=9), False),
        ("Running", timedelta(hours=1), False),
        ("Succeeded", timedelta(minutes=11), True),
        ("Failed", timedelta(days=1), True),
    ],
)
def test_a_pod_of_a_doctor_that_is_at_work_is_left_alone(
    phase: str, age: timedelta, expected: bool
) -> None:
    document = {
        "metadata": {"name": "edge-etl-doctor-1", "creationTimestamp": (NOW - age).isoformat()},
        "status": {"phase": phase},
    }
    assert forgotten(msgspec.convert(document, Pod, strict=False), NOW) is expected
