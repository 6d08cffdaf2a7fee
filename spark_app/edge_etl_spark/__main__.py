"""The command line.

``run`` aggregates once; ``report`` writes the report of a run that is not aggregated, and
``reports`` finds those that were written; ``deliveries`` prints what the nodes committed;
``executor`` is how Spark starts its own pods; ``table`` looks after a published table.
"""

import argparse
import logging
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from edge_etl_spark import document as documents
from edge_etl_spark import executor, logs, report, table_command
from edge_etl_spark.aggregate import aggregate
from edge_etl_spark.documents import AggregationReport
from edge_etl_spark.errors import (
    INTERNAL_ERROR,
    RESULTS_UNAUTHORIZED,
    RESULTS_UNAVAILABLE,
    STOPPED,
    AggregationError,
)
from edge_etl_spark.logs import log
from edge_etl_spark.results import open_results
from edge_etl_spark.run_report.writing import Report

_NO_REPORT: Final = frozenset({STOPPED, RESULTS_UNAVAILABLE, RESULTS_UNAUTHORIZED})
"""What was told to end has little time left; and where nothing can be read, nothing is written."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return the exit code: 0 for success, 1 for a reported failure."""
    options = _parser().parse_args(arguments)
    if options.command == "executor":
        logs.configure()
        try:
            executor.run()
        except AggregationError as error:
            log.error(error.message, extra={"event": "failed", "reason": error.reason})
        return 1
    if options.command == "report":
        return _report(options)
    if options.command == "run":
        return _run(options)
    return _serve(_SERVING[options.command], options)


_SERVING: Final = {
    "table": table_command.run,
    "reports": table_command.reports,
    "deliveries": table_command.deliveries,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="edge_etl_spark", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="merge what the nodes delivered and publish the table")
    run.add_argument("--document", type=Path, required=True, help="the aggregation document")
    run.add_argument(
        "--results", required=True, help="the root of the results: directory or bucket"
    )
    run.add_argument("--s3-credentials", type=Path, help="key to the bucket, as AWS has it")
    run.add_argument("--summary", type=Path, required=True, help="where to write the report")
    run.add_argument("--java-home", type=Path, help="a Java 17 or 21; found by itself otherwise")
    page = commands.add_parser("report", help="write the report of a run that is not aggregated")
    page.add_argument("--document", type=Path, required=True, help="the aggregation document")
    page.add_argument("--results", type=Path, required=True, help="the root of the results")
    page.add_argument("--reason", required=True, help="why it is not, in a word")
    page.add_argument("--message", required=True, help="and in a sentence")
    table_command.add_report_arguments(
        commands.add_parser("reports", help="print a run's report, or list the runs that have one")
    )
    table_command.add_delivery_arguments(
        commands.add_parser("deliveries", help="print what the nodes delivered, or rejected")
    )
    commands.add_parser("executor", help="become a Spark executor (started by the driver)")
    table_command.add_arguments(
        commands.add_parser("table", help="look after a published table", prog="edge-etl table")
    )
    return parser


def _report(options: argparse.Namespace) -> int:
    logs.configure()
    try:
        document = documents.read(options.document)
        results = open_results(options.results, document.namespace, document.job)
        page = Report(document, results)
    except AggregationError as error:
        log.error(error.message, extra={"event": "failed", "reason": error.reason})
        return 1
    run, reason, message = page.document.run, options.reason, options.message
    failed = AggregationReport(run=run, succeeded=False, reason=reason, message=message)
    return 0 if page.write(failed) else 1


def _serve(command: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Serve a person: what goes wrong is a sentence on standard error."""
    from edge_etl_spark.failures import diagnose

    signal.signal(signal.SIGTERM, _stop)
    try:
        return command(options)
    except (Exception, Terminated) as error:
        known = diagnose(error) if isinstance(error, Exception) else None
        if known is None:
            raise
        print(f"{known.reason}: {known.message}", file=sys.stderr)
        return 1


def _run(options: argparse.Namespace) -> int:
    logs.configure()
    signal.signal(signal.SIGTERM, _stop)
    started = time.monotonic()
    run, page = "", None
    try:
        document = documents.read(options.document)
        run = document.run
        logs.configure(job=f"{document.namespace}/{document.job}", run=run)
        place = (options.results, document.namespace, document.job, options.s3_credentials)
        page = Report(document, open_results(*place))
        log.addHandler(page.steps)
        result = aggregate(
            document, options.results, options.java_home, page.look, options.s3_credentials
        )
    except (Exception, Terminated) as error:
        result = _failure(run, error)
    code = _summarised(result, options.summary)
    # What is done is done, with a report or without.
    if page and result.reason not in _NO_REPORT:
        with suppress(Terminated):
            page.write(result, options.java_home)
    seconds = round(time.monotonic() - started, 1)
    log.log(
        logging.INFO if result.succeeded else logging.ERROR,
        result.message,
        extra={"event": "finished", "reason": result.reason, "seconds": seconds},
    )
    return code


def _summarised(result: AggregationReport, path: Path) -> int:
    """Write what the operator reads, and return the exit code."""
    try:
        report.write(result, path)
    except OSError as error:
        log.error(f"cannot write {path}: {error}", extra={"event": "failed"})
        return 1
    return 0 if result.succeeded else 1


class Terminated(BaseException):
    """SIGTERM arrived; not an Exception, because Py4J turns these into its own."""


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def _failure(run: str, error: BaseException) -> AggregationReport:
    from edge_etl_spark.failures import diagnose

    if isinstance(error, Terminated):
        known = AggregationError(STOPPED, "told to end before the table was published; run again")
    else:
        known = diagnose(error) or _unknown(error)
    return AggregationReport(run=run, succeeded=False, reason=known.reason, message=known.message)


def _unknown(error: BaseException) -> AggregationError:
    log.error("unexpected", exc_info=error, extra={"event": "traceback"})
    return AggregationError(
        INTERNAL_ERROR, f"{type(error).__name__}: {error}; the log holds the traceback"
    )


if __name__ == "__main__":
    sys.exit(main())
