"""How soon the operator acts on a small real cluster: real nodes, real pods, the chart as it is.

Ten times a job is created over four nodes. Measured are the times that a person waits for the
operator: from the job to the last node's pod, and from the last pod's end to the driver's pod. The
driver is not waited for: the job is deleted as soon as its pod is there.

Then a job is run to its end, and asked ten times for a run that has nothing new.
"""

import statistics
import time
from dataclasses import dataclass
from typing import Final

from tests.benchmarks import simulated
from tests.benchmarks.simulated import Watcher, wait
from tests.support.cluster import Cluster
from tests.support.cluster.install import RELEASE, SENSORS, install_chart
from tests.support.cluster.preparing import prepare

ROUNDS: Final = 10
_READINGS: Final = "sensor_id,timestamp,P1\n" + "".join(
    f"s1,2026-03-01T12:{minute:02}:00Z,{minute / 10}\n" for minute in range(60)
)


@dataclass(frozen=True)
class Latency:
    """Seconds: the median and the worst of all rounds."""

    nodes: int
    rounds: int
    pods_created_median: float
    pods_created_worst: float
    driver_created_median: float
    driver_created_worst: float
    first_run: float
    nothing_new_median: float
    nothing_new_worst: float


def measure(nodes: int, rounds: int = ROUNDS) -> Latency:
    """Start a cluster and measure; needs root on Debian, as the e2e tests do."""
    images = prepare(project=True)
    with Cluster(nodes, 0, images, "bench") as cluster:
        for name in cluster.edge_nodes:
            folder = cluster.node(name).path(SENSORS)
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "readings.csv").write_text(_READINGS)
        install_chart(cluster, images)
        watcher = Watcher(cluster, RELEASE)
        begun, merged = [], []
        for number in range(rounds):
            first, second = _round(cluster, watcher, f"latency-{number}", nodes)
            begun.append(first)
            merged.append(second)
        first_run, again = _nothing_new(cluster, watcher, rounds)
    return Latency(
        nodes=nodes,
        rounds=rounds,
        pods_created_median=statistics.median(begun),
        pods_created_worst=max(begun),
        driver_created_median=statistics.median(merged),
        driver_created_worst=max(merged),
        first_run=first_run,
        nothing_new_median=statistics.median(again),
        nothing_new_worst=max(again),
    )


def _round(cluster: Cluster, watcher: Watcher, name: str, nodes: int) -> tuple[float, float]:
    simulated.apply(watcher, name)
    seen = watcher.of(name)
    wait(lambda: seen.driver_created, f"the driver of {name}", 300, every=0.02)
    assert len(seen.pods) == len(seen.ended) == nodes
    cluster.kubectl("delete", "eej", name, "-n", RELEASE, "--wait=false")

    def gone() -> bool:
        return not watcher.pods.group(RELEASE, name)

    wait(gone, f"the pods of {name} are gone", 120)
    time.sleep(1)
    return max(seen.pods) - seen.applied, seen.driver_created - seen.last_ended


def _nothing_new(cluster: Cluster, watcher: Watcher, rounds: int) -> tuple[float, list[float]]:
    """Return what a job's first run takes, and each of those that find nothing new after it."""
    name = "again"
    simulated.apply(watcher, name)
    found = [_succeeds(watcher, name, "") - watcher.of(name).applied]
    for number in range(rounds):
        before = _run_of(watcher, name)
        asked = time.monotonic()
        request = f"pi-edge-spark.io/run-now={number}"
        cluster.kubectl("annotate", "eej", name, request, "--overwrite", "-n", RELEASE)
        found.append(_succeeds(watcher, name, before) - asked)
    return found[0], found[1:]


def _run_of(watcher: Watcher, name: str) -> str:
    return next(job.status.run.id for job in watcher.wishes.all() if job.metadata.name == name)


def _succeeds(watcher: Watcher, name: str, before: str) -> float:
    """Wait until a run after `before` has succeeded; return when that was seen."""

    def done() -> bool:
        return any(
            job.metadata.name == name
            and job.status.phase == "Succeeded"
            and job.status.run.id > before
            for job in watcher.wishes.all()
        )

    wait(done, f"a run of {name}", 300, every=0.02)
    return time.monotonic()
