"""The command line: ``python -m edge_etl_job run …`` and ``python -m edge_etl_job landing …``.

What a command does not need is not imported: a Pi starts this program every few minutes.
"""

import argparse
import re
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from edge_etl_job.documents import JobDocument, NodeSummary
    from edge_etl_job.engine import Engine

_ATTEMPT = re.compile(r"[A-Za-z0-9-]{1,64}")
_NODE = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")


class Stopped(BaseException):  # like KeyboardInterrupt it is no error
    """The program was told to end."""


def parser(command: str) -> argparse.ArgumentParser:
    """Return the parser of the command line; a ``command`` that is not meant has no options."""
    result = argparse.ArgumentParser(prog="edge_etl_job", description=__doc__.split("\n")[0])
    commands = result.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="clean this node's new CSV rows and deliver the result")
    run.add_argument("--job", type=Path, required=True, help="the job document (JSON)")
    run.add_argument("--node", type=_name(_NODE), required=True, help="this node's name")
    run.add_argument(
        "--attempt", type=_name(_ATTEMPT), required=True, help="an id that no other attempt has"
    )
    run.add_argument("--source", type=Path, required=True, help="directory of the CSV files")
    run.add_argument("--state", type=Path, required=True, help="directory of the ledger")
    run.add_argument("--work", type=Path, required=True, help="directory for temporary files")
    run.add_argument("--results", required=True, help="root of the results: directory or URL")
    run.add_argument("--token-file", type=Path, help="token for the landing service")
    run.add_argument("--transform", type=Path, help="the job's own rules: clean(frame), for pandas")
    run.add_argument("--summary", type=Path, help="file that the summary is written to as well")
    landing = commands.add_parser("landing", help="the service that stores results")
    if command == "landing":
        from edge_etl_job.landing.command import add_arguments

        add_arguments(landing)
    return result


def _name(pattern: re.Pattern[str]) -> Callable[[str], str]:
    def check(value: str) -> str:
        if pattern.fullmatch(value) is None:
            raise argparse.ArgumentTypeError(f"{value!r} does not match {pattern.pattern}")
        return value

    return check


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code.

    0 delivered, 1 failed, 2 wrong use, 3 failed in a way that another attempt would not change.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser(next(iter(arguments), "")).parse_args(arguments)
    if options.command == "landing":
        from edge_etl_job.landing.command import run

        return run(options)
    signal.signal(signal.SIGTERM, _stop)
    return _run(options)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped


def _run(options: argparse.Namespace) -> int:
    from edge_etl_job import logs, report
    from edge_etl_job.errors import EdgeError
    from edge_etl_job.reasons import INTERNAL_ERROR, JOB_INVALID, STOPPED, TOO_MANY_REJECTED
    from edge_etl_job.results import ResultError

    logs.configure(node=options.node)
    run = ""

    def failed(reason: str, message: str) -> "NodeSummary":
        logs.log.error(message, extra={"event": "failed", "reason": reason})
        return report.failed(run, options.node, options.attempt, reason, message)

    try:
        from edge_etl_job.job import load_job

        job = load_job(options.job)
        run = job.run
        summary = _deliver(options, job)
        if not summary.succeeded:
            failed(summary.reason, summary.message)
        else:
            logs.log.info(summary.message, extra={"event": "done", "reason": summary.reason})
    except (EdgeError, ResultError) as error:
        summary = failed(error.reason, error.message)
    except (Stopped, KeyboardInterrupt):
        summary = failed(STOPPED, "told to end before the result was delivered; nothing is lost")
    except Exception as error:
        logs.log.exception("a mistake of this program", extra={"event": "traceback"})
        summary = failed(INTERNAL_ERROR, f"{type(error).__name__}: {error}; see the log")
    try:
        content = report.write(summary, options.summary)
    except OSError as error:
        logs.log.warning("%s cannot be written: %s", options.summary, error.strerror)
        content = report.encoded(summary)
    sys.stdout.buffer.write(content + b"\n")
    sys.stdout.flush()
    if summary.succeeded:
        return 0
    # Another attempt of the same run would end the same way: the Job makes none.
    return 3 if summary.reason in (TOO_MANY_REJECTED, JOB_INVALID) else 1


def _deliver(options: argparse.Namespace, job: "JobDocument") -> "NodeSummary":
    from edge_etl_job.results import open_store
    from edge_etl_job.run import Task, run

    store = open_store(
        options.results,
        namespace=job.namespace,
        job=job.job,
        run=job.run,
        node=options.node,
        attempt=options.attempt,
        token_file=options.token_file,
    )
    task = Task(
        job,
        options.node,
        options.attempt,
        options.source,
        options.state,
        options.work,
        options.transform,
    )
    return run(task, store, lambda: _engine(options.transform))


def _engine(transform: Path | None) -> "Engine":
    if transform is not None:
        return _own_rules(transform)
    # The compiled engine where it is installed: in the image, and wherever Rust was there to build.
    try:
        from edge_etl_job.engine_native import NativeEngine

        return NativeEngine()
    except ModuleNotFoundError as error:
        if error.name != "edge_etl_engine":
            raise
    try:
        from edge_etl_job.engine_python.clean import PythonEngine

        return PythonEngine()
    except ModuleNotFoundError as error:
        from edge_etl_job.errors import EdgeError
        from edge_etl_job.reasons import NO_ENGINE

        raise EdgeError(
            NO_ENGINE,
            f"neither the compiled engine nor the plain one can be used ({error}): install the "
            "wheel edge-etl-engine, or edge-etl-job[plain]",
        ) from None


def _own_rules(transform: Path) -> "Engine":
    from edge_etl_job.errors import EdgeError
    from edge_etl_job.reasons import TRANSFORM_FAILED

    try:
        import edge_etl_job.transform  # noqa: F401  # is all there that it needs?
        from edge_etl_job.engine_python.clean import PythonEngine
    except ModuleNotFoundError as error:
        message = f"edge.transform needs {error.name}, which the image edge-transform has"
        raise EdgeError(TRANSFORM_FAILED, message) from error
    return PythonEngine(transform)
