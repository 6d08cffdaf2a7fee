"""Whatever happens in whatever order, and wherever the operator dies: the same end, nothing twice.

The property replays arbitrary facts and crashes through the pure plan. Facts of one pod keep their
own order, as in a cluster; everything else is free.
"""

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

from edge_etl_operator import names
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import operator_facts as facts
from tests.support.operator_facts import World

NODES = ("pi-1", "pi-2", "pi-3")

# What happens next: a node moves on, the driver moves on, or the operator looks and perhaps dies
# after so many of its actions (9: it does all of them and writes the status).
STEPS = st.one_of(
    st.sampled_from([*NODES, "driver"]),
    st.integers(min_value=0, max_value=9),
)


def _node_facts(world: World, node: str) -> Iterator[None]:
    """Let a node's Job get a pod that runs, fails, is tried again, and delivers."""
    name = world.pod_of(node)
    yield
    world.pod_is(name, "Running")
    yield
    world.pod_is(name, "Failed", "killed", 137)
    yield
    again = world.pod_of(node)
    yield
    world.pod_is(again, "Succeeded", facts.summary(node, f"{again}-uid"))
    yield
    world.job_is(node, "Complete")


def _driver_facts(world: World) -> Iterator[None]:
    world.pod_is(world.driver, "Running")
    yield
    world.pod_is(world.driver, "Succeeded", facts.report())


class Story:
    """A world whose parts move on one fact at a time, as soon as what they need is there."""

    def __init__(self) -> None:
        self.world = World().with_nodes(*NODES)
        self._going: dict[str, Iterator[None]] = {}
        self._ended: set[str] = set()

    def step(self, what: str | int) -> None:
        if isinstance(what, int):
            self.world.reconcile(crash_after=None if what == 9 else what)
        elif what not in self._ended and self._exists(what):
            if what not in self._going:
                one = _driver_facts(self.world) if what == "driver" else None
                self._going[what] = one or _node_facts(self.world, what)
            if next(self._going[what], "end") == "end":
                self._ended.add(what)
        self.check()

    def finish(self) -> None:
        """Let everything happen that has not happened yet."""
        for _ in range(12):
            self.world.settle()
            for what in (*NODES, "driver"):
                self.step(what)
        self.world.settle()

    def check(self) -> None:
        world = self.world
        assert len(world.created) == len(set(world.created))
        assert sum(each.startswith("Job/") for each in world.created) <= len(NODES)
        assert sum(each.startswith("Pod/") for each in world.created) <= 1

    def _exists(self, what: str) -> bool:
        if "run" not in self.world.status:
            return False
        if what == "driver":
            return self.world.driver in self.world.pods
        return any(
            job["metadata"]["annotations"]["pi-edge-spark.io/node"] == what
            for job in self.world.jobs.values()
        )


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=60))
def test_any_interleaving_with_crashes_ends_the_same(steps: list[str | int]) -> None:
    """Peers: an operator restart resubmitted everything (stackable#457)."""
    story = Story()
    for step in steps:
        story.step(step)
    story.finish()
    world = story.world
    assert world.status["phase"] == "Succeeded"
    assert world.status["nodesSummary"] == "3/3"
    assert world.status["rowsRead"] == 300
    assert len(world.created) == 2 + len(NODES) + 1
    assert world.run == "20260301-120000"
    # At rest nothing more is written.
    writes = world.writes
    world.reconcile()
    assert world.writes == writes


@settings(max_examples=60, deadline=None)
@given(st.lists(STEPS, max_size=40), st.integers(min_value=0, max_value=40))
def test_an_edit_at_any_moment_ends_with_one_complete_run_of_the_new_spec(
    steps: list[str | int], edit_at: int
) -> None:
    story = Story()
    world = story.world
    for step in steps[:edit_at]:
        story.step(step)
    world.edit(key=["sensor_id"])
    later = Story()
    later.world = world
    world.created.clear()
    for _ in range(12):
        world.settle()
        for what in (*NODES, "driver"):
            later.step(what)
    world.settle()
    assert world.status["phase"] == "Succeeded"
    assert world.status["run"]["specHash"] == world.job.spec.hash
    running = [job for job in world.jobs.values() if world.run in job["metadata"]["name"]]
    assert len(running) == len(NODES)


