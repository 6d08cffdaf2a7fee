"""What e2e tests do to a job in the middle of its run, and what they look at afterwards.

An edge program that waits for its node's lock is in the middle of a run for as long as a test
wants: the lock is a file on the node's disk, which the test can hold.
"""

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.support import operations_page
from tests.support.cluster import AnyCluster, until
from tests.support.jobs import NAMESPACE, Object, sample, status

PIS = ("pi-1", "pi-2", "pi-3")
SPARE = {"driver": {"memory": "512m"}}
STATE = "/var/lib/pi-edge-spark/state"
OPERATOR = "app.kubernetes.io/component=operator"
ASK = "pi-edge-spark.io/run-now"


def apply(cluster: AnyCluster, name: str, node: Object | None = None, **spec: Any) -> None:
    """Apply a small job; `node` are fields of spec.nodes."""
    include = ["2019-03-05*.csv"]
    job = sample(name, source={"name": "sensors", "include": include}, aggregate=SPARE, **spec)
    job["spec"]["nodes"] |= {"minSuccess": 2, **(node or {})}
    # Only one of the Pis has it: that would be told besides.
    fields = job["spec"]["schema"]["fields"]
    fields[:] = [each for each in fields if each["name"] != "pressure"]
    cluster.apply(job, namespace=NAMESPACE)


def patch(cluster: AnyCluster, name: str, **spec: Any) -> None:
    change = json.dumps({"spec": spec})
    cluster.kubectl("patch", "eej", name, "-n", NAMESPACE, "--type=merge", "-p", change)


def ask(cluster: AnyCluster, name: str, value: str = "1") -> None:
    cluster.kubectl("annotate", "eej", name, f"{ASK}={value}", "--overwrite", "-n", NAMESPACE)


@contextmanager
def held(cluster: AnyCluster, node: str, *jobs: str) -> Iterator[None]:
    """Let jobs go no further on a node than to its lock."""
    with ExitStack() as stack:
        for job in jobs:
            folder = cluster.node(node).path(f"{STATE}/{NAMESPACE}/{job}")
            folder.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context((folder / "lock").open("w"))
            (folder / "lock").chmod(0o666)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def node_of(told: Object, name: str) -> Object:
    """Return what a status says of a node."""
    found: Object = next((each for each in told.get("nodes", []) if each["name"] == name), {})
    return found


def waits(cluster: AnyCluster, job: str, node: str) -> bool:
    """Tell whether all but one node have delivered, and that one runs."""
    told = status(cluster, job)
    done = sum(each.get("phase") == "Succeeded" for each in told.get("nodes", []))
    return done == len(PIS) - 1 and node_of(told, node).get("phase") == "Running"


def reaches(
    cluster: AnyCluster, job: str, phase: str, timeout: float = 240, told_in: str = ""
) -> Object:
    """Wait until a job is in a phase, show it as a person would see it, and return its status."""
    try:
        until(lambda: status(cluster, job).get("phase") == phase, f"{job}: {phase}", timeout)
    finally:
        shown(cluster, job, told_in)
    return status(cluster, job)


def shown(cluster: AnyCluster, job: str, told_in: str = "", namespace: str = NAMESPACE) -> None:
    """Print what the operations page shows of a case; ``told_in`` is its heading there."""
    text = _seen(cluster, job, namespace)
    end = time.monotonic() + 20
    # An Event comes a moment after the status.
    while told_in and operations_page.strange(told_in, job, text) and time.monotonic() < end:
        text = _seen(cluster, job, namespace)
    print(text)
    if told_in:
        assert not operations_page.strange(told_in, job, text), f"{operations_page.PAGE}: {told_in}"


def _seen(cluster: AnyCluster, job: str, namespace: str) -> str:
    """Return what `kubectl` shows of a job: its line, conditions, nodes, and Events."""
    what = f"involvedObject.name={job}"
    found = cluster.kubectl("get", "eej", job, "-n", namespace, "--ignore-not-found")
    told = status(cluster, job, namespace) if found else {}
    keys = ("type", "status", "reason", "message")
    lines = [found, *("  ".join(each[key] for key in keys) for each in told.get("conditions", []))]
    keys = ("name", "phase", "reason", "message")
    lines += ["  ".join(each.get(key, "") for key in keys) for each in told.get("nodes", [])]
    lines.append(cluster.kubectl("get", "events", "-n", namespace, "--field-selector", what))
    return "\n".join(lines)


def away_from_the_operator(cluster: AnyCluster) -> str:
    """Return a Pi that carries neither the operator nor the landing service."""
    services = "app.kubernetes.io/component in (operator,landing)"
    pods = cluster.get("pods", "-n", NAMESPACE, "-l", services)["items"]
    taken = {pod["spec"].get("nodeName") for pod in pods}
    return next(node for node in PIS if node not in taken)
