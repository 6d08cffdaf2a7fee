"""How soon a change is answered: the last node at once, the many before it together."""

import math
from random import Random
from typing import Any

import msgspec
import pytest
from edge_etl_operator import names
from edge_etl_operator.kube import Job, Pod
from edge_etl_operator.patience import AT_ONCE, END, FEW, PROGRESS, Patience, weight
from hypothesis import given
from hypothesis import strategies as st

EDGE = {names.STAGE: names.EDGE}
DRIVER = {names.STAGE: names.AGGREGATE}
LEAVES: dict[str, Any] = {"deletionTimestamp": "2026-03-01T12:00:00Z"}


def pod(phase: str, labels: dict[str, str] = EDGE, **metadata: Any) -> Pod:
    about = {"name": "p", "uid": "u", "labels": labels, **metadata}
    return msgspec.convert({"metadata": about, "status": {"phase": phase}}, Pod)


def job(condition: str = "", **metadata: Any) -> Job:
    about = {"name": "j", "uid": "u", "labels": EDGE, **metadata}
    told = [{"type": condition, "status": "True"}] if condition else []
    return msgspec.convert({"metadata": about, "status": {"conditions": told}}, Job)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (None, None, None),
        (None, pod("Pending"), PROGRESS),
        (pod("Pending"), pod("Running"), PROGRESS),
        (pod("Running"), pod("Running", resourceVersion="2"), None),
        (pod("Running"), pod("Running", uid="another"), PROGRESS),
        (pod("Running"), pod("Succeeded"), END),
        (pod("Succeeded"), pod("Succeeded", resourceVersion="2"), None),
        (pod("Running"), pod("Failed"), AT_ONCE),
        (None, pod("Failed"), AT_ONCE),
        (pod("Running"), pod("Running", **LEAVES), AT_ONCE),
        (pod("Running"), None, AT_ONCE),
        (pod("Succeeded"), pod("Succeeded", **LEAVES), PROGRESS),
        (pod("Failed"), None, PROGRESS),
        (pod("Pending", DRIVER), pod("Running", DRIVER), AT_ONCE),
        (pod("Running", DRIVER), pod("Running", DRIVER, resourceVersion="2"), None),
        (None, job(), PROGRESS),
        (job(), job(resourceVersion="2"), None),
        (job(), job("Complete"), PROGRESS),
        (job(), job("FailureTarget"), AT_ONCE),
        (job("FailureTarget"), job("Failed"), PROGRESS),
        (job(), job(**LEAVES), AT_ONCE),
        (job(), None, AT_ONCE),
        (job("Complete"), None, PROGRESS),
    ],
)
def test_how_much_a_change_matters(
    before: Job | Pod | None, now: Job | Pod | None, expected: int | None
) -> None:
    assert weight(before, now) == expected


@pytest.mark.parametrize("at_work", [1, FEW])
def test_of_few_nodes_at_work_every_change_is_answered(at_work: int) -> None:
    patience: Patience[str] = Patience()
    patience.saw("a", at_work)
    assert patience.enough("a", PROGRESS)
    assert not patience.due("a")


@pytest.mark.parametrize(
    ("at_work", "change", "answered"),
    [
        (0, PROGRESS, False),  # a Job's controller that comes late, when the run is over
        (0, END, True),
        (0, AT_ONCE, True),
        (FEW + 1, PROGRESS, False),
        (1000, END, False),
        (1000, AT_ONCE, True),
    ],
)
def test_otherwise_what_changed_decides(at_work: int, change: int, answered: bool) -> None:
    patience: Patience[str] = Patience()
    patience.saw("a", at_work)
    assert patience.enough("a", change) is answered
    assert not patience.enough("b", PROGRESS)
    patience.forget("a")
    assert not patience.due("a")


@given(st.integers(1, 2000), st.randoms(use_true_random=False))
def test_the_last_end_never_waits_and_looks_are_few(nodes: int, chance: Random) -> None:
    """However many end between the rings, and during a look."""
    patience: Patience[str] = Patience()
    patience.saw("a", nodes)
    left, looks = nodes, 0
    while left:
        ended = min(left, chance.randint(1, 100))
        left -= ended
        if not patience.enough("a", ended * END):
            continue
        while True:
            patience.looks("a")
            looks, seen = looks + 1, left
            during = min(left, chance.randint(0, 30))
            left -= during
            patience.enough("a", during * END)
            patience.saw("a", seen)
            if not patience.due("a"):
                break
    assert seen == 0
    assert looks <= FEW + 2 + 4 * math.log(nodes + 1)
