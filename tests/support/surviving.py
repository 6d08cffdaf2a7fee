"""Tables that must survive: their claims on a real cluster, and what each version has to hold."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.support import independent
from tests.support.cluster import AnyCluster, until
from tests.support.drivers import Drivers, Life
from tests.support.jobs import NAMESPACE, SOURCES, Object, condition, finished, sample, status
from tests.support.playing import PIS, ask

DAYS = ("2019-03-05", "2019-03-06", "2019-03-07")


@dataclass(frozen=True)
class Survivor:
    """A job whose n-th version must hold the files of its first n patterns."""

    cluster: AnyCluster
    name: str
    folder: Path
    """Its results."""
    patterns: Sequence[str]
    source: str = "sensors"
    nodes: Sequence[str] = PIS
    spec: Mapping[str, Any] = field(default_factory=dict)

    @property
    def table(self) -> Path:
        """Its table."""
        return self.folder / "table"

    def apply(self, count: int) -> None:
        """Apply it for the files of so many patterns; this begins a run."""
        include = list(self.patterns[:count])
        source = {"source": {"name": self.source, "include": include}}
        job = sample(self.name, **{**self.spec, **source})
        # A Pi that is off is waited for: each run has all nodes.
        job["spec"]["nodes"] |= {"offlinePolicy": "Wait"}
        if len(self.nodes) == 1:
            job["spec"]["nodes"]["selector"] = {
                "matchLabels": {"kubernetes.io/hostname": self.nodes[0]}
            }
        self.cluster.apply(job, namespace=NAMESPACE)

    def run_again(self) -> None:
        """Ask for a run."""
        before = status(self.cluster, self.name)["run"]["id"]
        ask(self.cluster, self.name, before)
        until(lambda: status(self.cluster, self.name)["run"]["id"] > before, "a run begins")

    def succeeds(self) -> Object:
        """Wait until its run has succeeded."""
        return finished(self.cluster, self.name, timeout=300)

    def fails(self) -> Object:
        """Wait until its run has failed; return what is said of the aggregation."""
        failed = "{.status.phase}=Failed"
        self.cluster.wait(f"eej/{self.name}", jsonpath=failed, timeout=240, namespace=NAMESPACE)
        return condition(status(self.cluster, self.name), "Aggregated")

    def whole(self, table: Path | None = None) -> int:
        """Compare what readers see with what pandas computes; return the version's number."""
        current = ((table or self.table) / "current").resolve()
        number = int(current.name.removeprefix("v"))
        sources = tuple(self.cluster.node(n).path(f"{SOURCES}/{self.source}") for n in self.nodes)
        right = _expected(sources, tuple(self.patterns[:number]))
        independent.assert_equal(independent.published_version(current), right)
        return number


@cache
def _expected(sources: tuple[Path, ...], patterns: tuple[str, ...]) -> independent.Table:
    nodes = {str(number): source for number, source in enumerate(sources)}
    return independent.expected(nodes, *patterns)


def claim(cluster: AnyCluster, name: str, path: str | Path, node: str = "") -> None:
    """Make a claim of a directory: of one node, or the same one for all of them."""
    spec: Object = {
        "accessModes": ["ReadWriteOnce" if node else "ReadWriteMany"],
        "storageClassName": "",
    }
    expression = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    affinity = {"required": {"nodeSelectorTerms": [{"matchExpressions": [expression]}]}}
    volume = {
        **spec,
        "capacity": {"storage": "1Gi"},
        "hostPath": {"path": str(path)},
        "claimRef": {"namespace": NAMESPACE, "name": name},
        **({"nodeAffinity": affinity} if node else {}),
    }
    wanted = {**spec, "volumeName": name, "resources": {"requests": {"storage": "1Gi"}}}
    named = {"apiVersion": "v1", "metadata": {"name": name}}
    cluster.apply({**named, "kind": "PersistentVolume", "spec": volume})
    cluster.apply({**named, "kind": "PersistentVolumeClaim", "spec": wanted}, namespace=NAMESPACE)


def shared(cluster: AnyCluster, name: str, root: Path) -> Survivor:
    """Return a job with two executors, on a claim of its own that each node can mount."""
    root.chmod(0o777)
    claim(cluster, name, root)
    spec = {
        "results": {"volumeClaim": {"name": name}},
        "aggregate": {"mode": "Cluster", "executor": {"instances": 2}},
    }
    patterns = [f"{day}*.csv" for day in DAYS]
    return Survivor(cluster, name, root / NAMESPACE / name, patterns, spec=spec)


def die(job: Survivor, moments: Sequence[str]) -> dict[str, Life]:
    """Let drivers die over the job's second deliveries, at each of some moments in their order.

    After each death the table must be whole. The first is the driver that the operator makes.
    """
    drivers = Drivers(job.cluster, job.name, job.table)
    job.apply(2)
    lives = {moments[0]: drivers.own(begins_with=1)}
    own = drivers.die(lives[moments[0]], moments[0])
    said = job.fails()
    assert said["reason"] == "AggregationFailed"
    assert "137" in said["message"]
    _look(job, lives[moments[0]], moments[0], own)
    for number, moment in enumerate(moments[1:], 2):
        life = lives[moment] = drivers.again(own, f"{job.name}-{number}", begins_with=1)
        _look(job, life, moment, drivers.die(life, moment))
        # Its executors go with it.
        gone = ("--force", "--grace-period=0", "--wait=false", "-n", NAMESPACE)
        job.cluster.kubectl("delete", "pod", life.pod, *gone)
    return lives


def _look(job: Survivor, life: Life, moment: str, dead: Object) -> None:
    """Compare the table after a death, which came before the driver's own end."""
    ended = dead["status"]["containerStatuses"][0]["state"]["terminated"]
    print(f"{moment}: exit code {ended['exitCode']}, version {job.whole()}")
    assert ended["exitCode"] == 137 or life.published(), moment
