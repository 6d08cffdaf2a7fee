"""The policies about when a run begins, each as a table: what is so, what follows."""

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from edge_etl_operator import api
from edge_etl_operator.policies import acceptance, concurrency, deadlines, run_now, schedule
from edge_etl_operator.policies.concurrency import Meeting
from edge_etl_operator.policies.schedule import Agenda
from edge_etl_operator.policies.trigger import Trigger, decide

from tests.support import operator_facts as facts

LONDON = "Europe/London"


def at(text: str) -> datetime:
    """Read a moment of UTC, of 2026 where no year is given."""
    full = text if text.count("-") == 2 else f"2026-{text}"
    return datetime.fromisoformat(full).replace(tzinfo=UTC)


def cron(expression: str, zone: str = "UTC") -> schedule.Cron:
    found = schedule.cron(facts.job(schedule=expression, timeZone=zone).spec)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("expression", "zone", "since", "expected"),
    [
        ("5 * * * *", "UTC", "03-01 12:05", ["03-01 13:05", "03-01 14:05"]),
        ("5 * * * *", "UTC", "03-01 12:04:59.9", ["03-01 12:05"]),
        ("*/15 8-9 * * MON-FRI", "UTC", "02-27 09:40", ["02-27 09:45", "03-02 08:00"]),
        ("@hourly", "UTC", "03-01 12:00", ["03-01 13:00"]),
        ("@daily", LONDON, "07-01 12:00", ["07-01 23:00"]),
        ("0 12 * * *", "Asia/Kolkata", "03-01 00:00", ["03-01 06:30"]),
        ("0 0 29 2 *", "UTC", "03-01 00:00", ["2028-02-29 00:00"]),
        # Clocks put forward at 01:00 UTC: 01:30 is left out, so it comes at 02:00 BST.
        ("30 1 * * *", LONDON, "03-28 12:00", ["03-29 01:00", "03-30 00:30"]),
        ("10,50 1 * * *", LONDON, "03-28 12:00", ["03-29 01:00", "03-30 00:10"]),
        ("5 * * * *", LONDON, "03-29 00:00", ["03-29 00:05", "03-29 01:05", "03-29 02:05"]),
        # Clocks put back at 01:00 UTC: 01:30 comes twice, and the first one counts.
        ("30 1 * * *", LONDON, "10-24 12:00", ["10-25 00:30", "10-26 01:30"]),
        ("30 1 * * *", LONDON, "10-25 01:10", ["10-26 01:30"]),
        ("5 * * * *", LONDON, "10-25 00:00", ["10-25 00:05", "10-25 01:05", "10-25 02:05"]),
    ],
)
def test_when_slots_are(expression: str, zone: str, since: str, expected: list[str]) -> None:
    found = islice(cron(expression, zone).after(at(since)), len(expected))
    assert list(found) == [at(each) for each in expected]


@pytest.mark.parametrize(
    ("expression", "first"),
    [
        ("*/5 * * * *", "10-14 00:00"),
        ("*/5 * * * *", "10-25 00:20"),
        ("5 * * * *", "08-01 12:00"),
        ("30 1 * * *", "03-01 12:00"),
        ("30 1 * * *", "10-24 23:59"),
        ("0 0 1 1 *", "2010-06-01 00:00"),
        ("0 0 29 2 *", "2010-06-01 00:00"),
    ],
)
@pytest.mark.parametrize("until", ["10-25 00:45", "10-25 01:30", "10-25 12:00"])
def test_the_latest_slot_is_the_last_of_all(expression: str, first: str, until: str) -> None:
    known = cron(expression, LONDON)
    slot = known.next(at(first))
    every = [slot]
    for each in known.after(slot):
        if each > at(until):
            break
        every.append(each)
    assert slot <= at(until)
    assert known.latest(slot, at(until)) == every[-1]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schedule": "5 * * * *", "timeZone": "Mars/Phobos"}, "UnknownTimeZone"),
        ({"schedule": "5 * * * *", "timeZone": "../etc/passwd"}, "UnknownTimeZone"),
        ({"schedule": "5 * * * *", "timeZone": "Europe"}, "UnknownTimeZone"),
        ({"schedule": "61 * * * *"}, "InvalidSchedule"),
        ({"schedule": "0 5 * * * *"}, "InvalidSchedule"),
        ({"schedule": "0 0 31 2 *"}, "InvalidSchedule"),
        ({"schedule": "0 0 */31 * MON#5"}, "InvalidSchedule"),
        ({"schedule": "@reboot"}, "InvalidSchedule"),
        ({"schedule": "@daily", "timeZone": "America/Argentina/Ushuaia"}, None),
    ],
)
def test_which_schedules_are_accepted(changes: dict[str, Any], reason: str | None) -> None:
    refusal = acceptance.refusal(facts.job(**changes), facts.SETTINGS)
    assert (refusal[0].code if refusal else None) == reason


