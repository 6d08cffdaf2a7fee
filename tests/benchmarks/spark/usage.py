"""Run a program with all that it starts on given cores, and say what they took together."""

import os
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

from tests.support.cluster import cgroups

_PAUSE: Final = 0.1
_TICK: Final = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Usage:
    """What a program and its children took from their start to their end."""

    seconds: float
    """Of the clock."""
    cpu: float
    """Seconds of processor time, which other work on the machine changes less."""
    mebibytes: float
    """The most memory at one moment, pages that are shared counted once (PSS)."""


def run(
    command: Sequence[str | Path], cores: Collection[int], log: Path, limit: int | None = None
) -> Usage:
    """Run a program to its end, in a cgroup of ``limit`` MiB; raise with its log if it fails."""
    with _cgroup(limit) as join:
        return _run([*join, *map(str, command)], cores, log)


@contextmanager
def _cgroup(limit: int | None) -> Iterator[Sequence[str]]:
    """Give what is put before a command so that it has no more memory."""
    if limit is None:
        yield ()
        return
    name = f"bench-{os.getpid()}"
    cgroups.create(name)
    folders = cgroups.exists(name)
    for folder in folders:
        for file in ("memory.max", "memory.limit_in_bytes"):
            if (folder / file).exists():
                (folder / file).write_text(str(limit << 20))
    joining = [f"echo $$ > '{folder}/cgroup.procs'" for folder in folders]
    yield ("sh", "-c", f'{" && ".join(joining)} && exec "$@"', "sh")
    cgroups.remove(name)


def _run(command: Sequence[str], cores: Collection[int], log: Path) -> Usage:
    with log.open("wb") as output:
        begin = perf_counter()
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),
            env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable},
        )
        peak = _Peak(process.pid)
        peak.start()
        code = process.wait()
        seconds = perf_counter() - begin
        peak.end()
    if code:
        raise RuntimeError(f"{command} ended with {code}: {log.read_text()[-2000:]}")
    return Usage(seconds, peak.cpu, peak.bytes / 2**20)


class _Peak(threading.Thread):
    """Looks again and again at a process and its descendants."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.bytes = 0
        self._root = root
        self._ended = threading.Event()
        self._cpu: dict[int, float] = {}

    def run(self) -> None:
        while not self._ended.wait(_PAUSE):
            family = _family(self._root)
            self.bytes = max(self.bytes, sum(map(_memory, family)))
            for pid in family:
                self._cpu[pid] = max(self._cpu.get(pid, 0.0), _processor(pid))

    @property
    def cpu(self) -> float:
        """Seconds of processor time, as far as they were seen."""
        return sum(self._cpu.values())

    def end(self) -> None:
        """Stop looking."""
        self._ended.set()
        self.join()


def _family(root: int) -> list[int]:
    found = [root]
    for pid in found:
        try:
            tasks = list(Path(f"/proc/{pid}/task").iterdir())
            found += [
                int(child) for task in tasks for child in (task / "children").read_text().split()
            ]
        except OSError:
            continue
    return found


def _processor(pid: int) -> float:
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(after_name[11]) + int(after_name[12])) / _TICK


def _memory(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
