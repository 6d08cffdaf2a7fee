"""What a cluster has started, on disk, so that any later process can end it.

Each cluster has a folder in the cache. Its processes are recorded there the
moment they start; the names of its namespaces, links and cgroups follow from its
id. A cluster whose owner died without cleaning up is swept by the next one.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.support.cluster.cache import cache_dir
from tests.support.cluster.processes import Process, identify

PREFIX = "pes"


class State:
    """One cluster's folder: its record, keys, logs, and the disks of its nodes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name

    @classmethod
    def create(cls, name: str, nodes: Sequence[str] = (), *, detached: bool = False) -> "State":
        """Make the folder of a new cluster; `detached`: it shall outlive this process."""
        folder = clusters_dir() / secrets.token_hex(3)
        folder.mkdir()
        state = cls(folder)
        owner = None if detached else asdict(identify(os.getpid(), "owner"))
        draft = folder / "cluster.draft"
        draft.write_text(json.dumps({"name": name, "nodes": list(nodes), "owner": owner}))
        draft.rename(folder / "cluster.json")
        return state

    @property
    def prefix(self) -> str:
        """How everything begins that this cluster names in the kernel (at most 10 characters)."""
        return f"{PREFIX}-{self.id}"

    @property
    def name(self) -> str:
        """The name a person gave the cluster."""
        return str(self._record()["name"])

    @property
    def nodes(self) -> list[str]:
        """The names of its nodes."""
        return list(self._record()["nodes"])

    @property
    def detached(self) -> bool:
        """Whether the cluster is meant to outlive the process that started it."""
        return self._record()["owner"] is None

    @property
    def abandoned(self) -> bool:
        """Whether the process that should have closed the cluster is gone."""
        try:
            owner = self._record()["owner"]
        except FileNotFoundError:
            return False  # being created at this moment
        return isinstance(owner, dict) and not Process(**owner).alive()

    def _record(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.folder / "cluster.json").read_text())
        return record

    def record(self, process: Process) -> Process:
        """Remember a process of this cluster."""
        with (self.folder / "processes.jsonl").open("a") as lines:
            lines.write(json.dumps(asdict(process)) + "\n")
        return process

    def processes(self) -> list[Process]:
        """Return every process that was recorded, running or not, oldest first."""
        path = self.folder / "processes.jsonl"
        if not path.exists():
            return []
        lines = path.read_text().splitlines()
        return [Process(**json.loads(line)) for line in lines]

    def running(self, what: str) -> Process | None:
        """Return the newest process of that name if it runs."""
        found = [process for process in self.processes() if process.what == what]
        return found[-1] if found and found[-1].alive() else None

    def keep_logs(self) -> Path:
        """Copy the logs of services and pods to where they outlive the cluster."""
        kept = cache_dir() / "last-failure" / self.name
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir(parents=True)
        patterns = ("logs/*.log", "nodes/*/logs/*.log", "nodes/*/disk/var/log/pods/*/*/*.log")
        for log in (log for pattern in patterns for log in self.folder.glob(pattern)):
            copy = kept / log.relative_to(self.folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(log, copy)
        return kept

    def remove(self) -> None:
        """Forget the cluster, its logs and the disks of its nodes."""
        shutil.rmtree(self.folder, ignore_errors=True)


def clusters_dir() -> Path:
    """Return the folder in which each cluster has its own."""
    folder = cache_dir() / "clusters"
    folder.mkdir(exist_ok=True)
    return folder


def states() -> Iterable[State]:
    """Return all clusters that have not been removed."""
    return [State(folder) for folder in sorted(clusters_dir().iterdir()) if folder.is_dir()]
