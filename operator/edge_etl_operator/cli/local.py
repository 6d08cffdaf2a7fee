"""``edge-etl local run``: arguments in, an outcome out."""

import argparse
import asyncio
import fcntl
import importlib.util
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console

from edge_etl_operator import api
from edge_etl_operator.api import Application, Transform
from edge_etl_operator.cli import DONE, FAILED, SPARK, UsageError, outcome, output, rows
from edge_etl_operator.cli.local_run import EDGE, LocalRun
from edge_etl_operator.cli.outcome import Outcome
from edge_etl_operator.cli.progress import Display, display
from edge_etl_operator.validation import load_job

_NODE_NAME: Final = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"


def command(options: argparse.Namespace) -> int:
    """Run the job, print what happened, and return the exit code."""
    job = api.parse(load_job(options.job))
    if job.spec.schedule is not None or job.spec.suspend:
        said = "spec.schedule and spec.suspend are for a cluster: here the job runs once, now"
        print(f"{options.job}: {said}", file=sys.stderr)
    nodes = _nodes(options.node)
    transform = _stands_for(
        "spec.edge.transform", job.spec.edge.transform, "--transform", options.transform
    )
    application = _stands_for(
        "spec.aggregate.application",
        job.spec.aggregate.application,
        "--application",
        options.application,
    )
    _need_programs()
    results = options.results.resolve()
    state = (options.state or options.results / ".state").resolve()
    with _only_run(state / job.namespace / job.name) as own:
        result = _run(
            LocalRun(
                job=job,
                nodes=nodes,
                results=results,
                state=own,
                transform=transform,
                application=application,
                replay=options.replay,
            )
        )
    _print(result, options)
    return DONE if result.succeeded else FAILED


def _nodes(arguments: list[str]) -> dict[str, Path]:
    """Parse NAME=DIR arguments."""
    nodes: dict[str, Path] = {}
    for argument in arguments:
        name, equals, directory = argument.partition("=")
        if not equals or not directory:
            raise UsageError(f"--node {argument}: NAME=DIR is needed, such as pi-1=/data/pi-1")
        if not re.fullmatch(_NODE_NAME, name):
            raise UsageError(
                f"--node {argument}: the name must be lower-case letters, digits, '-' and '.'"
            )
        if name in nodes:
            raise UsageError(f"--node {argument}: {name} is given twice")
        if not Path(directory).is_dir():
            raise UsageError(f"--node {argument}: there is no directory {directory}")
        nodes[name] = Path(directory).resolve()
    return nodes


def _stands_for(
    field: str, own: Transform | Application | None, option: str, file: Path | None
) -> Path | None:
    """Return the file that stands for the ConfigMap which a field of the spec names."""
    if own is None and file is not None:
        raise UsageError(f"{option}: the job has no {field}")
    if own is not None and file is None:
        name = f"{own.config_map.name}, key {own.config_map.key}"
        raise UsageError(f"{option} FILE is needed: it stands for the ConfigMap {name}")
    if file is not None and not file.is_file():
        raise UsageError(f"{option} {file}: there is no such file")
    return file.resolve() if file else None


def _need_programs() -> None:
    for module in (EDGE, SPARK):
        if importlib.util.find_spec(module) is None:
            raise UsageError(f"a local run needs the program {module} in the same environment")


@contextmanager
def _only_run(state: Path) -> Iterator[Path]:
    """Hold the job's state directory: of two runs at once the second is refused."""
    state.mkdir(parents=True, exist_ok=True)
    with (state / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"{state}: another run of this job is going on") from None
        yield state


def _run(run: LocalRun) -> Outcome:
    """Run with a display; raise KeyboardInterrupt when told to end."""
    shown = display(Console(stderr=True))
    try:
        return asyncio.run(_until_told_to_end(run, shown))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        shown.close()


async def _until_told_to_end(run: LocalRun, shown: Display) -> Outcome:
    """Run; the first SIGINT or SIGTERM ends it in good order, more of them do not disturb that."""
    task = asyncio.current_task()
    assert task  # noqa: S101 - a coroutine runs in a task

    def end() -> None:
        if not task.cancelling():
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, end)
    return await run.execute(shown)


def _print(result: Outcome, options: argparse.Namespace) -> None:
    if output.wanted(options):
        document = result.as_json()
        if options.show and result.table:
            document["rows"] = rows.first(result.table, options.show)
        output.emit("LocalRun", document, options)
        return
    # A file or a pipe has no width; 80 columns would cut the table.
    console = Console(width=None if sys.stdout.isatty() else 140)
    outcome.show(result, console)
    if options.show and result.table:
        console.print(rows.as_table(rows.first(result.table, options.show)))
    outcome.show_report(result, console)