HOURLY = "5 * * * * (UTC)"


@pytest.mark.parametrize(
    ("known", "now", "due", "pending", "missed"),
    [
        # What is remembered of the schedule; what is due now, what comes then.
        ({}, "03-01 12:01", None, "03-01 12:05", None),
        ({"nextRunTime": "03-01 12:05"}, "03-01 12:04:59", None, "03-01 12:05", None),
        ({"nextRunTime": "03-01 12:05"}, "03-01 12:05", "03-01 12:05", "03-01 12:05", None),
        ({"nextRunTime": "03-01 12:05"}, "03-01 12:14:59", "03-01 12:05", "03-01 12:05", None),
        # Nobody was there: too late, or the latest one of many.
        ({"nextRunTime": "03-01 12:05"}, "03-01 12:16", None, "03-01 13:05", "03-01 12:05"),
        (
            {"nextRunTime": "03-01 12:05"},
            "03-04 09:06",
            "03-04 09:05",
            "03-04 09:05",
            "03-04 08:05",
        ),
        # Another schedule: nothing of the past.
        (
            {"nextRunTime": "03-01 11:30", "schedule": "30 * * * * (UTC)"},
            "03-01 12:10",
            None,
            "03-01 13:05",
            None,
        ),
        # The clock was put back: a slot that was run is waited out.
        (
            {"nextRunTime": "03-01 13:05", "lastScheduleTime": "03-01 12:05"},
            "03-01 11:00",
            None,
            "03-01 13:05",
            None,
        ),
        # It was years ahead: the schedule begins again.
        (
            {"nextRunTime": "2030-03-01 13:05", "lastScheduleTime": "2030-03-01 12:05"},
            "03-01 11:00",
            None,
            "03-01 11:05",
            None,
        ),
        # It was years behind, and the slot had been run before.
        (
            {"nextRunTime": "1970-01-01 01:05", "lastScheduleTime": "03-01 12:05"},
            "03-01 12:06",
            None,
            "03-01 13:05",
            None,
        ),
    ],
)
def test_what_the_schedule_asks_for(
    known: dict[str, str], now: str, due: str | None, pending: str, missed: str | None
) -> None:
    times = {key: value if key == "schedule" else at(value) for key, value in known.items()}
    status = {"observedGeneration": 1, "schedule": HOURLY, **times}
    job = facts.job(status, schedule="5 * * * *", startingDeadlineSeconds=600)
    found = schedule.agenda(job, at(now))
    assert found.due == (at(due) if due else None)
    assert found.pending == at(pending)
    assert found.missed == (at(missed) if missed else None)


def test_nothing_is_asked_for_without_a_schedule_or_while_suspended() -> None:
    assert schedule.agenda(facts.job(), facts.START) == Agenda()
    status = {"nextRunTime": at("03-01 11:05"), "schedule": HOURLY}
    job = facts.job(status, schedule="5 * * * *", suspend=True)
    assert schedule.agenda(job, facts.START) == Agenda()


def requested(value: str, last: str = "") -> api.EdgeETLJob:
    metadata = {"name": "air", "annotations": {"pi-edge-spark.io/run-now": value}}
    status = {"lastRunRequest": last}
    return api.parse({"metadata": metadata, "spec": facts.spec(), "status": status})


