"""A program is run to its end, heard, and ended with all that it started."""

import asyncio
import gc
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from edge_etl_operator.cli import program
from edge_etl_operator.cli.program import Program

# Starts a process that does not end when told to, and says so. Something else has its log open for
# a while after that, as Spark's Java has until the kernel is done with its memory.
STUBBORN = """
import signal, subprocess, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen(["sleep", "1000"])
subprocess.Popen(["sleep", "1.2"], start_new_session=True)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
print('{"event": "started", "child": %d}' % child.pid, flush=True)
time.sleep(1000)
"""


def written(folder: Path, code: str, *arguments: str) -> Program:
    """Make a program of a folder's own: its working directory is where Python looks first."""
    (folder / "stand_in.py").write_text(code)
    return Program("stand_in", arguments, folder / "logs/stand_in.log", folder)


async def test_lines_of_the_log_are_events_and_the_last_message_is_kept(tmp_path: Path) -> None:
    code = """
import sys
print('{"event": "progress", "bytesDone": 5, "message": "reading"}')
print("plain text", file=sys.stderr)
print('[1]', file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""
    events: list[dict[str, Any]] = []
    ending = await program.run(written(tmp_path, code, "3"), events.append)
    assert {"event": "progress", "bytesDone": 5, "message": "reading"} in events
    assert {"message": "plain text"} in events
    assert ending.code == 3
    assert str(ending).startswith("exited with 3: ")
    assert "plain text" in (tmp_path / "logs/stand_in.log").read_text()


async def test_a_killed_program_is_told_from_one_that_failed(tmp_path: Path) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    ending = await program.run(written(tmp_path, code), lambda _: None)
    assert str(ending) == "was ended by signal 9"


def test_cancelling_ends_the_program_and_its_children(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is the log still open when the loop is closed, which Python would complain about."""
    complaints: list[str] = []
    monkeypatch.setattr(program, "STOP_SECONDS", 1)
    monkeypatch.setattr(sys, "unraisablehook", lambda told: complaints.append(str(told)))
    group = asyncio.run(_cancelled(written(tmp_path, STUBBORN)))
    gc.collect()
    assert complaints == []
    _until_gone(group)


async def _cancelled(stubborn: Program) -> int:
    """Cancel a program that has started its child; return their group."""
    started: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        program.run(stubborn, lambda event: started.set_result(event["child"]))
    )
    group = os.getpgid(await started)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return group


def _until_gone(group: int) -> None:
    """Wait until no process of a group runs: what was killed needs a moment to be gone."""
    latest = time.monotonic() + 10
    while _alive(group):
        assert time.monotonic() < latest, f"process group {group} is still there"


def _alive(group: int) -> bool:
    for process in Path("/proc").glob("[0-9]*"):
        try:
            state, _parent, of_group = (process / "stat").read_text().rpartition(")")[2].split()[:3]
        except OSError:
            continue
        if int(of_group) == group and state != "Z":
            return True
    return False
