"""Whatever happens to the program that started a cluster, nothing of it stays behind."""

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.cluster import Cluster, until
from tests.support.cluster import cluster as module
from tests.support.cluster.archive import DEBIAN
from tests.support.cluster.cache import REPOSITORY
from tests.support.cluster.ending import left_over, sweep
from tests.support.cluster.state import State

PROGRAM = """
import signal, time
# Whoever started the tests may have them ignored: nohup the one, a shell's & the other.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)
from tests.support.cluster import Cluster
with Cluster(nodes=1) as cluster:
    print(cluster.state.folder, flush=True)
    time.sleep(120)
"""


@pytest.fixture(autouse=True)
def _possible() -> None:
    if reason := module.unavailable():
        pytest.skip(reason)


@pytest.fixture
def program() -> "subprocess.Popen[str]":
    """Start a program that has a cluster of one node."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )


def told(program: "subprocess.Popen[str]") -> State:
    """Return the cluster that the program says it has."""
    assert program.stdout is not None
    return State(Path(program.stdout.readline().strip()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_after_a_signal(program: "subprocess.Popen[str]", number: signal.Signals) -> None:
    with program:
        state = told(program)
        assert left_over(state)
        program.send_signal(number)
        assert program.wait(timeout=30) != 0
    assert left_over(state) == []


def test_after_a_kill_the_next_starts_end_it(program: "subprocess.Popen[str]") -> None:
    """Several start at the same moment, as workers that share the tests out do."""
    with program:
        state = told(program)
        program.kill()
    assert state.abandoned
    assert {"pi-1", "kube-apiserver"} <= {p.what for p in state.processes() if p.alive()}
    with ThreadPoolExecutor(4) as starts:
        for sweeping in [starts.submit(sweep) for _ in range(4)]:
            sweeping.result()
    assert left_over(state) == []


class DeliberateError(Exception):
    """What the failing test raises."""


def fail_with_pods_running(cluster: Cluster) -> None:
    container = {"name": "main", "image": DEBIAN, "command": ["sleep", "infinity"]}
    template = {"metadata": {"labels": {"app": "sleeper"}}, "spec": {"containers": [container]}}
    cluster.apply(
        {
            "apiVersion": "apps/v1",
            "kind": "DaemonSet",
            "metadata": {"name": "sleepers"},
            "spec": {"selector": {"matchLabels": {"app": "sleeper"}}, "template": template},
        }
    )
    ready = ("daemonset", "sleepers", "-o", "jsonpath={.status.numberReady}")
    until(lambda: cluster.kubectl("get", *ready) == "3", "a pod on each node")
    cluster.node("pi-2").power_off()
    raise DeliberateError


def test_after_a_test_that_failed_with_pods_running_and_a_node_off() -> None:
    cluster = Cluster(nodes=2, servers=1)
    assert cluster.edge_nodes == ["pi-1", "pi-2"]
    with pytest.raises(DeliberateError), cluster:
        fail_with_pods_running(cluster)
    assert left_over(cluster.state) == []
