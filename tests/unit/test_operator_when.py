"""When runs begin, stop and go on, step by step over facts."""

import json
from datetime import UTC, datetime, timedelta

from edge_etl_operator.builders import edge

from tests.support import operator_facts as facts
from tests.support.operator_facts import World

HOURLY = {"schedule": "5 * * * *"}


def hourly(**changes: object) -> World:
    world = World(spec=facts.spec(**HOURLY, **changes)).with_nodes("pi-1", "pi-2")
    return world.settle()


def finish(world: World) -> World:
    world.settle()
    nodes = [each.name for each in world.job.status.nodes if each.phase != "Succeeded"]
    world.deliver(*nodes).settle()
    return world.pod_is(world.driver, "Succeeded", facts.report()).settle()


def test_a_schedule_runs_nothing_before_its_first_slot() -> None:
    world = hourly()
    assert "run" not in world.status
    assert world.status["phase"] == "Pending"
    assert world.status["nextRunTime"] == "2026-03-01T12:05:00Z"
    assert world.condition("Scheduled") == ("True", "OnSchedule")
    assert world.decide().again == 60.0
    world.after(299)
    again = world.decide().again
    assert again is not None
    assert 1 <= again < 1.1
    finish(world.after(1))
    assert world.run == "20260301-120500"
    assert world.status["lastScheduleTime"] == "2026-03-01T12:05:00Z"
    assert world.status["nextRunTime"] == "2026-03-01T13:05:00Z"
    assert world.status["phase"] == "Succeeded"
    writes = world.writes
    world.after(600).settle()
    assert world.writes == writes


def test_an_edit_waits_for_the_slot_and_restarts_only_what_goes_on() -> None:
    world = finish(hourly().after(300))
    first = world.run
    world.edit(key=["sensor_id"]).settle()
    assert world.run == first
    world.after(3600).settle()
    second = world.run
    assert world.status["run"]["specHash"] == world.job.spec.hash
    world.edit(key=["timestamp"]).settle()
    assert world.run > second
    assert world.status["lastScheduleTime"] == "2026-03-01T13:05:00Z"
    assert world.status["nextRunTime"] == "2026-03-01T14:05:00Z"


def test_another_schedule_asks_for_nothing_in_the_past() -> None:
    world = hourly().after(60).edit(schedule="0 12 * * *").settle()
    assert world.status["nextRunTime"] == "2026-03-02T12:00:00Z"
    assert "run" not in world.status


def test_without_its_schedule_the_job_runs_once() -> None:
    world = hourly()
    del world.spec["schedule"]
    finish(world.edit())
    assert world.status["phase"] == "Succeeded"
    assert "nextRunTime" not in world.status
    assert world.condition("Scheduled") == ("", "")


def test_slots_during_a_long_run_are_made_up_for_by_one() -> None:
    world = hourly().after(300).settle()
    first = world.run
    world.edit(activeDeadlineSeconds=36000)
    world.after(3 * 3600).settle()
    assert world.run == first
    assert world.condition("Scheduled") == ("False", "SlotWaits")
    assert first in world.message("Scheduled")
    finish(world)
    second = world.run
    assert second > first
    assert world.status["lastScheduleTime"] == "2026-03-01T15:05:00Z"
    finish(world)
    assert world.run == second
    assert world.condition("Scheduled") == ("True", "OnSchedule")
    assert "2026-03-01T14:05:00Z" in world.message("Scheduled")


def test_replace_stops_the_run_for_the_next_slot() -> None:
    world = hourly(concurrencyPolicy="Replace", activeDeadlineSeconds=36000).after(300).settle()
    first = world.run
    world.after(3600).settle()
    assert world.run > first
    assert all(first not in name for name in world.jobs)
    finish(world)
    assert world.status["phase"] == "Succeeded"


def test_a_slot_that_nobody_saw_is_run_once_when_it_is_not_too_late() -> None:
    """Peers: a schedule stops silently (KF#787, #998, #3174)."""
    world = hourly(startingDeadlineSeconds=600).after(300 + 600).settle()
    assert world.status["lastScheduleTime"] == "2026-03-01T12:05:00Z"
    world = hourly(startingDeadlineSeconds=600).after(300 + 601).settle()
    assert "run" not in world.status
    assert world.condition("Scheduled") == ("False", "SlotMissed")
    assert "2026-03-01T12:05:00Z" in world.message("Scheduled")
    assert world.status["nextRunTime"] == "2026-03-01T13:05:00Z"
    finish(world.after(3600 - 601))
    assert world.condition("Scheduled") == ("True", "OnSchedule")


