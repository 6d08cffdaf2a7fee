"""Whatever happens in whatever order, and wherever the operator dies: the same end, nothing twice.

The property replays arbitrary facts and crashes through the pure plan. Facts of one pod keep their
own order, as in a cluster; everything else is free.
"""

from collections.abc import Iterator

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
