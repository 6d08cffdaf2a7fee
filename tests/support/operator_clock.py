"""The operator's clock, set by a test: a library in its pod reads from a file how far it is off.

Only the time of day is moved, as when somebody sets a clock; what only goes on is left alone.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.cluster import AnyCluster, packages
from tests.support.cluster.cache import locked
from tests.support.jobs import NAMESPACE
from tests.support.playing import OPERATOR

_FOLDER = "/var/lib/pi-edge-spark/clock"
_LIBRARY = "clock.so"
_SOURCE = Path(__file__).with_name("clock.c")


class OperatorClock:
    """How far the clock of the operator's pod is off."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def off_by(self, hours: int) -> None:
        """Set it, at once."""
        draft = self._file.with_suffix(".new")
        draft.write_text(f"{hours * 3600:+d}\n")
        draft.replace(self._file)


@contextmanager
def clock_of_the_operator(cluster: AnyCluster) -> Iterator[OperatorClock]:
    """Start the operator with a clock that can be set, and afterwards as it was."""
    [pod] = cluster.get("pods", "-l", OPERATOR, "-n", NAMESPACE)["items"]
    node = pod["spec"]["nodeName"]
    folder = cluster.node(node).path(_FOLDER)
    folder.mkdir(parents=True, exist_ok=True)
    _compile(folder / _LIBRARY)
    clock = OperatorClock(folder / "offset")
    clock.off_by(0)
    [deployment] = cluster.get("deployments", "-l", OPERATOR, "-n", NAMESPACE)["items"]
    name = f"deployment/{deployment['metadata']['name']}"
    patch = _patch(deployment, node)
    cluster.kubectl("patch", name, "-n", NAMESPACE, "-p", json.dumps(patch))
    try:
        cluster.kubectl("rollout", "status", name, "-n", NAMESPACE, "--timeout=60s")
        yield clock
    finally:
        cluster.kubectl("rollout", "undo", name, "-n", NAMESPACE)
        cluster.kubectl("rollout", "status", name, "-n", NAMESPACE, "--timeout=60s")


def _patch(deployment: dict[str, Any], node: str) -> dict[str, Any]:
    environment = {
        "LD_PRELOAD": f"/clock/{_LIBRARY}",
        "CLOCK_FILE": "/clock/offset",
    }
    container = {
        "name": deployment["spec"]["template"]["spec"]["containers"][0]["name"],
        "env": [{"name": key, "value": value} for key, value in environment.items()],
        "volumeMounts": [{"name": "clock", "mountPath": "/clock", "readOnly": True}],
    }
    volume = {"name": "clock", "hostPath": {"path": _FOLDER, "type": "Directory"}}
    spec = {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "containers": [container],
        "volumes": [volume],
    }
    return {"spec": {"template": {"spec": spec}}}


def _compile(library: Path) -> None:
    if not shutil.which("cc"):
        with locked("packages"):
            packages.install("gcc", "libc6-dev")
    # The image has Debian's C library, as the machine that the nodes run on.
    subprocess.run(["cc", "-O1", "-shared", "-fPIC", "-o", library, _SOURCE], check=True)
