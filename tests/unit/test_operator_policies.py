"""Each policy as a table: what is so, what follows."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from edge_etl_operator import api, conditions
from edge_etl_operator.api import NodeStatus, Selector
from edge_etl_operator.policies import acceptance, deadlines, nodes, quality, trigger
from edge_etl_operator.policies.schedule import Agenda
from edge_etl_operator.policies.trigger import Trigger
from edge_etl_operator.settings import Landing

from tests.support import operator_facts as facts

ELSEWHERE = Landing(namespace="other", url="http://landing:8080", claim="results")


@pytest.mark.parametrize(
    ("changes", "settings", "reason"),
    [
        ({}, {}, None),
        ({"source": {"name": "other"}}, {}, "SourceNotAllowed"),
        ({}, {"landing": None}, "LandingUnavailable"),
        ({}, {"landing": ELSEWHERE}, "LandingUnavailable"),
        ({"results": {"volumeClaim": {"name": "nfs"}}}, {"landing": None}, None),
        (
            {"results": {"s3": {"bucket": "readings", "secretRef": {"name": "key"}}}},
            {"landing": None},
            None,
        ),
    ],
)
def test_which_jobs_are_accepted(
    changes: dict[str, Any], settings: dict[str, Any], reason: str | None
) -> None:
    chosen = msgspec.structs.replace(facts.SETTINGS, **settings)
    refusal = acceptance.refusal(facts.job(**changes), chosen)
    assert (refusal[0].code if refusal else None) == reason


OTHER_WHAT = {"source": {"name": "sensors", "include": ["*.csv"]}}
OTHER_POLICY = {
    "nodes": {"selector": {"matchLabels": {"role": "edge"}}, "minSuccess": 1},
}
OTHER_HOW = {"aggregate": {"driver": {"memory": "2g"}}}


@pytest.mark.parametrize(
    ("ended", "succeeded", "changes", "expected"),
    [
        (False, "Unknown", OTHER_POLICY, Trigger.CONTINUE),
        (True, "True", OTHER_POLICY, Trigger.REST),
        (True, "False", OTHER_POLICY, Trigger.START),
        (False, "Unknown", {}, Trigger.CONTINUE),
        (False, "Unknown", OTHER_WHAT, Trigger.START),
        (False, "Unknown", OTHER_HOW, Trigger.START),
        (False, "Unknown", {"activeDeadlineSeconds": 60}, Trigger.CONTINUE),
        (True, "True", {}, Trigger.REST),
        (True, "True", OTHER_WHAT, Trigger.START),
        (True, "True", OTHER_HOW, Trigger.REST),
        (True, "False", {}, Trigger.REST),
        (True, "False", {"activeDeadlineSeconds": 60}, Trigger.START),
        (True, "False", OTHER_WHAT, Trigger.START),
        (True, "False", OTHER_HOW, Trigger.START),
    ],
)
def test_when_a_run_begins(
    ended: bool, succeeded: str, changes: dict[str, Any], expected: Trigger
) -> None:
    before = facts.job().spec
    run = {
        "id": "20260301-120000",
        "startTime": facts.START,
        "specHash": before.hash,
        "settingsHash": before.settings_hash,
        "policyHash": before.policy_hash,
        **({"completionTime": facts.START} if ended else {}),
    }
    condition = {
        "type": "Succeeded",
        "status": succeeded,
        "reason": "Any",
        "message": "",
        "lastTransitionTime": facts.START,
    }
    status = {"run": run, "conditions": [condition]}
    assert trigger.decide(facts.job(status, **changes), Agenda()) == expected


def test_the_first_run_begins_at_once() -> None:
    assert trigger.decide(facts.job(), Agenda()) == Trigger.START


def test_a_default_that_is_written_out_is_the_same_spec() -> None:
    written = {"window": "1h", "groupBy": [], "statistics": list(api.Features().statistics)}
    assert facts.job(features=written).spec.hash == facts.job().spec.hash


def test_a_spec_keeps_its_hashes_over_upgrades() -> None:
    """Pinned: a field that a later version adds must not run every job again."""
    spec = facts.job().spec
    assert (spec.hash, spec.settings_hash) == ("78438331a3ac", "6cba98d57040")


LABELS = {"role": "edge", "arch": "arm64", "empty": ""}


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, True),
        ({"matchLabels": {"role": "edge"}}, True),
        ({"matchLabels": {"role": "edge", "arch": "amd64"}}, False),
        ({"matchLabels": {"absent": ""}}, False),
        ({"matchLabels": {"empty": ""}}, True),
        ({"matchExpressions": [("arch", "In", ["arm64", "arm"])]}, True),
        ({"matchExpressions": [("absent", "In", ["x"])]}, False),
        ({"matchExpressions": [("arch", "NotIn", ["arm64"])]}, False),
        ({"matchExpressions": [("absent", "NotIn", ["x"])]}, True),
        ({"matchExpressions": [("arch", "Exists", [])]}, True),
        ({"matchExpressions": [("absent", "Exists", [])]}, False),
        ({"matchExpressions": [("absent", "DoesNotExist", [])]}, True),
        ({"matchExpressions": [("arch", "Exists", []), ("role", "NotIn", ["edge"])]}, False),
    ],
)
def test_selectors_mean_what_they_mean_to_kubernetes(
    selector: dict[str, Any], expected: bool
) -> None:
    expressions = [
        {"key": key, "operator": operator, "values": values}
        for key, operator, values in selector.get("matchExpressions", [])
    ]
    parsed = msgspec.convert({**selector, "matchExpressions": expressions}, Selector)
    assert nodes.matches(parsed, LABELS) == expected


def test_cordoned_and_tainted_nodes_are_left_out_and_named() -> None:
    known = [facts.node("b"), facts.node("a"), facts.node("c", unschedulable=True)]
    known.append(facts.node("z", labels={"role": "server"}))
    known.append(facts.node("t", taints=[{"key": "gpu", "effect": "NoSchedule"}]))
    off = {"key": "node.kubernetes.io/unreachable", "effect": "NoExecute"}
    known.append(facts.node("u", taints=[off]))
    selector = facts.job().spec.nodes.selector
    choice = nodes.choose(selector, known)
    assert choice == nodes.Choice(chosen=("a", "b", "u"), cordoned=("c",), tainted=("t",))
    tolerant = nodes.choose(selector, known, [{"key": "gpu", "operator": "Exists"}])
    assert tolerant.chosen == ("a", "b", "t", "u")


def test_a_selector_is_described_as_kubectl_takes_it() -> None:
    expressions = [
        {"key": "arch", "operator": "In", "values": ["arm", "arm64"]},
        {"key": "old", "operator": "DoesNotExist"},
    ]
    selector = {"matchLabels": {"role": "edge"}, "matchExpressions": expressions}
    text = nodes.described(msgspec.convert(selector, Selector))
    assert text == "role=edge,arch in (arm,arm64),!old"


@pytest.mark.parametrize(
    ("passed", "waits", "expected"),
    [(0, False, 60.0), (0, True, 5.0), (3598, True, 2.1), (3599.9, False, 0.5), (9999, True, 0.5)],
)
def test_when_to_look_again(passed: float, waits: bool, expected: float) -> None:
    """Peers: a missing image or claim without a word for 25 minutes."""
    job = facts.job()
    run = api.Run(id="r", start_time=facts.START, spec_hash="")
    now = facts.START + timedelta(seconds=passed)
    assert deadlines.look_again(job, run, now, waits=waits) == pytest.approx(expected)
    assert deadlines.seconds_left(job, run, now) == max(1, int(3600 - passed))


NO_FILES: dict[str, Any] = {"files_read": 0, "reason": "NoFiles"}


def delivered(name: str, **changes: Any) -> NodeStatus:
    full: dict[str, Any] = {"files_read": 1, "columns_seen": ("P2",), **changes}
    return NodeStatus(name=name, phase="Succeeded", **full)


EARLY = {"timestamp_in_future": 7}


@pytest.mark.parametrize(
    ("states", "left_out", "expected"),
    [
        ([delivered("a"), delivered("b")], {}, []),
        ([delivered("a", columns_missing=("pm10",)), delivered("b")], {}, []),
        ([delivered("a", columns_missing=("pm10",))] * 2, {}, ["FieldNotFound"]),
        (
            [delivered("a", columns_missing=("pm10",)), delivered("b", **NO_FILES)],
            {},
            ["FieldNotFound", "NoFiles"],
        ),
        ([delivered("a", **NO_FILES)], {}, ["NoFiles"]),
        ([delivered("a", files_read=0, reason="NothingNew")], {}, []),
        ([delivered("a", files_read=0, files_quarantined=2)], {}, ["FilesQuarantined"]),
        ([delivered("a", rows_read=10, rows_rejected=4)], {}, []),
        ([delivered("a", rows_read=10, rows_rejected=5)], {}, ["MostlyRejected"]),
        (
            [delivered("a", rows_read=9, rejected_by_reason=EARLY)],
            {},
            ["TimesInFuture"],
        ),
        (
            [delivered("a", rows_read=9, rows_rejected=9, rejected_by_reason=EARLY)],
            {},
            ["TimesInFuture"],
        ),
        (
            [delivered("a", rows_read=9, rows_rejected=9, columns_missing=("pm10",))],
            {},
            ["MostlyRejected", "FieldNotFound"],
        ),
        ([NodeStatus(name="a", phase="Running")], {"cordoned": ("c",)}, ["NodesCordoned"]),
        ([delivered("a")], {"tainted": ("c",), "chosen": ("d",)}, ["NodesTainted", "NodesJoined"]),
        ([delivered("a"), NodeStatus(name="b", phase="Offline")], {}, ["NodesMissing"]),
        ([delivered("a"), NodeStatus(name="b", phase="Failed")], {}, ["NodesMissing"]),
    ],
)
def test_what_is_odd(
    states: list[NodeStatus], left_out: dict[str, tuple[str, ...]], expected: list[str]
) -> None:
    found = quality.oddities(facts.job(), states, nodes.Choice(**{"chosen": (), **left_out}))
    assert [reason.code for reason, _ in found] == expected


@pytest.mark.parametrize(
    ("limit", "rows", "refused"),
    [
        (None, [(100, 100)], False),
        ("25%", [(100, 25), (100, 25)], False),
        ("25%", [(100, 100), (100, 0), (100, 0), (100, 0)], False),
        ("25%", [(101, 101), (100, 0), (100, 0), (100, 0)], True),
        ("25%", [(0, 0)], False),
    ],
)
def test_a_run_with_too_many_rejected_rows_is_refused(
    limit: str | None, rows: list[tuple[int, int]], refused: bool
) -> None:
    job = facts.job(**({"quality": {"maxRejectedRatio": limit}} if limit else {}))
    states = [
        NodeStatus(name=f"pi-{number}", rows_read=read, rows_rejected=rejected)
        for number, (read, rejected) in enumerate(rows)
    ]
    assert (quality.refusal(job, states) is not None) == refused


def test_a_missing_field_is_told_with_the_columns_seen() -> None:
    [(_, fact)] = quality.oddities(
        facts.job(), [delivered("a", columns_missing=("pm10",))], nodes.Choice(())
    )
    assert "field pm10 (column P1)" in fact
    assert "P2" in fact


def test_every_reason_has_a_code_of_its_own() -> None:
    reasons = [value for value in vars(conditions).values() if isinstance(value, conditions.Reason)]
    assert len({reason.code for reason in reasons}) == len(reasons)
    assert all(reason.code.isalnum() for reason in reasons)
