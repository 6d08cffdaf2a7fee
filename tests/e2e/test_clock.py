"""The operator's clock is set in the middle of scheduled runs, forward and back."""

from datetime import UTC, datetime, timedelta
from functools import partial

from tests.support.cluster import AnyCluster, until
from tests.support.jobs import NAMESPACE, Object, condition, status
from tests.support.operator_clock import clock_of_the_operator
from tests.support.playing import (
    apply,
    ask,
    away_from_the_operator,
    held,
    node_of,
    patch,
    shown,
    waits,
)

JOB = "clock"


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def counts_since(told: Object) -> datetime:
    run = told.get("run", {})
    return moment(run.get("resumeTime") or run["startTime"])


def test_a_clock_that_jumps(pis: AnyCluster) -> None:
    """No slot is run twice, none is lost or made up for in a burst, no deadline is over early."""
    node = away_from_the_operator(pis)
    # The slots are half an hour away: only the clock that is set comes to them.
    minute = (datetime.now(UTC) + timedelta(minutes=30)).minute
    with clock_of_the_operator(pis) as clock:
        with held(pis, node, JOB):
            limits = {"activeDeadlineSeconds": 1200}
            apply(pis, JOB, limits, schedule=f"{minute} * * * *", activeDeadlineSeconds=1200)
            until(lambda: status(pis, JOB).get("nextRunTime"), "the schedule is known")
            first_slot = moment(status(pis, JOB)["nextRunTime"])
            ask(pis, JOB)
            until(partial(waits, pis, JOB, node), "a run goes on", timeout=240)
            asked = status(pis, JOB)

            clock.off_by(3)
            until(
                lambda: counts_since(status(pis, JOB)) > counts_since(asked),
                "the jump is noticed",
                timeout=120,
            )
            told = status(pis, JOB)
            assert (told["run"]["id"], told["phase"]) == (asked["run"]["id"], "Cleaning")
            jump = counts_since(told) - counts_since(asked)
            assert abs(jump - timedelta(hours=3)) < timedelta(seconds=5)
            assert condition(told, "Scheduled")["reason"] == "SlotWaits"
            shown(pis, JOB, "A clock that is set")

        def runs() -> list[str]:
            told = status(pis, JOB)
            past = [run["id"] for run in told.get("runs", [])]
            return sorted({*past, told["run"]["id"]})

        until(
            lambda: node_of(status(pis, JOB), node).get("phase") == "Succeeded",
            "the Pi has delivered, so that it no longer wants the lock",
            timeout=240,
        )
        with held(pis, node, JOB):
            # Of the three slots that were jumped over the last one is run.
            until(lambda: len(runs()) == 2, "a run for the slots", timeout=240)
            until(partial(waits, pis, JOB, node), "that run goes on", timeout=240)
            slot = status(pis, JOB)
            assert moment(slot["lastScheduleTime"]) == first_slot + timedelta(hours=2)
            assert moment(slot["missedScheduleTime"]) == first_slot + timedelta(hours=1)

            clock.off_by(0)
            until(
                lambda: counts_since(status(pis, JOB)) < moment(slot["run"]["startTime"]),
                "the clock is back",
                timeout=120,
            )
            shown(pis, JOB)
        until(lambda: status(pis, JOB)["phase"] == "Succeeded", "it succeeds", timeout=240)
        # No slot comes again: the next one is the one that it was.
        assert status(pis, JOB)["nextRunTime"] == slot["nextRunTime"]
        assert len(runs()) == 2

        clock.off_by(4)
        until(lambda: len(runs()) == 3, "the next slot begins a run", timeout=240)
        assert moment(status(pis, JOB)["lastScheduleTime"]) == first_slot + timedelta(hours=3)
        patch(pis, JOB, suspend=True)
        results = {run["result"] for run in status(pis, JOB)["runs"]}
        assert results == {"Succeeded"}
    pis.kubectl("delete", "eej", JOB, "-n", NAMESPACE, "--timeout=30s")
