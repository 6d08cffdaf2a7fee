"""The table while what makes it dies: always some whole version, and in the end all of it.

Each version is compared with what pandas computes from the raw files that it has to hold.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from tests.support.cluster import AnyCluster, until
from tests.support.drivers import Drivers, Life
from tests.support.jobs import (
    EXTRACT,
    NAMESPACE,
    SOURCES,
    Object,
    aged,
    kill,
    objects,
    processes,
    results,
)
from tests.support.playing import PIS, reaches
from tests.support.surviving import DAYS, Survivor, claim, die, shared

LOCAL = {"aggregate": {"mode": "Local", "driver": {"memory": "512m"}}}
LANDING = "app.kubernetes.io/component=landing"
RUN = "pi-edge-spark.io/run"
SERVICE = "edge_etl_job landing"
SMALL = "/var/lib/pi-edge-spark/small"
SEASON = [f"2019-04-{day:02}" for day in range(1, 25)]
MOMENTS = ("it asks for executors", "it has written rows", "it publishes")
"""Of the ten moments of a driver's life; `make test-full` plays all."""


@dataclass(frozen=True)
class Survivors:
    """Three jobs whose first versions are published, each with its results elsewhere."""

    everywhere: Survivor
    """On a claim that all nodes can mount."""
    landed: Survivor
    """At the landing service."""
    small: Survivor
    """On a small volume of one node."""


@pytest.fixture(scope="module")
def survivors(pis: AnyCluster, tmp_path_factory: pytest.TempPathFactory) -> Survivors:
    """Publish the first version of each."""
    _write_season(pis)
    folder = tmp_path_factory.mktemp("everywhere")
    season = [f"{SEASON[0]}*.csv", "*.csv"]
    landed = results(pis, "landed")
    found = Survivors(
        everywhere=shared(pis, "everywhere", folder),
        landed=Survivor(pis, "landed", landed, season, source="seasons", spec=LOCAL),
        small=_small(pis, tmp_path_factory.mktemp("small")),
    )
    jobs = (found.everywhere, found.landed, found.small)
    for job in jobs:
        job.apply(1)
    for job in jobs:
        job.succeeds()
    return found


def _write_season(cluster: AnyCluster) -> None:
    """Give each node a sensor's file for each of many days: a delivery that takes a while."""
    for node in PIS:
        origin = min((EXTRACT / node).glob("2019-03-05_sds011_*.csv"))
        sensor = origin.stem.removeprefix("2019-03-05")
        folder = cluster.node(node).path(f"{SOURCES}/seasons")
        folder.mkdir(exist_ok=True)
        for day in SEASON:
            text = origin.read_text().replace("2019-03-05T", f"{day}T")
            (folder / f"{day}{sensor}.csv").write_text(text)
            aged(folder / f"{day}{sensor}.csv")


def _small(cluster: AnyCluster, copies: Path) -> Survivor:
    node = PIS[1]
    machine = cluster.node(node)
    machine.run("mkdir", "-p", SMALL)
    machine.run("mount", "-t", "tmpfs", "-o", "size=256m,mode=777", "tmpfs", SMALL)
    claim(cluster, "tight", SMALL, node)
    patterns = [f"{day}*.csv" for day in DAYS]
    spec = {**LOCAL, "results": {"volumeClaim": {"name": "tight"}}}
    return Survivor(cluster, "tight", copies, patterns, nodes=[node], spec=spec)


@dataclass(frozen=True)
class Deaths:
    """What was seen while drivers died, and a disk was full, at the same time."""

    lives: dict[str, Life]
    executors: set[str]
    """The nodes on which the last driver's executors ran."""
    filled: Object
    """What was said of the aggregation that had no room."""
    versions: dict[str, int]


@pytest.fixture(scope="module")
def deaths(survivors: Survivors) -> Deaths:
    """Kill drivers and an executor; fill a volume in the middle of a publication."""
    with ThreadPoolExecutor() as pool:
        filled = pool.submit(_fill, survivors.small)
        lives = die(survivors.everywhere, MOMENTS)
        executors = _lose_an_executor(survivors.everywhere)
        said, versions = filled.result()
    return Deaths(lives, executors, said, versions)


def _lose_an_executor(job: Survivor) -> set[str]:
    """Kill an executor with -9 while rows are written; return the nodes of the first two.

    The run merges what drivers that died have left; if the last of them was quick, something new.
    """
    before = job.whole()
    if before == 1:
        job.run_again()
    else:
        job.apply(3)
    life = Drivers(job.cluster, job.name, job.table).own(begins_with=before)
    until(lambda: len(life.executors("Running")) == 2, "two executors", timeout=120)
    executors = life.executors("Running")
    pids = processes(job.cluster, executors[0], "KubernetesExecutorBackend")
    until(lambda: life.staged("rows"), "rows are written", timeout=120, every=0.005)
    kill(job.cluster, executors[0], pids)
    assert not life.published(), "the executor was killed too late"
    job.succeeds()
    return {pod["spec"]["nodeName"] for pod in executors}


