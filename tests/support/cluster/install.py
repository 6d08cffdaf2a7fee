"""Installing the project's chart from the working tree, with the images built from it."""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from tests.support.cluster.cache import REPOSITORY
from tests.support.cluster.images import Image
from tests.support.cluster.kube import Kube
from tests.support.cluster.verbs import AnyCluster

CHART = REPOSITORY / "charts" / "pi-edge-spark"
RELEASE = "pi-edge-spark"
SAMPLE = REPOSITORY / "manifests" / "samples" / "air-quality.yaml"
READINGS = REPOSITORY / "tests" / "data" / "air-quality"
SENSORS = "/var/lib/pi-edge-spark/sensors"  # the source that the sample names


def image_values(images: list[Image]) -> dict[str, Any]:
    """Return the chart's values that name these images, to be taken from the nodes."""
    values: dict[str, Any] = {}
    for image in images:
        repository, _, tag = image.reference.rpartition(":")
        name = repository.rpartition("/")[2]
        values[name] = {"repository": repository, "tag": tag, "pullPolicy": "Never"}
    # Edge pods with and without rules of their own have one policy, that of the edge image.
    if transform := values.pop("edge-transform", None):
        values["edgeTransform"] = {key: transform[key] for key in ("repository", "tag")}
    return {"images": values}


def install_chart(
    kube: Kube,
    images: list[Image],
    values: dict[str, Any] | None = None,
    namespace: str = RELEASE,
    timeout: int = 180,
) -> str:
    """Install or upgrade the chart, wait until all of it runs, and return what helm says."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, document in enumerate((image_values(images), values or {})):
            paths.append(Path(folder) / f"{number}.json")
            paths[-1].write_text(json.dumps(document))
        files = [part for path in paths for part in ("--values", str(path))]
        return kube.helm(
            *("upgrade", "--install", RELEASE, str(CHART), *files),
            *("--namespace", namespace, "--create-namespace"),
            *("--wait", "--timeout", f"{timeout}s"),
            timeout=timeout + 30,
        )


def install_sample(cluster: AnyCluster) -> None:
    """Give each node the readings of the Pi of its name, and apply the sample."""
    for name in cluster.edge_nodes:
        sensors = cluster.node(name).path(SENSORS)
        sensors.mkdir(parents=True, exist_ok=True)
        if (READINGS / name).is_dir():
            shutil.copytree(READINGS / name, sensors, dirs_exist_ok=True)
    cluster.apply(SAMPLE, namespace=RELEASE)
