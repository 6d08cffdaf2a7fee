"""Starting processes that outlive their starter, and ending exactly those.

A pid alone may have been reused by the time it is killed, so a process is known
by its pid and the moment it started (field 22 of /proc/PID/stat, see proc(5)).
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A process that cannot be confused with a later one of the same pid."""

    pid: int
    started: int
    what: str

    def alive(self) -> bool:
        """Say whether it still runs; one that has ended and was not reaped does not."""
        _reap(self.pid)
        fields = _stat(self.pid)
        return fields is not None and int(fields[19]) == self.started and fields[0] != "Z"

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless the process is gone."""
        if self.alive():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def identify(pid: int, what: str) -> Process:
    """Return the process that has this pid now."""
    fields = _stat(pid)
    if fields is None:
        raise ProcessLookupError(f"{what} (pid {pid}) ended at once")
    return Process(pid, int(fields[19]), what)


def spawn(
    what: str, argv: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
) -> Process:
    """Start a process in a session of its own, so that Ctrl-C here does not reach it."""
    log.parent.mkdir(parents=True, exist_ok=True)
    arguments = [str(argument) for argument in argv]
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawnp(
        arguments[0],
        arguments,
        {**os.environ, **(environment or {})},
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
        setsigmask=[],
        setsigdef=[signal.SIGINT, signal.SIGTERM, signal.SIGPIPE],
    )
    return identify(pid, what)


def kill(processes: Iterable[Process], timeout: float = 10.0) -> None:
    """End processes at once and wait until they are gone."""
    doomed = list(processes)
    for process in doomed:
        process.signal(signal.SIGKILL)
    deadline = time.monotonic() + timeout
    while left := [process for process in doomed if process.alive()]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"still running after SIGKILL: {left}")
        time.sleep(0.02)


def _stat(pid: int) -> list[str] | None:
    """Return the fields of /proc/PID/stat after the name, which may hold blanks itself."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _reap(pid: int) -> None:
    """Take a child's exit status, so that it does not stay behind as a zombie."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