def test_a_job_made_while_no_operator_was_there_counts_from_then() -> None:
    world = World(spec=facts.spec(**HOURLY)).with_nodes("pi-1").after(3 * 3600).settle()
    assert world.status["lastScheduleTime"] == "2026-03-01T14:05:00Z"


def test_a_slot_without_nodes_waits_for_one() -> None:
    world = World(spec=facts.spec(**HOURLY)).settle().after(300).settle()
    assert world.condition("EdgeComplete") == ("False", "NoMatchingNode")
    assert world.condition("Scheduled") == ("False", "SlotWaits")
    assert world.decide().again == 60.0
    finish(world.after(60).with_nodes("pi-1"))
    assert world.status["lastScheduleTime"] == "2026-03-01T12:05:00Z"


def test_an_unknown_time_zone_that_is_corrected_recovers_by_itself() -> None:
    """Peers: a schedule stays FailedValidation after the fix (KF#787)."""
    world = finish(hourly().after(300))
    world.edit(timeZone="Mars/Phobos").settle()
    assert world.condition("Accepted") == ("False", "UnknownTimeZone")
    assert world.status["phase"] == "Failed"
    assert "nextRunTime" not in world.status
    assert world.condition("Scheduled") == ("", "")
    world.edit(timeZone="Europe/London").settle()
    assert world.status["phase"] == "Pending"
    assert world.status["nextRunTime"] == "2026-03-01T13:05:00Z"
    finish(world.after(3600))
    assert world.status["phase"] == "Succeeded"


def test_a_new_schedule_in_a_zone_follows_its_clocks() -> None:
    world = World(spec=facts.spec(schedule="30 1 * * *", timeZone="Europe/London"))
    world.now = datetime(2026, 10, 25, 0, 0, tzinfo=UTC)
    world.status = {"observedGeneration": 1}
    finish(world.with_nodes("pi-1").settle().after(1800))
    first = world.run
    # 01:30 comes a second time, an hour later.
    finish(world.after(3600))
    assert world.run == first
    assert world.status["nextRunTime"] == "2026-10-26T01:30:00Z"


def test_a_run_that_is_suspended_goes_on_with_what_is_left() -> None:
    world = World().with_nodes("pi-1", "pi-2").settle()
    world.deliver("pi-1").pod_is(world.pod_of("pi-2"), "Running").settle()
    run, done = world.run, dict(world.status["nodes"][0])
    world.edit(suspend=True).settle()
    assert world.status["phase"] == "Suspended"
    assert world.condition("EdgeComplete") == ("False", "Suspended")
    assert world.condition("Scheduled") == ("False", "Suspended")
    assert len(world.jobs) == 1
    # However long that takes: its time does not run.
    world.after(90 * 86400).settle()
    assert world.status["phase"] == "Suspended"
    world.edit(suspend=False).settle()
    assert world.run == run
    assert world.status["phase"] == "Cleaning"
    assert world.status["nodes"][0] == done
    assert "suspendTime" not in world.status["run"]
    assert world.job.status.run is not None
    assert world.job.status.run.resume_time == world.now
    assert world.created.count(world.created[1]) == 1
    assert len(world.jobs) == 2
    finish(world)
    assert world.status["phase"] == "Succeeded"
    assert world.run == run
    assert world.condition("Scheduled") == ("", "")


def test_a_suspended_aggregation_is_made_again() -> None:
    world = World().with_nodes("pi-1").settle().deliver("pi-1").settle()
    world.pod_is(world.driver, "Running")
    leaving = world.pods[world.driver]
    world.edit(suspend=True).settle()
    assert world.driver not in world.pods
    assert world.condition("EdgeComplete") == ("True", "AllNodesDelivered")
    assert world.condition("Aggregated") == ("False", "Suspended")
    # Told to end, a driver fails; that is not its fault.
    world.pods[world.driver] = leaving
    leaving["metadata"] = {**leaving["metadata"], "deletionTimestamp": world.now.isoformat()}
    world.pod_is(world.driver, "Failed", code=143).settle()
    assert world.status["phase"] == "Suspended"
    world.edit(suspend=False).settle()
    assert world.status["phase"] == "Aggregating"
    del world.pods[world.driver]
    finish(world)
    assert world.status["phase"] == "Succeeded"


def test_a_run_that_was_done_when_it_was_suspended_is_done() -> None:
    world = World().with_nodes("pi-1").settle().deliver("pi-1").settle()
    world.pod_is(world.driver, "Succeeded", facts.report()).edit(suspend=True).settle()
    assert world.status["phase"] == "Succeeded"
    assert world.condition("Scheduled") == ("False", "Suspended")


