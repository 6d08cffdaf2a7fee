"""How much of Spark an aggregation gets, and whether the cluster has room for it.

The memory model comes from measured peaks (docs/performance.md, each taken in a cgroup of what is
given here): Spark sorts and spills in a heap of 512 MiB whatever the bytes are, as long as few
tasks run at once; a wide table needs more for the columns that a Parquet writer holds. Beside the
heap a driver's pod needs the JVM's own memory and Python's, an executor's pod the JVM's.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from edge_etl_operator.api import Aggregate
from edge_etl_operator.capacity import Room

SMALL_BYTES: Final = 64 << 20
"""Compressed Parquet that one core merges, in the least memory."""
CLUSTER_BYTES: Final = 512 << 20
"""Compressed Parquet from which executors on other nodes pay for their start."""
BYTES_PER_EXECUTOR: Final = 256 << 20
MOST_EXECUTORS: Final = 8
"""What `Auto` asks for at most; a person may ask for more."""
_HEAP: Final = 512
_HEAP_PER_CORE: Final = 192
"""For each task at a time beyond two."""
_NARROW: Final = 32
"""Columns that the heap above has room for."""
_HEAP_PER_COLUMN: Final = 4
_DRIVER_OVERHEAD: Final = 384
_OVERHEAD_PER_CORE: Final = 128
"""For each task at a time beyond the first."""
_EXECUTOR_OVERHEAD: Final = 384
"""Spark's own least overhead of a JVM."""


@dataclass(frozen=True)
class Size:
    """A pod of Spark: cores, MiB of Java heap, MiB of the pod."""

    cores: int
    heap: int
    pod: int


@dataclass(frozen=True)
class SparkPlan:
    """How Spark runs: alone in the driver's pod, or with executors."""

    driver: Size
    executor: Size | None = None
    instances: int = 0
    one_node: bool = False
    """Executors have to be on the driver's node, because the volume is there."""

    @property
    def mode(self) -> Literal["Local", "Cluster"]:
        """What it is called in the resource."""
        return "Cluster" if self.executor else "Local"


@dataclass(frozen=True)
class Refusal:
    """Why Spark cannot be placed now."""

    fact: str


@dataclass(frozen=True)
class Work:
    """What there is to merge: bytes that the nodes delivered, columns of the table."""

    bytes: int
    columns: int


def plan(
    asked: Aggregate, work: Work, rooms: Sequence[Room], *, one_node: bool
) -> SparkPlan | Refusal:
    """Return Spark's size, or why there is no room for it.

    What a person asked for is kept to; the rest is chosen. No rooms mean that nothing is known of
    the nodes: the scheduler then decides.
    """
    if asked.mode == "Local":
        return _placed(_local(asked, work), rooms)
    wanted = _cluster(asked, work, one_node=one_node)
    if asked.mode == "Cluster":
        return _shrunk(asked, wanted, rooms)
    if work.bytes >= CLUSTER_BYTES and not one_node:
        found = _shrunk(asked, wanted, rooms)
        if isinstance(found, SparkPlan):
            return found
    return _placed(_local(asked, work), rooms)


def _local(asked: Aggregate, work: Work) -> SparkPlan:
    cores = asked.driver.cores or (1 if work.bytes < SMALL_BYTES else 2)
    heap = mebibytes(asked.driver.memory) or _heap(cores, work.columns)
    return SparkPlan(Size(cores, heap, heap + driver_overhead(heap, cores)))


def _cluster(asked: Aggregate, work: Work, *, one_node: bool) -> SparkPlan:
    driver_heap = mebibytes(asked.driver.memory) or _HEAP
    driver_cores = asked.driver.cores or 1
    overhead = driver_overhead(driver_heap, driver_cores)
    driver = Size(driver_cores, driver_heap, driver_heap + overhead)
    cores = asked.executor.cores or 1
    heap = mebibytes(asked.executor.memory) or _heap(cores, work.columns)
    # Spark's own rule for a JVM: a tenth, at least 384 MiB.
    executor = Size(cores, heap, heap + max(_EXECUTOR_OVERHEAD, heap // 10))
    instances = asked.executor.instances or max(
        2, min(MOST_EXECUTORS, math.ceil(work.bytes / BYTES_PER_EXECUTOR))
    )
    return SparkPlan(driver, executor, instances, one_node)


def _heap(cores: int, columns: int) -> int:
    """Return the MiB of heap in which so many tasks at once merge so many columns."""
    wide = max(0, columns - _NARROW) * _HEAP_PER_COLUMN * cores
    return _HEAP + _HEAP_PER_CORE * max(0, cores - 2) + wide


def driver_overhead(heap: int, cores: int) -> int:
    """Return the MiB of a driver's pod beside the heap: the JVM's own part, and Python."""
    return max(_DRIVER_OVERHEAD + _OVERHEAD_PER_CORE * (cores - 1), heap // 2)


def _shrunk(asked: Aggregate, wanted: SparkPlan, rooms: Sequence[Room]) -> SparkPlan | Refusal:
    """Take fewer executors where a person has not said how many."""
    least = wanted.instances if asked.executor.instances else 1
    found: SparkPlan | Refusal = Refusal("")
    for instances in range(wanted.instances, least - 1, -1):
        found = _placed(replace(wanted, instances=instances), rooms)
        if isinstance(found, SparkPlan):
            return found
    return found


def _placed(plan: SparkPlan, rooms: Sequence[Room]) -> SparkPlan | Refusal:
    """Return the plan if all its pods fit at the same time: none may wait for another's end."""
    if not rooms:
        return plan
    sizes = [plan.driver] + [plan.executor] * plan.instances if plan.executor else [plan.driver]
    for size in (plan.driver, plan.executor):
        if size and not any(room.whole_memory >= size.pod for room in rooms):
            what = "driver" if size is plan.driver else "executor"
            return Refusal(
                f"Spark's {what} needs {size.pod} MiB, and no node that it may run on has more "
                f"than {max(room.whole_memory for room in rooms)} MiB in all"
            )
    groups = [[room] for room in rooms] if plan.one_node else [list(rooms)]
    if any(_fits(sizes, group) for group in groups):
        return plan
    together = " on one node, where the results' volume is" if plan.one_node else ""
    free = "; ".join(f"{room.node} {room.memory} MiB, {room.cpu}m cpu" for room in rooms[:5])
    return Refusal(f"Spark needs {_told(plan)}{together}; free now: {free}")


def _fits(sizes: Sequence[Size], rooms: Sequence[Room]) -> bool:
    """Put the largest pod where most is free, and so on."""
    left = list(rooms)
    for size in sorted(sizes, key=lambda size: -size.pod):
        able = [r for r in left if r.memory >= size.pod and r.cpu >= size.cores * 1000]
        if not able:
            return False
        best = max(able, key=lambda room: room.memory)
        left[left.index(best)] = replace(
            best, memory=best.memory - size.pod, cpu=best.cpu - size.cores * 1000
        )
    return True


def _told(plan: SparkPlan) -> str:
    driver = f"{plan.driver.pod} MiB and {plan.driver.cores} cores for the driver"
    if plan.executor is None:
        return driver
    executor = plan.executor
    return f"{driver} and {plan.instances} times {executor.pod} MiB and {executor.cores} cores"


def mebibytes(memory: str | None) -> int:
    """Return Java's ``768m`` or ``1g`` in MiB; 0 for None."""
    if memory is None:
        return 0
    return int(memory[:-1]) * (1024 if memory.endswith("g") else 1)
