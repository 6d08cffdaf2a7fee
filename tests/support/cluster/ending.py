"""Ending a cluster: everything it started, and nothing else."""

import os
from pathlib import Path

from tests.support.cluster import cgroups, network
from tests.support.cluster.cache import locked, say
from tests.support.cluster.processes import kill
from tests.support.cluster.state import State, states


def end(state: State) -> None:
    """End everything of one cluster and forget it."""
    processes = state.processes()
    kill(reversed(processes))
    if any(process.what == "lan" for process in processes):  # otherwise all was on loopback
        cgroups.remove(state.prefix)
        for link in network.links(state.prefix):
            network.delete_link(link)
    state.remove()


def sweep() -> None:
    """End the clusters whose owner died without closing them.

    Test workers begin at the same moment: one of them sweeps, the others wait for it.
    """
    with locked("an-end-of-earlier-runs"):
        for state in states():
            if state.abandoned:
                say(f"ending what an earlier run left behind ({state.name}, {state.id})")
                end(state)


def left_over(state: State) -> list[str]:
    """Return what of a cluster is still there; every list item says what and where."""
    found = [f"link {name}" for name in network.links(state.prefix)]
    found += [f"cgroup {path}" for path in cgroups.exists(state.prefix)]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    found += [f"mount {line}" for line in mounts if str(state.folder) in line]
    found += [f"process {pid}" for pid in _processes_of(state)]
    if state.folder.exists():
        found.append(f"folder {state.folder}")
    return found


def _processes_of(state: State) -> list[str]:
    """Return the processes that were started with the cluster's folder, or are in its cgroups."""
    folder, group = os.fsencode(state.folder), f"/{state.prefix}/".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            started = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
            groups = (process / "cgroup").read_bytes()
        except OSError:
            continue
        if folder in started or group in groups:
            found.append(process.name)
    return found