# What happens to a job with a schedule and to its clock: facts and crashes as above, time that
# passes, a clock that is set, a person's request.
EVENTS = st.one_of(
    STEPS,
    st.tuples(st.just("pass"), st.sampled_from([1, 299, 300, 1800, 3600, 4 * 3600])),
    st.tuples(st.just("set"), st.sampled_from([-6 * 3600, -60, 0, 60, 6 * 3600])),
    st.tuples(st.just("ask"), st.sampled_from([1, 2])),
    st.tuples(st.just("suspend"), st.booleans()),
)


class ScheduledStory:
    """A job that runs every hour; what its runs were begun for is written down."""

    def __init__(self, policy: str) -> None:
        spec = facts.spec(schedule="5 * * * *", concurrencyPolicy=policy)
        self.world = World(spec={**spec, "activeDeadlineSeconds": 86400}).with_nodes(*NODES)
        self.slots: list[str] = []
        self.requests: list[str] = []
        self._offset = 0

    def happen(self, event: str | int | tuple[str, int]) -> None:
        world = self.world
        before = dict(world.status)
        match event:
            case ("pass", int(seconds)):
                world.after(seconds)
            case ("set", int(offset)):
                world.set_clock(offset - self._offset)
                self._offset = offset
            case ("ask", value):
                world.annotations = {"pi-edge-spark.io/run-now": str(value)}
            case ("suspend", value):
                world.edit(suspend=bool(value))
            case int(count):
                world.reconcile(crash_after=None if count == 9 else count)
            case str(part):
                self._move(part)
        self._note(before)

    def _move(self, part: str) -> None:
        """Let a node's pod, or the driver, of the current run come one step further."""
        world = self.world
        if "run" not in world.status:
            return
        if part == "driver":
            if world.driver in world.pods:
                world.pod_is(world.driver, "Succeeded", facts.report())
            return
        job = names.node_job("air", world.run, part)
        if job not in world.jobs:
            return
        pod = next((each for each in world.pods if each.startswith(f"{job}-")), None)
        if pod is None:
            world.pod_of(part)
        elif world.pods[pod]["status"]["phase"] == "Pending":
            world.pod_is(pod, "Running")
        else:
            said = facts.summary(part, f"{pod}-uid")
            world.pod_is(pod, "Succeeded", said).job_is(part, "Complete")

    def _note(self, before: dict[str, Any]) -> None:
        after = self.world.status
        if before.get("run", {}).get("id") == after.get("run", {}).get("id"):
            for key in ("lastScheduleTime", "lastRunRequest"):
                assert before.get(key) == after.get(key)
            return
        assert before.get("run", {}).get("id", "") < after["run"]["id"]
        reasons = 0
        for key, known in (("lastScheduleTime", self.slots), ("lastRunRequest", self.requests)):
            if after.get(key) != before.get(key):
                known.append(after[key])
                reasons += 1
        assert reasons >= 1

    def end(self) -> None:
        """Set the clock right and let everything happen that has not happened yet."""
        for event in [("set", 0), ("pass", 13 * 3600), ("suspend", 0)]:
            self.happen(event)
        for _ in range(40):
            self.happen(9)
            for what in (*NODES, "driver"):
                self.happen(what)


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENTS, max_size=60), st.sampled_from(["Forbid", "Replace"]))
def test_no_slot_and_no_request_ever_begins_two_runs(
    events: list[str | int | tuple[str, int]], policy: str
) -> None:
    story = ScheduledStory(policy)
    for event in events:
        story.happen(event)
    story.end()
    assert story.slots == sorted(set(story.slots))
    # The same value asks again only after another one.
    assert all(one != other for one, other in pairwise(story.requests))
    world = story.world
    assert world.status["phase"] in ("Succeeded", "Pending")
    assert datetime.fromisoformat(world.status["nextRunTime"]) > world.now