def test_a_node_job_that_is_being_deleted_says_nothing_about_its_node() -> None:
    world = World().with_nodes("pi-1", "pi-2").settle()
    world.pod_is(world.pod_of("pi-1"), "Failed", "", 143).job_is("pi-1", "Failed", "Backoff")
    for job in world.jobs.values():
        job["metadata"]["deletionTimestamp"] = world.now.isoformat()
    world.edit(suspend=True).settle()
    assert [node.phase for node in world.job.status.nodes] == ["Pending", "Pending"]


def test_while_suspended_nothing_begins_and_slots_are_not_made_up_for() -> None:
    world = hourly(suspend=True)
    assert world.status["phase"] == "Suspended"
    world.annotations = {"pi-edge-spark.io/run-now": "1"}
    world.after(7200).settle()
    assert "run" not in world.status
    assert "nextRunTime" not in world.status
    assert "annotation" in world.message("Scheduled")
    world.annotations = {}
    world.edit(suspend=False).settle()
    assert "run" not in world.status
    assert world.status["nextRunTime"] == "2026-03-01T14:05:00Z"


def test_a_suspension_that_a_mistake_met_is_over_when_both_are() -> None:
    world = finish(hourly().after(300))
    world.edit(suspend=True, timeZone="Mars/Phobos").settle()
    assert world.status["phase"] == "Failed"
    world.edit(timeZone="UTC").settle()
    assert world.status["phase"] == "Suspended"
    world.edit(suspend=False).settle()
    assert world.status["phase"] == "Pending"
    assert world.condition("Scheduled") == ("True", "OnSchedule")


def test_a_replay_is_a_run_that_no_share_of_rejected_rows_stops() -> None:
    world = finish(World().with_nodes("pi-1").edit(quality={"maxRejectedRatio": "25%"}))
    first = world.run
    world.annotations = {"pi-edge-spark.io/replay": "please"}
    world.after(60).settle()
    assert world.run > first
    world.deliver("pi-1", rowsRead=2, rowsRejected=1, rowsClean=1).settle()
    world.pod_is(world.driver, "Succeeded", facts.report()).settle()
    assert world.status["phase"] == "Succeeded"
    second = world.run
    # What it asked for stays in the documents of later runs, for nodes that were off.
    world.annotations = {"pi-edge-spark.io/replay": "please", "pi-edge-spark.io/run-now": "1"}
    world.after(60).settle()
    assert world.run > second
    assert world.status["run"].get("replay", False) is False
    config = edge.edge_config(world.job, world.run)
    assert json.loads(config["data"]["job.json"])["replay"] == "please"


def test_each_new_value_of_the_annotation_starts_one_run() -> None:
    """Peers: run now (KF#1606, #1529)."""
    world = finish(World().with_nodes("pi-1"))
    first = world.run
    world.annotations = {"pi-edge-spark.io/run-now": "1"}
    finish(world.after(60))
    second = world.run
    assert second > first
    finish(world.after(60))
    assert world.run == second
    world.annotations = {}
    world.settle()
    world.annotations = {"pi-edge-spark.io/run-now": "1"}
    finish(world.after(60))
    assert world.run == second
    world.annotations = {"pi-edge-spark.io/run-now": "2"}
    finish(world.after(60))
    assert world.run > second


def test_a_request_during_a_run_waits_for_its_end() -> None:
    world = World().with_nodes("pi-1").settle()
    first = world.run
    world.annotations = {"pi-edge-spark.io/run-now": "1"}
    world.settle()
    assert world.run == first
    finish(world)
    assert world.run > first


def test_a_request_between_slots_leaves_the_schedule_alone() -> None:
    world = hourly()
    world.annotations = {"pi-edge-spark.io/run-now": "1"}
    finish(world)
    assert world.run == "20260301-120000"
    assert world.status["nextRunTime"] == "2026-03-01T12:05:00Z"
    assert "lastScheduleTime" not in world.status
    finish(world.after(300))
    assert world.run == "20260301-120500"


def test_a_clock_that_is_put_back_neither_repeats_a_slot_nor_stops_the_schedule() -> None:
    world = finish(hourly().after(300))
    first = world.run
    world.now -= timedelta(hours=1)
    finish(world)
    assert world.run == first
    finish(world.after(3600))
    assert world.run == first
    finish(world.after(3600))
    assert world.run > first
    world.now += timedelta(days=1500)
    finish(world)
    ahead = world.run
    world.now -= timedelta(days=1500)
    world.settle()
    assert world.status["nextRunTime"] == "2026-03-01T14:05:00Z"
    finish(world.after(3600))
    assert world.run > ahead
    assert world.status["nextRunTime"] == "2026-03-01T15:05:00Z"
