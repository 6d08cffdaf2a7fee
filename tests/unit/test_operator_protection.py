"""What protects the fleet and the API server: the limiter, the lease, the sentinel."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from edge_etl_operator.cleaning import BATCH
from edge_etl_operator.connection import ConflictError, NotFoundError, TransientError
from edge_etl_operator.lease import DURATION_SECONDS, Lease
from edge_etl_operator.limiter import Limiter
from edge_etl_operator.policies import parallel
from edge_etl_operator.sentinel import DEAF_SECONDS, HUNG_SECONDS, Sentinel

from tests.support import operator_facts as facts
from tests.support.operator_facts import World


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_goes_at_once_and_the_rest_evenly() -> None:
    clock = Clock()
    limiter = Limiter(10, 3, clock)
    assert [round(limiter.reserve(), 3) for _ in range(5)] == [0, 0, 0, 0.1, 0.2]
    clock.now += 60
    assert [round(limiter.reserve(), 3) for _ in range(4)] == [0, 0, 0, 0.1]


def test_a_pause_that_the_api_server_asks_for_holds_everything() -> None:
    clock = Clock()
    limiter = Limiter(10, 3, clock)
    limiter.pause(2)
    assert limiter.reserve() == 2
    clock.now += 5
    assert limiter.reserve() == 0


class Server:
    """Holds one Lease as the API server would."""

    def __init__(self) -> None:
        self.lease: dict[str, Any] | None = None
        self.version = 0
        self.down = False

    def call(self, method: str, place: str, *, body: Any = None, **_: Any) -> bytes:
        if self.down:
            raise TransientError(0, "Unreachable", "down")
        if method == "GET":
            if self.lease is None:
                raise NotFoundError(404, "NotFound", "no lease")
            return json.dumps(self.lease).encode()
        known = self.lease["metadata"]["resourceVersion"] if self.lease else None
        if known != body["metadata"].get("resourceVersion"):
            raise ConflictError(409, "Conflict", "changed")
        self.version += 1
        self.lease = {
            **body,
            "metadata": {**body["metadata"], "resourceVersion": str(self.version)},
        }
        return json.dumps(self.lease).encode()

    def stream(self, *_: Any) -> Iterator[bytes]:
        raise AssertionError


def two(clock: Clock) -> tuple[Server, Lease, Lease]:
    server: Any = Server()
    first = Lease(server, "edge", "operator", "first", clock)
    return server, first, Lease(server, "edge", "operator", "second", clock)


def test_two_operators_never_hold_the_lease_at_once() -> None:
    clock = Clock()
    _, first, second = two(clock)
    assert first.renew()
    assert not second.renew()
    for _ in range(6):
        clock.now += DURATION_SECONDS / 3
        first.renew()
        second.renew()
        assert (first.held, second.held) == (True, False)
    # The first one is cut off: it stops before the second one begins.
    clock.now += DURATION_SECONDS - 1
    assert not second.renew()
    assert not first.held
    clock.now += 2
    assert second.renew()
    assert not first.renew()


def test_a_lease_that_was_given_back_is_taken_at_once() -> None:
    clock = Clock()
    _, first, second = two(clock)
    first.renew()
    first.release()
    assert not first.held
    assert second.renew()


def test_the_same_pod_started_again_need_not_wait() -> None:
    clock = Clock()
    server, first, _ = two(clock)
    first.renew()
    again: Any = server
    assert Lease(again, "edge", "operator", "first", clock).renew()


def test_an_api_server_that_is_away_takes_the_lease_away_in_time() -> None:
    clock = Clock()
    server, first, _ = two(clock)
    first.renew()
    server.down = True
    clock.now += DURATION_SECONDS - 1
    with pytest.raises(TransientError):
        first.renew()
    assert not first.held


def test_a_renewal_that_does_not_come_back_is_counted() -> None:
    clock = Clock()
    _, first, _ = two(clock)
    first.renew()
    clock.now += 5
    first.renew()
    assert first.unseen_seconds() == 5
    first._came_back(None, None)
    assert first.unseen_seconds() == 0


def test_a_write_that_is_not_seen_makes_the_operator_unhealthy() -> None:
    """Peers: a kopf operator deaf while /healthz says OK (dask#620)."""
    clock = Clock()
    sentinel = Sentinel(clock)
    sentinel.saw("edge/air", "5")
    sentinel.expect("edge/air", "7")
    sentinel.saw("edge/air", "6")
    clock.now += DEAF_SECONDS - 1
    sentinel.expect("edge/air", "8")
    assert sentinel.problems() == []
    clock.now += 2
    [problem] = sentinel.problems()
    assert "edge/air" in problem
    sentinel.saw("edge/air", "9")
    assert sentinel.problems() == []


def test_a_write_that_was_seen_before_its_answer_and_one_that_is_gone_are_not_missed() -> None:
    clock = Clock()
    sentinel = Sentinel(clock)
    sentinel.saw("edge/air", "7")
    sentinel.expect("edge/air", "7")
    sentinel.expect("edge/water", "9")
    sentinel.forget("edge/water")
    clock.now += 1000
    assert sentinel.problems() == []


def test_a_loop_that_hangs_makes_the_operator_unhealthy() -> None:
    clock = Clock()
    sentinel = Sentinel(clock)
    clock.now += 1000
    assert sentinel.problems() == []  # it has not begun
    sentinel.beat()
    clock.now += HUNG_SECONDS + 1
    assert "loop" in sentinel.problems()[0]


@pytest.mark.parametrize(
    ("at_work", "most", "room", "more"),
    [
        (0, None, None, None),
        (0, 10, None, 10),
        (9, 10, None, 1),
        (12, 10, None, 0),  # the limit was lowered
        (5, None, 3, 3),
        (5, 10, 3, 3),
        (5, 6, 3, 1),
        (0, 10, 0, 0),
    ],
)
def test_how_many_nodes_may_begin(
    at_work: int, most: int | None, room: int | None, more: int | None
) -> None:
    assert parallel.admitted(at_work, most, room) == more


def test_a_limit_lets_the_nodes_take_turns() -> None:
    world = World(spec=facts.spec(nodes={**facts.spec()["nodes"], "maxParallel": 2}))
    world.with_nodes("pi-1", "pi-2", "pi-3", "pi-4", "pi-5").settle()
    assert len(world.jobs) == 2
    assert "3 wait for their turn" in world.message("EdgeComplete")
    world.deliver("pi-1").settle()
    assert len(world.jobs) == 3
    world.deliver("pi-2", "pi-3").settle()
    assert len(world.jobs) == 5
    world.deliver("pi-4", "pi-5").settle()
    assert world.status["phase"] == "Aggregating"


def test_the_operators_limit_holds_all_jobs_together() -> None:
    world = World().with_nodes("pi-1", "pi-2", "pi-3")
    world.room = 0
    world.settle()
    assert world.jobs == {}
    assert "3 wait for their turn" in world.message("EdgeComplete")
    world.room = None
    world.settle()
    assert len(world.jobs) == 3


def test_many_nodes_begin_in_batches_and_each_once() -> None:
    world = World().with_nodes(*(f"pi-{number}" for number in range(2 * BATCH + 50)))
    world.reconcile()
    decision = world.reconcile()
    assert (len(world.jobs), decision.again) == (BATCH, 0.0)
    world.settle()
    assert len(world.jobs) == 2 * BATCH + 50
    assert len(world.created) == len(set(world.created)) == 2 * BATCH + 51
