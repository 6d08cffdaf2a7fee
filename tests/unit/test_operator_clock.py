"""A clock that is set in the middle of a run: deadlines are durations, slots are times of day."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from edge_etl_operator.clock import Clock
from edge_etl_operator.policies import clock_set, deadlines
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import operator_facts as facts
from tests.support.operator_facts import START, World

HOUR = 3600


@pytest.mark.parametrize(
    ("since", "by", "now", "expected"),
    [
        # All in seconds after the run's start.
        (None, 0, 10, None),
        (None, 4, 14, None),
        (None, HOUR, HOUR + 10, HOUR),
        (None, -HOUR, 10 - HOUR, -HOUR),
        (20, HOUR, HOUR + 30, HOUR + 20),
        (20, -HOUR, 30 - HOUR, 20 - HOUR),
        # Put back while no operator was there to see it.
        (None, 0, -HOUR, -HOUR),
        (20, 0, 10, 10),
    ],
)
def test_since_when_a_runs_time_counts(
    since: int | None, by: int, now: int, expected: int | None
) -> None:
    def at(second: int | None) -> datetime | None:
        return None if second is None else START + timedelta(seconds=second)

    run = facts.run(resume_time=at(since))
    moment = at(now)
    assert moment is not None
    found = clock_set.counted(run, timedelta(seconds=by), moment)
    assert found == msgspec.structs.replace(run, resume_time=at(expected))


def test_the_time_of_a_suspended_run_does_not_count() -> None:
    run = facts.run(suspend_time=START)
    assert clock_set.counted(run, timedelta(hours=9), START) is run


def test_a_clock_is_ahead_by_what_it_is_set() -> None:
    wall, steady = [1_000_000.0], [50.0]
    clock = Clock(lambda: datetime.fromtimestamp(wall[0], UTC), lambda: steady[0])
    before = clock.ahead()
    wall[0] += 30
    steady[0] += 30
    assert clock.ahead() == before
    wall[0] += 3600
    assert clock.ahead() == before + 3600


def test_the_machines_own_clock_is_not_set_in_a_moment() -> None:
    clock = Clock()
    assert clock.ahead() == pytest.approx(clock.ahead(), abs=0.5)


@pytest.mark.parametrize("hours", [3, -3])
def test_a_run_outlives_a_clock_that_jumps_and_begins_one_run_for_what_was_jumped_over(
    hours: int,
) -> None:
    spec = facts.spec(schedule="30 * * * *", activeDeadlineSeconds=1800)
    world = World(spec=spec, annotations={"pi-edge-spark.io/run-now": "1"})
    world.with_nodes("pi-1", "pi-2").settle()
    first = world.run
    world.deliver("pi-1").settle()
    world.set_clock(hours * HOUR).settle()
    assert (world.run, world.status["phase"]) == (first, "Cleaning")
    world.deliver("pi-2").settle()
    world.pod_is(world.driver, "Succeeded", facts.report()).settle()
    begun = [run["id"] for run in world.status["runs"]]
    if hours < 0:
        # The next slot is the one that it was: none that has been comes again.
        assert (begun, world.status["nextRunTime"]) == ([first], "2026-03-01T12:30:00Z")
        return
    assert begun == [first]
    assert world.run > first
    assert world.status["lastScheduleTime"] == "2026-03-01T14:30:00Z"
    assert world.status["missedScheduleTime"] == "2026-03-01T13:30:00Z"
    assert world.status["nextRunTime"] == "2026-03-01T15:30:00Z"


MOVES = st.one_of(
    st.tuples(st.just("pass"), st.sampled_from([1, 60, 3600])),
    st.tuples(st.just("set"), st.sampled_from([-86_400, -600, 600, 10**8])),
    st.tuples(st.just("look"), st.integers(min_value=0, max_value=9)),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(MOVES, max_size=30))
def test_a_deadline_is_as_far_away_as_if_nobody_had_set_the_clock(
    moves: list[tuple[str, int]],
) -> None:
    world = World(spec=facts.spec(activeDeadlineSeconds=10**6)).with_nodes("pi-1").settle()
    passed = 0
    for what, amount in moves:
        if what == "pass":
            world.after(amount)
            passed += amount
        elif what == "set":
            world.set_clock(amount)
        else:
            world.reconcile(crash_after=None if amount == 9 else amount)
    world.reconcile()
    run = world.job.status.run
    assert run is not None
    left = deadlines.run_end(world.job, run) - world.now
    assert left == timedelta(seconds=10**6 - passed)
