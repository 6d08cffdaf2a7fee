"""Rules of one's own, from a ConfigMap, in real pods: what they drop, break and use up is told."""

from pathlib import Path
from typing import Any

import pytest

from tests.support import independent
from tests.support.cluster import AnyCluster, until
from tests.support.jobs import NAMESPACE, SOURCES, Object, finished, results, sample, status

FILES = "2019-03-05*.csv"
LIMIT = "256Mi"
RULES = {
    "own-rules": "    return frame[frame['sensor_type'] != 'DHT22']",
    "own-mistake": "    frame['pm10'] *= 2\n    return frame[frame['wind'] > 1]",
    "own-hog": "    frame['wind'] = len('x' * (1 << 30))\n    return frame",
}


@pytest.fixture(scope="module")
def asked(pis: AnyCluster) -> AnyCluster:
    """Apply a job for each file of rules, each on a Pi of its own, all at once."""
    for node, (name, lines) in zip(("pi-1", "pi-2", "pi-3"), RULES.items(), strict=True):
        rules = {"clean.py": f"# {name}\ndef clean(frame):\n{lines}\n"}
        kind = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": rules}
        pis.apply(kind, namespace=NAMESPACE)
        pis.apply(_job(name, node), namespace=NAMESPACE)
    return pis


def _job(name: str, node: str) -> Object:
    own = {"configMap": {"name": name, "key": "clean.py"}}
    source = {"name": "sensors", "include": [FILES]}
    edge: dict[str, Any] = {"transform": own, "resources": {"limits": {"memory": LIMIT}}}
    job = sample(name, source=source, edge=edge, aggregate={"driver": {"memory": "512m"}})
    job["spec"]["nodes"] = {
        "selector": {"matchLabels": {"kubernetes.io/hostname": node}},
        "backoffLimit": 0,
    }
    return job


def _failed(cluster: AnyCluster, name: str) -> Object:
    """Wait until a job has failed, and return what is said of its node."""
    try:
        until(lambda: status(cluster, name).get("phase") == "Failed", f"{name}: Failed", 240)
    finally:
        print(cluster.kubectl("describe", "eej", name, "-n", NAMESPACE))
    (node,) = status(cluster, name)["nodes"]
    assert isinstance(node, dict)
    return node


def test_rows_that_they_drop_are_counted_as_theirs(asked: AnyCluster) -> None:
    (node,) = finished(asked, "own-rules")["nodes"]
    folder: dict[str, Path] = {"pi-1": asked.node("pi-1").path(f"{SOURCES}/sensors")}
    right = independent.expected(folder, FILES).rows
    kept = right[right["sensor_type"] != "DHT22"].reset_index(drop=True)
    found = independent.published(results(asked, "own-rules")).rows
    independent.assert_equal_rows(found, kept)
    counted = independent.counts(folder, FILES)["pi-1"]
    # Duplicates among the dropped rows are dropped rows too.
    dropped = node["rejectedByReason"]["rejected_by_transform"]
    assert dropped >= len(right) - len(kept) > 0
    assert node["rowsRead"] == counted.read
    assert node["rowsClean"] + node["rowsRejected"] + node.get("rowsDuplicate", 0) == counted.read
    assert node["rowsRejected"] == counted.rejected + dropped


def test_it_was_so_within_the_pods_limit(asked: AnyCluster) -> None:
    finished(asked, "own-rules")
    labels = "pi-edge-spark.io/job=own-rules,pi-edge-spark.io/stage=edge"
    (pod,) = asked.get("pods", "-l", labels, "-n", NAMESPACE)["items"]
    (container,) = pod["spec"]["containers"]
    assert container["image"].endswith("/edge-transform:dev")
    assert container["resources"]["limits"]["memory"] == LIMIT
    (state,) = pod["status"]["containerStatuses"]
    assert (state["state"]["terminated"]["reason"], state["restartCount"]) == ("Completed", 0)


def test_a_mistake_in_them_is_told_with_its_line(asked: AnyCluster) -> None:
    node = _failed(asked, "own-mistake")
    assert node["reason"] == "TransformFailed"
    assert "clean.py, line 4: KeyError: 'wind'" in node["message"]
    told = asked.kubectl("describe", "eej", "own-mistake", "-n", NAMESPACE)
    assert "clean.py, line 4: KeyError: 'wind'" in told


def test_what_takes_more_memory_is_told_with_the_limit(asked: AnyCluster) -> None:
    node = _failed(asked, "own-hog")
    assert node["reason"] == "OutOfMemory"
    assert LIMIT in asked.kubectl("describe", "eej", "own-hog", "-n", NAMESPACE)
