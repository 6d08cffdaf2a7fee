"""The edge program as a process of the agent."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

STOP_SECONDS: Final = 10.0
"""How long the program may take to end by itself when it is told to."""


class _Line(msgspec.Struct, rename="camel"):
    """What the agent needs of a line of the program's log."""

    event: str = ""
    message: str = ""
    bytes_done: int = 0
    bytes_total: int = 0


@dataclass(frozen=True)
class Ending:
    """How the program ended."""

    code: int
    said: bytes
    """Its summary, if it came so far."""
    last_line: str
    in_time: bool

    def __str__(self) -> str:
        how = f"was ended by signal {-self.code}" if self.code < 0 else f"exited with {self.code}"
        return f"the program {how}: {self.last_line}" if self.last_line else f"the program {how}"


class Program:
    """A program at work; ``end`` may be called by any thread."""

    def __init__(self, arguments: Sequence[str], directory: Path) -> None:
        """Start it; all that it leaves lies in the directory."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "edge_etl_job", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=directory,
            env={**os.environ, "TMPDIR": str(directory)},
            # Ctrl-C in a terminal is for the agent, which tells the program itself.
            start_new_session=True,
        )

    def wait(self, seconds: float, progress: Callable[[int, int], None]) -> Ending:
        """Wait until it has ended, and end it after so long; its log goes to the agent's."""
        process = self._process
        assert process.stderr  # noqa: S101 - a pipe, as asked for
        assert process.stdout  # noqa: S101
        late = threading.Event()

        def too_late() -> None:
            late.set()
            self.end()

        timer = threading.Timer(seconds, too_late)
        timer.start()
        last = ""
        with process:
            for line in process.stderr:
                found = _parsed(line)
                last = found.message or last
                if found.event == "progress":
                    progress(found.bytes_done, found.bytes_total)
                else:
                    sys.stderr.write(line.decode(errors="replace"))
            said = process.stdout.read()
        timer.cancel()
        return Ending(process.returncode, said, last, not late.is_set())

    def end(self) -> None:
        """Tell it to end, and see to it."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()


def _parsed(line: bytes) -> _Line:
    try:
        return msgspec.json.decode(line, type=_Line)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Line(message=line.decode(errors="replace").strip())
