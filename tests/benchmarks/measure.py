"""Run a program on some cores, and say what it took."""

import os
import subprocess
import sys
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Final

_ONE_THREAD: Final = {"OMP_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}


@dataclass(frozen=True)
class Cost:
    """What a process took from its start to its end."""

    seconds: float
    """Of the clock."""
    cpu: float
    """Seconds of processor time, in the program and in the kernel for it."""
    megabytes: float
    """The most memory that was resident, in millions of bytes."""


def _environment(compiled: Path) -> dict[str, str]:
    # Compiled modules, as in an image, whatever this machine's own way is.
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return kept | _ONE_THREAD | {"PYTHONPYCACHEPREFIX": str(compiled)}


def run(
    command: Sequence[str], cores: Set[int], compiled: Path, output: Path | None = None
) -> Cost:
    """Run a program to its end on some cores; raise if it fails.

    Python keeps its compiled modules in the folder ``compiled``. The peak of memory counts from
    before the program began in its process: so whoever calls this must be small itself.
    """
    os.sched_setaffinity(0, cores)
    with (output or Path(os.devnull)).open("wb") as out:
        begin = perf_counter()
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.PIPE, env=_environment(compiled)
        )
        assert process.stderr is not None
        log = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        seconds = perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.stderr.buffer.write(log)
        raise RuntimeError(f"{command} ended with {process.returncode}")
    return Cost(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6)


def best(costs: Sequence[Cost]) -> Cost:
    """Return the least time of several runs, and the most memory of any."""
    return Cost(
        min(cost.seconds for cost in costs),
        min(cost.cpu for cost in costs),
        max(cost.megabytes for cost in costs),
    )
