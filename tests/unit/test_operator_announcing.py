"""Which changes of a status become Events."""

from datetime import UTC, datetime
from typing import Any, cast

from edge_etl_operator.announcing import LONGEST_NOTE, Announcer, announcements
from edge_etl_operator.api import Metadata, Status
from edge_etl_operator.cluster import Cluster, RefusedError

from tests.support import operator_facts as facts
from tests.support.operator_facts import World

NOW = datetime(2026, 3, 1, tzinfo=UTC)
JOB = Metadata(name="air", namespace="edge", uid="u")
IMAGE = {"reason": "ImagePullBackOff", "message": "not there"}


def told(known: Status, world: World) -> list[str]:
    return [f"{each.type} {each.reason}" for each in announcements(known, world.job.status)]


def test_a_run_that_succeeds_is_told_in_three_events() -> None:
    world = World().with_nodes("pi-1")
    empty = world.job.status
    started = world.settle().job.status
    assert told(empty, world) == ["Normal RunStarted"]
    merging = world.deliver("pi-1").settle().job.status
    assert told(started, world) == ["Normal AllNodesDelivered"]
    world.pod_is(world.driver, "Succeeded", facts.report()).settle()
    assert told(merging, world) == ["Normal RunSucceeded"]
    assert told(world.job.status, world) == []


def test_what_waits_for_a_person_is_a_warning_with_the_remedy() -> None:
    world = World().with_nodes("pi-1").settle()
    known = world.job.status
    world.pod_of("pi-1", **facts.container(waiting=IMAGE))
    world.settle()
    [event] = announcements(known, world.job.status)
    assert (event.type, event.reason) == ("Warning", "ImageUnavailable")
    assert event.note.endswith("imagePullSecrets.")


class Wall:
    """Takes what would be posted, or refuses it."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.posted: list[dict[str, Any]] = []
        self._refuses = refuses

    def create(self, manifest: dict[str, Any]) -> None:
        if self._refuses:
            raise RefusedError(403, "Forbidden", "events is forbidden")
        self.posted.append(manifest)


def test_a_cause_that_comes_and_goes_is_told_once_in_a_run() -> None:
    world, wall = World().with_nodes("pi-1").settle(), Wall()
    announcer = Announcer(cast("Cluster", wall), "operator-0")
    pod = world.pod_of("pi-1")
    for _ in range(20):
        for status in (
            {"phase": "Pending", **facts.container(waiting=IMAGE)},
            {"phase": "Running"},
        ):
            known = world.job.status
            world.pods[pod]["status"] = status
            world.settle()
            announcer.tell(JOB, known, world.job.status, NOW)
    assert [event["reason"] for event in wall.posted] == ["ImageUnavailable"]


def test_an_event_fits_and_one_that_is_refused_harms_nothing() -> None:
    world = World(spec=facts.spec(source={"name": "s" * 3000})).settle()
    wall = Wall()
    Announcer(cast("Cluster", wall), "operator-0").tell(JOB, Status(), world.job.status, NOW)
    [event] = wall.posted
    assert event["reason"] == "SourceNotAllowed"
    assert len(event["note"]) == LONGEST_NOTE
    Announcer(cast("Cluster", Wall(refuses=True)), "0").tell(JOB, Status(), world.job.status, NOW)
