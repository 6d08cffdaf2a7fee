"""The command line: ``python -m edge_etl_job run …``, ``landing …``, ``probe …``, ``inspect …``.

What a command does not need is not imported: a Pi starts this program every few minutes.
"""

# `signal` makes enums of all its numbers, which takes long.
import _signal  # type: ignore[import-not-found]
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Final, NoReturn

import msgspec

from edge_etl_job.names import ATTEMPT, NAME

if TYPE_CHECKING:
    import argparse

    from edge_etl_job.documents import JobDocument, NodeSummary
    from edge_etl_job.engine import Engine


class Stopped(BaseException):  # like KeyboardInterrupt it is no error
    """The program was told to end."""


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """The options of ``run``."""

    job: Path
    node: str
    attempt: str
    source: Path
    source_on_node: Path | None = None
    state: Path
    work: Path
    results: str
    token_file: Path | None = None
    ca_file: Path | None = None
    s3_credentials: Path | None = None
    transform: Path | None = None
    summary: Path | None = None


def _name(pattern: str) -> Callable[[str], str]:
    def name(value: str) -> str:
        if re.fullmatch(pattern, value) is None:
            raise ValueError
        return value

    name.__name__ = f"name ({pattern[1:-1]})"  # argparse says "invalid name (…) value: …"
    return name


_REQUIRED: Final[dict[str, tuple[Callable[[str], Any], str]]] = {
    "--job": (Path, "the job document (JSON)"),
    "--node": (_name(NAME), "this node's name"),
    "--attempt": (_name(ATTEMPT), "an id that no other attempt has"),
    "--source": (Path, "directory of the CSV files"),
    "--state": (Path, "directory of the ledger"),
    "--work": (Path, "directory for temporary files"),
    "--results": (str, "root of the results: directory or URL"),
}
_OPTIONS: Final = _REQUIRED | {
    "--source-on-node": (Path, "where that directory lies on the node, for messages"),
    "--token-file": (Path, "token for the landing service"),
    "--ca-file": (Path, "CA certificate (PEM) of a landing service that speaks HTTPS"),
    "--s3-credentials": (Path, "key to the bucket, as AWS has it"),
    "--transform": (Path, "the job's own rules: clean(frame), for pandas"),
    "--summary": (Path, "file that the summary is written to as well"),
}


def _plainly(arguments: Sequence[str]) -> Run | None:
    """Return the options of ``run`` as the operator writes them; None for what argparse is to see.

    To import argparse and to make the parser takes longer than to look for what is new.
    """
    names, values = arguments[1::2], arguments[2::2]
    given = dict(zip(names, values, strict=False))
    if (
        arguments[:1] != ["run"]
        or not len(given) == len(names) == len(values)
        or not _REQUIRED.keys() <= given.keys() <= _OPTIONS.keys()
        or any(value.startswith("-") for value in values)
    ):
        return None
    try:
        return Run(
            **{
                name[2:].replace("-", "_"): _OPTIONS[name][0](value)
                for name, value in given.items()
            }
        )
    except ValueError:
        return None


def parser(command: str) -> "argparse.ArgumentParser":
    """Return the parser of the command line; a ``command`` that is not meant has no options."""
    import argparse

    result = argparse.ArgumentParser(prog="edge_etl_job", description=__doc__.split("\n")[0])
    commands = result.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="clean this node's new CSV rows and deliver the result")
    for option, (kind, text) in _OPTIONS.items():
        run.add_argument(option, type=kind, required=option in _REQUIRED, help=text)
    commands.add_parser("probe", help="look at this node, and at a sample of its files")
    commands.add_parser("inspect", help="find out what CSV files hold, without a schema")
    landing = commands.add_parser("landing", help="the service that stores results")
    if command == "landing":
        from edge_etl_job.landing.command import add_arguments

        add_arguments(landing)
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code.

    0 delivered, 1 failed, 2 wrong use, 3 failed in a way that another attempt would not change.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _plainly(arguments)
    if arguments[:1] in (["probe"], ["inspect"]):
        from edge_etl_job import looking

        return looking.run(list(arguments))
    if options is None:
        parsed = vars(parser(next(iter(arguments), "")).parse_args(arguments))
        if parsed.pop("command") == "landing":
            import gc
            from argparse import Namespace

            from edge_etl_job.landing.command import run

            gc.enable()
            return run(Namespace(**parsed))
        options = Run(**parsed)
    _signal.signal(_signal.SIGTERM, _stop)
    return _run(options)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped


def _run(options: Run) -> int:
    from edge_etl_job import report
    from edge_etl_job.errors import EdgeError
    from edge_etl_job.logs import log
    from edge_etl_job.reasons import INTERNAL_ERROR, JOB_INVALID, STOPPED, TOO_MANY_REJECTED
    from edge_etl_job.results import ResultError

    log.configure(node=options.node)
    run = ""

    def failed(reason: str, message: str) -> "NodeSummary":
        log.error(message, extra={"event": "failed", "reason": reason})
        return report.failed(run, options.node, options.attempt, reason, message)

    try:
        from edge_etl_job.job import load_job

        job = load_job(options.job)
        run = job.run
        summary = _deliver(options, job)
        if not summary.succeeded:
            failed(summary.reason, summary.message)
        else:
            log.info(summary.message, extra={"event": "done", "reason": summary.reason})
    except (EdgeError, ResultError) as error:
        summary = failed(error.reason, error.message)
    except (Stopped, KeyboardInterrupt):
        summary = failed(STOPPED, "told to end before the result was delivered; nothing is lost")
    except Exception as error:
        log.exception("a mistake of this program", extra={"event": "traceback"})
        summary = failed(INTERNAL_ERROR, f"{type(error).__name__}: {error}; see the log")
    try:
        content = report.write(summary, options.summary)
    except OSError as error:
        log.warning("%s cannot be written: %s", options.summary, error.strerror)
        content = report.encoded(summary)
    sys.stdout.buffer.write(content + b"\n")
    sys.stdout.flush()
    if summary.succeeded:
        return 0
    # Another attempt of the same run would end the same way: the Job makes none.
    return 3 if summary.reason in (TOO_MANY_REJECTED, JOB_INVALID) else 1


def _deliver(options: Run, job: "JobDocument") -> "NodeSummary":
    from edge_etl_job.attempt import Task
    from edge_etl_job.results import open_store
    from edge_etl_job.results.layout import Attempt
    from edge_etl_job.run import run

    store = open_store(
        options.results,
        Attempt(job.namespace, job.job, job.run, options.node, options.attempt),
        token_file=options.token_file,
        ca_file=options.ca_file,
        credentials=options.s3_credentials,
    )
    task = Task(
        job,
        options.node,
        options.attempt,
        options.source,
        options.state,
        options.work,
        options.transform,
        options.source_on_node,
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
