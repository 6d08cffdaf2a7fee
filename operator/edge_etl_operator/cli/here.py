"""What ``local run`` and ``remote run`` have in common: a run that is driven from here."""

import argparse
import asyncio
import fcntl
import importlib.util
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from edge_etl_operator import api
from edge_etl_operator.api import Application, EdgeETLJob, Transform
from edge_etl_operator.cli import DONE, FAILED, UsageError, outcome, output, rows
from edge_etl_operator.cli.here_run import HereRun, Nodes
from edge_etl_operator.cli.outcome import Outcome
from edge_etl_operator.cli.progress import Display, display
from edge_etl_operator.validation import load_job

NODE_NAME = r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?"


def job_of(options: argparse.Namespace) -> EdgeETLJob:
    """Return the job of a file, and say what of it has no meaning here."""
    job = api.parse(load_job(options.job))
    if job.spec.schedule is not None or job.spec.suspend:
        said = "spec.schedule and spec.suspend are for a cluster: here the job runs once, now"
        print(f"{options.job}: {said}", file=sys.stderr)
    return job


def run(job: EdgeETLJob, nodes: Nodes, options: argparse.Namespace) -> int:
    """Run the job over some nodes, print what happened, and return the exit code."""
    application = stands_for(
        "spec.aggregate.application",
        job.spec.aggregate.application,
        "--application",
        options.application,
    )
    results = options.results.resolve()
    state = (options.state or options.results / ".state").resolve()
    with _only_run(state / job.namespace / job.name) as own:
        result = _run(HereRun(job, nodes, results, own, application))
    _print(result, options)
    return DONE if result.succeeded else FAILED


def stands_for(
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


def need(*modules: str) -> None:
    """Refuse to begin without the other programs."""
    for module in modules:
        if importlib.util.find_spec(module) is None:
            raise UsageError(f"this needs the program {module} in the same environment")


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


def _run(run: HereRun) -> Outcome:
    """Run with a display; raise KeyboardInterrupt when told to end."""
    shown = display(Console(stderr=True))
    try:
        return asyncio.run(_until_told_to_end(run, shown))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    finally:
        shown.close()


async def _until_told_to_end(run: HereRun, shown: Display) -> Outcome:
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
        output.emit(result.kind, document, options)
        return
    # A file or a pipe has no width; 80 columns would cut the table.
    console = Console(width=None if sys.stdout.isatty() else 140)
    outcome.show(result, console)
    if options.show and result.table:
        console.print(rows.as_table(rows.first(result.table, options.show)))
    outcome.show_report(result, console)
