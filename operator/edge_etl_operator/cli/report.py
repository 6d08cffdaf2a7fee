"""`edge-etl report`: the report of a run, brought as a file to look at.

It comes from the landing service, or from the bucket of the job's results.
"""

import argparse
import sys
import webbrowser
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import msgspec

from edge_etl_operator import conditions
from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.cli import DONE, UsageError, output, session, status_page
from edge_etl_operator.cli.bucket import Bucket
from edge_etl_operator.cli.landing import Landing, below
from edge_etl_operator.cli.output import Part
from edge_etl_operator.cli.run_view import view
from edge_etl_operator.cli.session import Session

_REPORTS: Final = "reports"


class _Runs(msgspec.Struct, frozen=True):
    runs: tuple[str, ...]


class Brought(Part, frozen=True, kw_only=True):
    """A report, and where it was written."""

    job: str
    run: str
    file: str
    made_from: str
    """``results``, or ``status`` of a run that left none."""


def command(options: argparse.Namespace) -> int:
    """Bring a report, or say which there are; UsageError where there is none, and why."""
    within = session.opened(options)
    job = session.job(within, options.job)
    bring, runs = _there(within, job, options.s3_credentials)
    if options.list:
        return _listed(runs, options)
    run = _wanted(job, runs, options.run)
    if run in runs:
        made_from, content = "results", bring(run)
    else:
        made_from, content = "status", status_page.page(view(job, datetime.now(UTC))).encode()
        print(
            f"run {run} left no report; this one says what the job's status does: {_why(job)}",
            file=sys.stderr,
        )
    if options.to == "-":
        sys.stdout.buffer.write(content)
        return DONE
    file = Path(options.to or f"{job.name}-{run}.html")
    file.write_bytes(content)
    if output.wanted(options):
        brought = Brought(job=job.name, run=run, file=str(file), made_from=made_from)
        output.emit("Report", brought, options)
    else:
        print(f"report of run {run}: {file}")
    if options.open:
        webbrowser.open(file.resolve().as_uri())
    return DONE


def _there(
    within: Session, job: EdgeETLJob, key: Path | None
) -> tuple[Callable[[str], bytes], tuple[str, ...]]:
    """Return the runs that left a report, the latest first, and what brings that of a run."""
    if job.spec.results.volume_claim is not None:
        raise UsageError(
            f"the results of {job.name} lie on the claim {job.spec.results.volume_claim.name}, and "
            f"its reports there in {below(job)}/reports: look at them where the claim is mounted"
        )
    if job.spec.results.s3 is not None:
        bucket = Bucket(within, job, job.spec.results.s3, key)
        return bucket.report, _runs(bucket.reports())
    landing = Landing(within)
    return partial(landing.get, _REPORTS, job), _runs(landing.get(_REPORTS, job))


def _runs(content: bytes) -> tuple[str, ...]:
    return msgspec.json.decode(content, type=_Runs).runs


def _listed(runs: tuple[str, ...], options: argparse.Namespace) -> int:
    if output.wanted(options):
        output.emit("ReportList", runs, options)
    else:
        print("\n".join(runs) or "no run has left a report yet")
    return DONE


def _wanted(job: EdgeETLJob, runs: tuple[str, ...], asked: str | None) -> str:
    """Return the run whose report is meant; tell when the last run is not the one that has one."""
    last = job.status.run.id if job.status.run else ""
    # Of the last run the status knows all, of earlier ones only their end.
    over = last if last and not job.status.going else ""
    if asked:
        if asked not in (*runs, over):
            known = f"runs that have one: {', '.join(runs[:5])}" if runs else "no run has one"
            raise UsageError(f"the run {asked} of {job.name} has no report; {known}")
        return asked
    if over and over not in runs and (not runs or job.status.phase == "Failed"):
        return over
    if not runs:
        raise UsageError(f"no run of {job.name} has a report yet: {_why(job)}")
    if last not in runs:
        print(f"the last run, {last}, has no report: {_why(job)}", file=sys.stderr)
    return runs[0]


def _why(job: EdgeETLJob) -> str:
    success = job.status.condition(conditions.SUCCEEDED)
    said = success.message if success is not None else "it has not run"
    return f"{job.status.phase or 'Pending'}: {said}"
