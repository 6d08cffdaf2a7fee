"""`python -m tests.support.cluster`: a cluster for a person, left running until `down`."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.support.cluster import tools
from tests.support.cluster.cache import cache_dir, say
from tests.support.cluster.cluster import Cluster
from tests.support.cluster.ending import end, left_over, sweep
from tests.support.cluster.install import RELEASE, install_chart, install_sample
from tests.support.cluster.preparing import prepare
from tests.support.cluster.state import State, states

NAME = "dev"


def up(options: argparse.Namespace) -> int:
    """Start the cluster, install the chart and the sample, and say what to try."""
    for state in _made():
        if state.running("lan"):
            say("it is running already")
            return _tell(Cluster.attach(state))
        end(state)  # the machine was restarted since
    images = prepare(project=not options.bare)
    cluster = Cluster(options.nodes, options.servers, images, NAME, detached=True)
    cluster.start()
    if not options.bare:
        install_chart(cluster, images)
        install_sample(cluster)
    return _tell(cluster)


def down(_options: argparse.Namespace) -> int:
    """End the cluster, and whatever a killed test run may have left."""
    sweep()
    for state in _made():
        end(state)
        if left := left_over(state):
            say(f"left behind: {left}")
            return 1
        say("ended")
    return 0


def clean(_options: argparse.Namespace) -> int:
    """Remove the images of the cache; the next start builds them again."""
    if [state for state in states() if state.nodes]:
        sys.exit("a cluster is running")
    for name in ("buildah", "images", "image-stores", "last-failure"):
        shutil.rmtree(cache_dir() / name, ignore_errors=True)
    return 0


def status(_options: argparse.Namespace) -> int:
    """Show every cluster on this machine, and the nodes of the one that `up` started."""
    for state in states():
        owner = "until `down`" if state.detached else "with its tests"
        running = [process.what for process in state.processes() if process.alive()]
        print(f"{state.name} ({state.id}), ends {owner}: {', '.join(running) or 'nothing runs'}")
    if _made():
        print(_attach().kubectl("get", "nodes,pods", "-A", "-o", "wide"), end="")
    return 0


def kubectl(options: argparse.Namespace) -> int:
    """Run kubectl against the cluster."""
    cluster = _attach()
    os.environ.update(cluster.environment)
    os.execv(tools.kubectl(), ["kubectl", *options.arguments])  # noqa: S606


def helm(options: argparse.Namespace) -> int:
    """Run helm against the cluster."""
    cluster = _attach()
    os.environ.update(cluster.environment)
    os.execv(tools.helm(), ["helm", *options.arguments])  # noqa: S606


def node(options: argparse.Namespace) -> int:
    """Use a node's power switch or network cable."""
    machine = _attach().node(options.name)
    getattr(machine, options.verb.replace("-", "_"))()
    return 0


def _made() -> list[State]:
    return [state for state in states() if state.detached and state.name == NAME]


def _attach() -> Cluster:
    found = _made()
    if not found:
        sys.exit("no cluster: start one with `make cluster`")
    return Cluster.attach(found[0])


def _tell(cluster: Cluster) -> int:
    print(
        f"""
{len(cluster.nodes)} nodes are ready. Try:

  export KUBECONFIG={cluster.kubeconfig}
  export PATH={tools.kubectl().parent}:{Path(sys.executable).parent}:$PATH
  kubectl get nodes -L pi-edge-spark.io/role
  kubectl get pods -n {RELEASE} -o wide
  kubectl get edgeetljobs -A
  kubectl edgeetl doctor air-quality -n {RELEASE}
  kubectl edgeetl status air-quality -n {RELEASE} --watch
  kubectl edgeetl report air-quality -n {RELEASE}

Each node's own disk is a folder here; readings go below var/lib/pi-edge-spark:
"""
    )
    for machine in cluster.nodes.values():
        print(f"  {machine.name}  {machine.path('/var/lib/pi-edge-spark')}")
    print(
        """
Pull a plug, and put it back:

  .venv/bin/python -m tests.support.cluster node pi-2 power-off
  .venv/bin/python -m tests.support.cluster node pi-2 power-on

End it with `make cluster-down`."""
    )
    return 0


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.support.cluster", description=__doc__)
    commands = parser.add_subparsers(required=True)

    def command(do: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        added = commands.add_parser(do.__name__, help=do.__doc__, description=do.__doc__)
        added.set_defaults(do=do)
        return added

    start = command(up)
    start.add_argument("--nodes", type=int, default=4, help="edge nodes (default 4)")
    start.add_argument("--servers", type=int, default=0, help="nodes without the edge label")
    start.add_argument("--bare", action="store_true", help="without the chart and the sample")
    command(down)
    command(clean)
    command(status)
    switch = command(node)
    switch.add_argument("name")
    verbs = ("power-off", "power-on", "network-down", "network-up")
    switch.add_argument("verb", choices=verbs)
    for client in (kubectl, helm):
        command(client).add_argument("arguments", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    try:
        result: int = options.do(options)
    except (RuntimeError, TimeoutError, LookupError) as error:
        notes = getattr(error, "__notes__", [])
        sys.exit("\n".join([str(error), *notes]))
    return result


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
