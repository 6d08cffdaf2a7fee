"""Spark's driver on a real cluster: what it has come to, and its pod started again by itself.

An aggregation needs only what the nodes delivered. So its driver can die many times over one set of
deliveries, each time in the pod that the operator made for the run, but for its name and its owner.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster import AnyCluster, until
from tests.support.jobs import NAMESPACE, Object, kill, objects, processes

PROGRAM = "edge_etl_spark run"
_CHOSEN_BY_KUBERNETES = ("nodeName", "priority", "preemptionPolicy", "serviceAccount")


@dataclass(frozen=True)
class Life:
    """A driver that lives, and the table that it works at."""

    cluster: AnyCluster
    pod: str
    table: Path
    begins_with: int
    """The version of the table before it."""
    dead: frozenset[str] = frozenset()
    """What earlier drivers have left in staging."""

    def executors(self, *phases: str) -> list[Object]:
        """Return its executors in these phases."""
        pods = self.cluster.get("pods", "-n", NAMESPACE, "-l", "spark-role=executor")["items"]
        return [
            each
            for each in pods
            if each["status"]["phase"] in phases
            and self.pod in (owner["name"] for owner in each["metadata"]["ownerReferences"])
        ]

    def seen(self) -> Object:
        """Return its pod."""
        pod: Object = self.cluster.get("pod", self.pod, "-n", NAMESPACE)
        return pod

    def staged(self, pattern: str) -> bool:
        """Tell whether the version that it builds has come to hold a file, or is published."""
        builds = (each for each in self.table.glob("staging/*") if each.name not in self.dead)
        return any(any(each.glob(pattern)) for each in builds) or self.published()

    def published(self) -> bool:
        """Tell whether there is a newer version than the one it began with."""
        return (self.table / "versions" / f"v{self.begins_with + 1:06}").exists()


Moment = Callable[[Life], bool]

MOMENTS: dict[str, Moment] = {
    "it runs": lambda _life: True,
    "it starts Spark": lambda life: life.staged("**"),
    "it asks for executors": lambda life: bool(life.executors("Pending", "Running")),
    "its executors run": lambda life: len(life.executors("Running")) == 2,
    "it writes rows": lambda life: life.staged("rows"),
    "it has written rows": lambda life: life.staged("rows/*/*.parquet"),
    "it writes features": lambda life: life.staged("features"),
    "it has written features": lambda life: life.staged("features/*/*.parquet"),
    "it publishes": lambda life: life.staged("version.json"),
    "it has published": Life.published,
}
"""What can be seen of a driver from outside, in the order of its life."""


@dataclass(frozen=True)
class Drivers:
    """The driver of a job's run, which can be killed and started again."""

    cluster: AnyCluster
    job: str
    table: Path

    def own(self, begins_with: int) -> Life:
        """Wait for the driver that the operator makes for the run that goes on."""
        pod = until(self._unfinished, f"a driver of {self.job}", timeout=240, every=0.05)
        return Life(self.cluster, pod["metadata"]["name"], self.table, begins_with)

    def _unfinished(self) -> Object:
        pods = objects(self.cluster, "pods", self.job, "aggregate")
        return next((pod for pod in pods if pod["status"]["phase"] in ("Pending", "Running")), {})

    def again(self, of: Object, name: str, begins_with: int) -> Life:
        """Start a driver's pod again, under another name and without its operator."""
        (config,) = (
            volume["configMap"]["name"]
            for volume in of["spec"]["volumes"]
            if volume["name"] == "config"
        )
        dead = frozenset(each.name for each in self.table.glob("staging/*"))
        found = self.cluster.get("configmap", config, "-n", NAMESPACE)["data"]
        self.cluster.apply(_config(name, found), namespace=NAMESPACE)
        self.cluster.apply(_pod(of, name), namespace=NAMESPACE)
        return Life(self.cluster, name, self.table, begins_with, dead)

    def die(self, life: Life, moment: str) -> Object:
        """Kill a driver with -9 as soon as a moment of its life has come; return its dead pod."""
        pod = until(lambda: _runs(life.seen()), f"{life.pod} runs", timeout=120, every=0.05)
        pids = until(lambda: processes(self.cluster, pod, PROGRAM), f"{life.pod} begins")
        until(lambda: MOMENTS[moment](life), f"{life.pod}: {moment}", timeout=240, every=0.002)
        kill(self.cluster, pod, pids)
        return until(lambda: _ended(life.seen()), f"{life.pod} ends", timeout=60)


def _runs(pod: Object) -> Object:
    return pod if pod["status"]["phase"] not in ("Pending", "Unknown") else {}


def _ended(pod: Object) -> Object:
    return pod if pod["status"]["phase"] in ("Succeeded", "Failed") else {}


def _config(name: str, data: dict[str, str]) -> Object:
    document = json.loads(data["aggregation.json"])
    document["spark"]["conf"] |= {
        "spark.kubernetes.driver.pod.name": name,
        "spark.kubernetes.executor.podNamePrefix": name,
    }
    executor = json.loads(data["executor.yaml"])
    del executor["metadata"]["labels"]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {
            "aggregation.json": json.dumps(document),
            "executor.yaml": json.dumps(executor),
        },
    }


def _pod(of: Object, name: str) -> Object:
    spec = {key: value for key, value in of["spec"].items() if key not in _CHOSEN_BY_KUBERNETES}
    spec["volumes"] = [
        {"name": "config", "configMap": {"name": name}} if each["name"] == "config" else each
        for each in _given(spec["volumes"])
    ]
    spec["containers"] = [
        {**each, "volumeMounts": _given(each["volumeMounts"])} for each in spec["containers"]
    ]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def _given(things: list[Object]) -> list[Object]:
    """Leave out the token that Kubernetes adds to each pod."""
    return [each for each in things if not each["name"].startswith("kube-api-access")]
