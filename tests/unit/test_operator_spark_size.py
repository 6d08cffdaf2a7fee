"""How Spark is sized, what is refused, and what the nodes are believed to have left."""

from typing import Any

import msgspec
import pytest
from edge_etl_operator import capacity
from edge_etl_operator.api import Aggregate
from edge_etl_operator.capacity import Capacity, Claim, PodUsage, Room, Volume
from edge_etl_operator.kube import Node
from edge_etl_operator.policies import spark_size
from edge_etl_operator.policies.spark_size import Refusal, Size, SparkPlan, Work
from hypothesis import given
from hypothesis import strategies as st

MIB = 1 << 20
LITTLE, MUCH = Work(50 * MIB, 10), Work(2048 * MIB, 10)


def asked(**changes: Any) -> Aggregate:
    return msgspec.convert(changes, Aggregate)


def rooms(*free: int, cpu: int = 4000, whole: int = 8192) -> tuple[Room, ...]:
    return tuple(Room(f"n{number}", cpu, memory, whole) for number, memory in enumerate(free))


def plan(
    aggregate: Aggregate, work: Work, given: tuple[Room, ...] = (), *, one_node: bool = False
) -> SparkPlan:
    found = spark_size.plan(aggregate, work, given, one_node=one_node)
    assert isinstance(found, SparkPlan), found
    return found


def refused(
    aggregate: Aggregate, work: Work, given: tuple[Room, ...], *, one_node: bool = False
) -> str:
    found = spark_size.plan(aggregate, work, given, one_node=one_node)
    assert isinstance(found, Refusal), found
    return found.fact


def test_fifty_megabytes_are_merged_in_one_small_pod() -> None:
    assert plan(asked(), LITTLE, rooms(1000)) == SparkPlan(Size(1, 512, 896))
    assert plan(asked(), Work(100 * MIB, 10), rooms(1100)) == SparkPlan(Size(2, 512, 1024))


def test_a_wide_table_gets_a_larger_heap() -> None:
    assert plan(asked(), Work(50 * MIB, 132)).driver.heap > plan(asked(), LITTLE).driver.heap


def test_much_is_spread_over_executors_where_the_nodes_have_room() -> None:
    chosen = plan(asked(), MUCH, rooms(4000, 4000, 4000))
    assert (chosen.mode, chosen.instances) == ("Cluster", 8)
    assert plan(asked(), MUCH, rooms(1700, 950)).instances == 1, "the driver takes the rest"
    assert plan(asked(), MUCH, rooms(1100)).mode == "Local"


def test_a_volume_of_one_node_keeps_spark_there() -> None:
    assert plan(asked(), MUCH, rooms(4000, 4000), one_node=True).mode == "Local"
    cluster = asked(mode="Cluster", executor={"instances": 2})
    assert plan(cluster, LITTLE, rooms(4000, 100), one_node=True).one_node
    assert "on one node" in refused(cluster, LITTLE, rooms(1800, 1800), one_node=True)
    assert not plan(cluster, LITTLE, rooms(1800, 1800)).one_node


def test_what_a_person_asks_for_is_kept_to() -> None:
    chosen = plan(asked(driver={"cores": 3, "memory": "2g"}), LITTLE, rooms(8000))
    assert chosen.driver == Size(3, 2048, 3072)
    cluster = asked(mode="Cluster", executor={"instances": 3, "cores": 2, "memory": "768m"})
    chosen = plan(cluster, LITTLE, rooms(8000, cpu=8000))
    assert (chosen.instances, chosen.executor) == (3, Size(2, 768, 1152))
    assert "3 times 1152 MiB" in refused(cluster, LITTLE, rooms(3000))


def test_drivers_never_take_the_room_of_their_executors() -> None:
    assert "free now: n0 1700 MiB" in refused(asked(mode="Cluster"), LITTLE, rooms(1700))


def test_what_no_node_can_ever_hold_is_said() -> None:
    large = asked(driver={"memory": "8g"})
    assert "no node that it may run on has more than 8192 MiB" in refused(
        large, LITTLE, rooms(8000)
    )


def test_cores_count_too() -> None:
    assert "500m cpu" in refused(asked(), LITTLE, rooms(8000, cpu=500))


