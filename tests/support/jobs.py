"""EdgeETLJobs on a real cluster: what end-to-end tests apply, wait for and look at."""

import copy
import os
import shutil
import time
from pathlib import Path
from typing import Any

import yaml

from tests.support.cluster import AnyCluster
from tests.support.cluster.cache import REPOSITORY

NAMESPACE = "pi-edge-spark"
SAMPLE = REPOSITORY / "manifests" / "samples" / "air-quality.yaml"
EXTRACT = REPOSITORY / "tests" / "data" / "air-quality"
SOURCES = "/var/lib/pi-edge-spark"

VALUES: dict[str, Any] = {
    "sources": [
        {"name": name, "path": f"{SOURCES}/{name}"}
        for name in (
            *("sensors", "mixed", "empty", "absent", "seasons"),
            *("comma", "tokyo", "locked"),
        )
    ]
}

Object = dict[str, Any]


def sample(name: str, **spec: Any) -> Object:
    """Return the sample under another name, with parts of its spec replaced."""
    document: Object = yaml.safe_load(SAMPLE.read_text())
    document["metadata"]["name"] = name
    document["spec"].update(copy.deepcopy(spec))
    return document


def spread(cluster: AnyCluster, source: str, folders: dict[str, list[Path]]) -> None:
    """Put CSV files into the nodes' own directories, old enough to count as settled."""
    for node, origins in folders.items():
        target = cluster.node(node).path(f"{SOURCES}/{source}")
        target.mkdir(parents=True, exist_ok=True)
        for file in (file for origin in origins for file in sorted(origin.glob("*.csv"))):
            aged(shutil.copyfile(file, target / file.name))


def aged(file: Path) -> None:
    """Make a file old enough to count as settled."""
    hour_ago = time.time() - 3600
    os.utime(file, (hour_ago, hour_ago))


def status(cluster: AnyCluster, name: str, namespace: str = NAMESPACE) -> Object:
    """Return a job's status, empty while it has none."""
    job: Object = cluster.get("edgeetljob", name, "-n", namespace)
    answer: Object = job.get("status", {})
    return answer


def condition(of: Object, kind: str) -> Object:
    """Return a condition of a status, empty while it is not there."""
    found = (each for each in of.get("conditions", []) if each["type"] == kind)
    answer: Object = next(found, {})
    return answer


def finished(cluster: AnyCluster, name: str, timeout: float = 240) -> Object:
    """Wait until a job's run has succeeded and return its status."""
    try:
        cluster.wait(f"eej/{name}", condition="Succeeded", timeout=timeout, namespace=NAMESPACE)
    except Exception:
        print(cluster.kubectl("describe", "eej", name, "-n", NAMESPACE))
        print(cluster.kubectl("get", "pods", "-o", "wide", "-n", NAMESPACE))
        raise
    return status(cluster, name)


def objects(cluster: AnyCluster, kind: str, job: str, stage: str = "") -> list[Object]:
    """Return the objects of a kind that belong to a job, executors of Spark not among them."""
    labels = f"pi-edge-spark.io/job={job}" + (f",pi-edge-spark.io/stage={stage}" if stage else "")
    found: list[Object] = cluster.get(kind, "-l", f"{labels},!spark-role", "-n", NAMESPACE)["items"]
    return found


def processes(cluster: AnyCluster, pod: Object, program: str) -> list[str]:
    """Return a pod's processes whose command line holds `program`, as its node counts them."""
    mine = f"grep -q {pod['metadata']['uid']} /proc/$pid/cgroup && echo $pid"
    found = f"for pid in $(pgrep -f '{program}'); do {mine}; done; true"
    return cluster.node(pod["spec"]["nodeName"]).run("sh", "-c", found).split()


def kill(cluster: AnyCluster, pod: Object, pids: list[str]) -> None:
    """End processes of a pod with -9; some may have ended by themselves."""
    node = cluster.node(pod["spec"]["nodeName"])
    node.run("sh", "-c", f"kill -KILL {' '.join(pids)} 2>/dev/null; true")


def results(cluster: AnyCluster, job: str) -> Path:
    """Return where a job's results lie: a directory of the node that holds the landing claim."""
    claims = cluster.get("pvc", "-n", NAMESPACE)["items"]
    claim = next(each for each in claims if each["metadata"]["name"].endswith("-results"))
    volume = cluster.get("pv", claim["spec"]["volumeName"])["spec"]
    place = volume.get("hostPath") or volume["local"]
    terms = volume["nodeAffinity"]["required"]["nodeSelectorTerms"]
    node = terms[0]["matchExpressions"][0]["values"][0]
    return cluster.node(node).path(place["path"]) / NAMESPACE / job