def _fill(job: Survivor) -> tuple[Object, dict[str, int]]:
    """Let a volume be full from when Spark starts, then enlarge it and run again."""
    machine = job.cluster.node(job.nodes[0])

    def resize(size: str) -> None:
        machine.run("mount", "-o", f"remount,size={size}", SMALL)

    def copied(name: str) -> Path:
        target = job.folder / name
        machine.run("cp", "-a", f"{SMALL}/{NAMESPACE}/{job.name}/table", target)
        return target

    def builds() -> bool:
        staging = f"{SMALL}/{NAMESPACE}/{job.name}/table/staging"
        return bool(machine.run("find", SMALL, "-path", f"{staging}/*", "-prune", "-print"))

    job.apply(2)
    until(builds, "a version is built", timeout=240, every=0.02)
    used = machine.run("df", "--output=used", "-k", SMALL).split()[-1]
    resize(f"{int(used) + 4}k")
    said = job.fails()
    versions = {"full": job.whole(copied("full"))}
    resize("256m")
    job.run_again()
    job.succeeds()
    return said, {**versions, "enlarged": job.whole(copied("enlarged"))}


def test_drivers_and_an_executor_that_die_leave_a_whole_version(
    survivors: Survivors, deaths: Deaths
) -> None:
    # What readers see was compared after each death.
    assert list(deaths.lives) == list(MOMENTS)
    assert survivors.everywhere.whole() > 1
    assert len(deaths.executors) == 2, "executors spread over nodes"


def test_a_disk_that_is_full_in_the_middle_of_a_publication(deaths: Deaths) -> None:
    assert deaths.filled["reason"] == "AggregationFailed"
    assert "DiskFull" in deaths.filled["message"]
    assert deaths.versions == {"full": 1, "enlarged": 2}


def test_a_run_with_nothing_new_starts_no_spark(survivors: Survivors, deaths: Deaths) -> None:
    job = survivors.small
    job.run_again()
    told = reaches(job.cluster, job.name, "Succeeded", told_in="A run with nothing new")
    drivers = objects(job.cluster, "pods", job.name, "aggregate")
    assert told["run"]["id"] not in {pod["metadata"]["labels"][RUN] for pod in drivers}


def test_a_landing_service_that_dies_with_its_node(survivors: Survivors, deaths: Deaths) -> None:
    """While Pis deliver the service is killed, then its node's power is cut; also for Spark."""
    job, cluster = survivors.landed, survivors.landed.cluster
    before = set((job.folder / "runs").iterdir())
    home = _landing(cluster)["spec"]["nodeName"]
    slow = cluster.node(next(name for name in PIS if name != home))
    # Over such a line a delivery takes seconds, so that there is a middle of it.
    line = ("rate", "200kbit", "burst", "8kb", "latency", "5s")
    slow.run("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", *line)
    job.apply(2)
    (run,) = until(
        lambda: set((job.folder / "runs").iterdir()) - before, "it is delivered", 120, 0.002
    )
    landing = _landing(cluster)
    until(partial(_arriving, run), "uploads", every=0.002)
    place = cluster.node(landing["spec"]["nodeName"])
    kill(cluster, landing, processes(cluster, landing, SERVICE))
    assert _arriving(run), "it was killed too late"
    count = _files(run)
    until(lambda: _files(run) > count and _arriving(run), "it is back", timeout=120, every=0.002)
    place.power_off()
    assert _arriving(run), "the power was cut too late"
    assert job.whole() == 1
    slow.run("tc", "qdisc", "del", "dev", "eth0", "root")
    place.power_on()

    life = Drivers(cluster, job.name, job.table).own(begins_with=1)
    until(lambda: life.staged("rows"), "rows are written", timeout=120, every=0.005)
    landing = _landing(cluster)
    kill(cluster, landing, processes(cluster, landing, SERVICE))
    place.power_off()
    assert not life.published(), "the power was cut too late"
    assert job.whole() == 1
    place.power_on()

    told = job.succeeds()
    assert told["nodesSummary"] == "3/3"
    assert told["run"]["id"] == run.name, "the run that was cut is the one that succeeds"
    assert job.whole() == 2
    cluster.kubectl("rollout", "status", "deployment", "-l", LANDING, "-n", NAMESPACE)


def _landing(cluster: AnyCluster) -> Object:
    (pod,) = cluster.get("pods", "-l", LANDING, "-n", NAMESPACE)["items"]
    found: Object = pod
    return found


def _arriving(run: Path) -> bool:
    """Tell whether a node's files arrive, and its manifest has not."""
    nodes = (node for node in run.iterdir() if not (node / "manifest.json").exists())
    return any(path.is_file() for node in nodes for path in node.rglob("*"))


def _files(run: Path) -> int:
    return sum(path.is_file() for path in run.rglob("*.parquet"))