# What happens to Pis: their pods move on, they go off and come back, are cordoned and freed; the
# operator looks and perhaps dies, time passes.
WEATHER = st.one_of(
    st.sampled_from([*NODES, "driver"]),
    st.integers(min_value=0, max_value=9),
    st.tuples(st.sampled_from(["off", "back", "cordon"]), st.sampled_from(NODES)),
    st.tuples(st.just("pass"), st.sampled_from([1, 31, 600])),
)


class FlakyStory:
    """A job on Pis that come and go; a pod goes on only while its node is heard of."""

    def __init__(self, late: str, offline: str) -> None:
        nodes = {
            "selector": {"matchLabels": {"role": "edge"}},
            "minSuccess": 1,
            "lateDataPolicy": late,
            "offlinePolicy": offline,
        }
        spec = facts.spec(nodes=nodes, activeDeadlineSeconds=10**6)
        self.world = World(spec=spec).with_nodes(*NODES)

    def happen(self, event: str | int | tuple[str, str | int]) -> None:
        world = self.world
        match event:
            case ("off", str(node)):
                world.off(node)
            case ("back", str(node)):
                world.back(node)
            case ("cordon", str(node)):
                if world.nodes[node].ready:
                    world.with_nodes(facts.node(node, unschedulable=True))
            case ("pass", int(seconds)):
                world.after(seconds)
            case int(count):
                world.reconcile(crash_after=None if count == 9 else count)
            case str(part) if "run" in world.status:
                self._move(part)
        self._check()

    def _move(self, part: str) -> None:
        world = self.world
        if part == "driver":
            if world.driver in world.pods:
                world.pod_is(world.driver, "Succeeded", facts.report())
            return
        name = names.node_job("air", world.run, part)
        node, job = world.nodes[part], world.jobs.get(name)
        if job is None or not node.ready or "deletionTimestamp" in job["metadata"]:
            return
        pod = next((each for each in world.pods if each.startswith(f"{name}-")), None)
        if pod is None:
            world.pod_of(part)
        elif world.pods[pod]["status"]["phase"] == "Pending":
            if not node.spec.unschedulable:
                world.pod_is(pod, "Running")
        else:
            said = facts.summary(part, f"{pod}-uid")
            world.pod_is(pod, "Succeeded", said).job_is(part, "Complete")

    def _check(self) -> None:
        told = self.world.status
        for node in told.get("nodes", []):
            assert node.get("phase") != "Failed"
        phases = {node["phase"] for node in told.get("nodes", [])}
        # A node that joins a run that is over cleans while the run stays what it was.
        if told.get("phase") in ("Succeeded", "PartiallySucceeded") and "Pending" not in phases:
            assert (told["phase"] == "Succeeded") == (phases <= {"Succeeded", "Running"})

    def end(self) -> None:
        """Have all Pis back and let everything happen that has not happened yet."""
        self.world.back(*NODES)
        for _ in range(30):
            self.happen(9)
            for what in (*NODES, "driver"):
                self.happen(what)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(WEATHER, max_size=60),
    st.sampled_from(["NextRun", "Reaggregate", "Ignore"]),
    st.sampled_from(["Skip", "Wait"]),
)
def test_pis_that_come_and_go_in_any_order_end_the_same(
    events: list[str | int | tuple[str, str | int]], late: str, offline: str
) -> None:
    """Peers: orphaned Terminating pods on nodes that are off (kubeedge#3735, kubernetes#72226)."""
    story = FlakyStory(late, offline)
    world = story.world
    for event in events:
        story.happen(event)
    story.end()
    if late != "Reaggregate":
        # What was missed comes with the next run.
        world.annotations = {"pi-edge-spark.io/run-now": "1"}
        story.end()
    assert (world.status["phase"], world.status["nodesSummary"]) == ("Succeeded", "3/3")
    assert world.status["rowsRead"] == 300
    assert not [pod for pod in world.pods.values() if "deletionTimestamp" in pod["metadata"]]
    writes = world.writes
    world.reconcile()
    assert world.writes == writes