def test_without_knowledge_of_the_nodes_the_scheduler_decides() -> None:
    assert plan(asked(driver={"memory": "64g"}), LITTLE).driver.heap == 65536


@given(
    st.integers(0, 1 << 36),
    st.integers(1, 300),
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 8192)), min_size=1, max_size=5),
    st.sampled_from(["Auto", "Local", "Cluster"]),
    st.booleans(),
)
def test_every_plan_fits_and_is_never_below_sparks_minimum(
    size: int, columns: int, free: list[tuple[int, int]], mode: str, one_node: bool
) -> None:
    given = tuple(
        Room(f"n{number}", cpu * 1000, memory, 8192) for number, (cpu, memory) in enumerate(free)
    )
    found = spark_size.plan(asked(mode=mode), Work(size, columns), given, one_node=one_node)
    if isinstance(found, Refusal):
        assert found.fact
        return
    executors = [found.executor] * found.instances if found.executor else []
    pods = [found.driver, *executors]
    assert all(pod.heap >= 450 and pod.pod > pod.heap for pod in pods)
    assert sum(pod.pod for pod in pods) <= sum(memory for _, memory in free)
    assert max(pod.pod for pod in pods) <= max(memory for _, memory in free)


@pytest.mark.parametrize(
    ("text", "value"),
    [("500m", 0.5), ("2", 2), ("128974848", 128974848), ("1e3", 1000), ("2Gi", 2 << 30),
     ("1930500Ki", 1930500 << 10), ("1.5G", 1.5e9), ("", 0)],
)  # fmt: skip
def test_quantities_are_read_as_kubernetes_writes_them(text: str, value: float) -> None:
    assert capacity.quantity(text) == value


def node(name: str, labels: dict[str, str] | None = None, **spec: Any) -> Node:
    document = {
        "metadata": {"name": name, "labels": labels or {}},
        "spec": spec,
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "allocatable": {"cpu": "4", "memory": "4Gi"},
        },
    }
    return msgspec.convert(document, Node)


def usage(on: str, memory: str, phase: str = "Running") -> PodUsage:
    container = {"resources": {"requests": {"memory": memory, "cpu": "500m"}}}
    document = {
        "spec": {"nodeName": on, "containers": [container], "initContainers": [container]},
        "status": {"phase": phase},
    }
    return msgspec.convert(document, PodUsage)


def test_room_is_what_nodes_have_without_what_pods_asked_for() -> None:
    seen = Capacity((usage("a", "1Gi"), usage("a", "2Gi", "Succeeded"), usage("b", "3Gi")))
    assert seen.rooms([node("a"), node("b")], {}, ()) == (
        Room("a", 3500, 3072, 4096),
        Room("b", 3500, 1024, 4096),
    )


def test_nodes_that_take_no_pod_of_spark_have_no_room() -> None:
    taint = {"key": "only", "effect": "NoSchedule"}
    nodes = [
        node("cordoned", unschedulable=True),
        node("tainted", taints=[taint]),
        node("other", labels={"disk": "sd"}),
        node("good", labels={"disk": "ssd"}),
    ]
    assert [room.node for room in Capacity().rooms(nodes, {"disk": "ssd"}, ())] == ["good"]
    tolerated = Capacity().rooms(nodes, {}, ({"key": "only", "operator": "Exists"},))
    assert "tainted" in [room.node for room in tolerated]


def test_a_volume_that_is_bound_to_a_node_leaves_only_that_node() -> None:
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": ["b"]}
    terms = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
    volume = msgspec.convert({"spec": {"nodeAffinity": terms}}, Volume)
    claim = msgspec.convert({"spec": {"accessModes": ["ReadWriteOnce"]}}, Claim)
    seen = Capacity((), claim, volume)
    nodes = [node(name, {"kubernetes.io/hostname": name}) for name in ("a", "b")]
    assert seen.one_node
    assert [room.node for room in seen.rooms(nodes, {}, ())] == ["b"]
    shared = msgspec.convert({"spec": {"accessModes": ["ReadWriteMany"]}}, Claim)
    assert not Capacity((), shared, None).one_node
