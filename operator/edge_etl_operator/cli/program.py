"""Run one of the other programs as a process: what a pod is on a cluster."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

STOP_SECONDS: Final = 10
"""How long a program may take to end by itself when told to, as a pod's grace period."""


@dataclass(frozen=True)
class Program:
    """A Python module that is run with arguments, and where its log goes."""

    module: str
    arguments: tuple[str, ...]
    log: Path
    directory: Path
    """Its working directory and TMPDIR: all that it leaves there is removed with it."""


@dataclass(frozen=True)
class Ending:
    """How a program ended: its exit code, and the last thing that it logged."""

    code: int
    last_line: str

    def __str__(self) -> str:
        how = f"was ended by signal {-self.code}" if self.code < 0 else f"exited with {self.code}"
        return f"{how}: {self.last_line}" if self.last_line else how


async def run(program: Program, on_event: Callable[[dict[str, Any]], None]) -> Ending:
    """Run a program to its end; each JSON line of its log is given to ``on_event``.

    Cancelling ends the program and all that it started.
    """
    program.log.parent.mkdir(parents=True, exist_ok=True)
    async with _process(program) as process:
        assert process.stdout  # noqa: S101 - a pipe, as asked for
        last_line = ""
        with program.log.open("wb") as log:
            async for line in process.stdout:
                log.write(line)
                log.flush()
                event = _event(line)
                on_event(event)
                last_line = str(event.get("message", last_line))
        return Ending(await process.wait(), last_line)


@contextlib.asynccontextmanager
async def _process(program: Program) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", program.module),
        *program.arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=program.directory,
        env={**os.environ, "TMPDIR": str(program.directory)},
        # A group of its own: Ctrl-C reaches it once, from here, together with Spark's Java.
        start_new_session=True,
        limit=1024 * 1024,
    )
    try:
        yield process
    finally:
        await asyncio.shield(_stop(process))


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        _signal(process, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_SECONDS)
    # Also what the program itself has left running.
    _signal(process, signal.SIGKILL)
    await process.wait()
    assert process.stdout  # noqa: S101 - a pipe, as asked for
    # When nobody has the log open any more, Spark's Java is gone too, and its files can go.
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.stdout.read(), STOP_SECONDS)


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def _event(line: bytes) -> dict[str, Any]:
    """Parse a line of the log; one that is no JSON is a message."""
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError):
        text = line.decode(errors="replace").strip()
        return {"message": text} if text else {}