@pytest.mark.parametrize(
    ("value", "last", "expected"),
    [
        ("", "", False),
        ("1", "", True),
        ("1", "1", False),
        ("2", "1", True),
        ("", "1", False),
        ("x" * 5000, "", True),
        ("x" * 5000, run_now.request(requested("x" * 5000)), False),
        ("x" * 5000 + "y", run_now.request(requested("x" * 5000)), True),
    ],
)
def test_whether_a_run_is_asked_for(value: str, last: str, expected: bool) -> None:
    assert run_now.wanted(requested(value, last)) == expected
    assert len(run_now.request(requested(value))) <= 64


def run(ended: bool = False, **changes: Any) -> dict[str, Any]:
    spec = facts.job(**changes).spec
    times = {"completionTime": facts.START} if ended else {}
    return {
        "id": "20260301-120000",
        "startTime": facts.START,
        "specHash": spec.hash,
        "settingsHash": spec.settings_hash,
        **times,
    }


@pytest.mark.parametrize(
    ("last", "policy", "expected"),
    [
        (None, "Forbid", Meeting.BEGIN),
        (run(ended=True), "Forbid", Meeting.BEGIN),
        (run(ended=True), "Replace", Meeting.BEGIN),
        (run(), "Forbid", Meeting.WAIT),
        (run(), "Replace", Meeting.REPLACE),
    ],
)
def test_what_a_run_does_to_another(
    last: dict[str, Any] | None, policy: str, expected: Meeting
) -> None:
    status = {"run": last} if last else {}
    assert concurrency.meet(facts.job(status, concurrencyPolicy=policy)) == expected


EVERY_HOUR = {"schedule": "5 * * * *"}
REPLACE = {**EVERY_HOUR, "concurrencyPolicy": "Replace"}
EDITED = {**EVERY_HOUR, "key": ["sensor_id"]}


@pytest.mark.parametrize(
    ("last", "due", "changes", "expected"),
    [
        # Nothing before the first slot.
        (None, False, EVERY_HOUR, Trigger.REST),
        (None, True, EVERY_HOUR, Trigger.START),
        (run(ended=True), False, EVERY_HOUR, Trigger.REST),
        (run(ended=True), True, EVERY_HOUR, Trigger.START),
        # A change waits for the slot, unless it is of the run that goes on.
        (run(ended=True), False, EDITED, Trigger.REST),
        (run(), False, EDITED, Trigger.START),
        (run(), False, EVERY_HOUR, Trigger.CONTINUE),
        (run(), True, EVERY_HOUR, Trigger.CONTINUE),
        (run(), True, REPLACE, Trigger.START),
        # A changed schedule, limit or suspension is no change of what the run does.
        (run(), False, {"schedule": "@daily", "startingDeadlineSeconds": 5}, Trigger.CONTINUE),
        (run(ended=True), False, {"suspend": True}, Trigger.REST),
        (None, False, {"suspend": True}, Trigger.REST),
        (None, True, {**EVERY_HOUR, "suspend": True}, Trigger.REST),
        (run(), False, {"suspend": True}, Trigger.SUSPEND),
        (run(), True, {**EDITED, "suspend": True}, Trigger.SUSPEND),
    ],
)
def test_when_a_run_begins_with_a_schedule(
    last: dict[str, Any] | None, due: bool, changes: dict[str, Any], expected: Trigger
) -> None:
    status = {"run": last} if last else {}
    agenda = Agenda(due=facts.START if due else None)
    assert decide(facts.job(status, **changes), agenda) == expected


@pytest.mark.parametrize(
    ("moment", "again", "expected"),
    [
        (None, None, None),
        (None, 5.0, 5.0),
        (10.0, None, 10.01),
        (10.0, 5.0, 5.0),
        (3600.0, None, 60.0),
    ],
)
def test_when_to_look_again_for_a_slot(
    moment: float | None, again: float | None, expected: float | None
) -> None:
    when = None if moment is None else facts.START + timedelta(seconds=moment)
    found = deadlines.until(when, again, facts.START)
    assert found == (None if expected is None else pytest.approx(expected))
