"""`edge-etl run`: ask for a run in the cluster, by the annotation, and wait for its end."""

import argparse
import secrets
import sys
import time
from datetime import UTC, datetime
from typing import Final, TextIO

import msgspec

from edge_etl_operator import conditions, names
from edge_etl_operator.api import EdgeETLJob, PastRun
from edge_etl_operator.cli import DONE, FAILED, UsageError, output, session
from edge_etl_operator.cli.output import Part
from edge_etl_operator.cli.session import Session
from edge_etl_operator.cluster import Cluster, ConflictError

_EVERY_SECONDS: Final = 1.0


class Asked(Part, frozen=True, kw_only=True):
    """A run that was asked for, and how it ended if that was waited for."""

    namespace: str
    job: str
    request: str
    run: str = ""
    result: str = ""
    """Empty while it is not known to be over."""
    nodes_summary: str = ""
    message: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the run is over and did what it had to, wholly or partially."""
        return self.result in ("Succeeded", conditions.PARTIALLY_SUCCEEDED.code)


def command(options: argparse.Namespace) -> int:
    """Do what the command line says; raise UsageError when nothing can begin."""
    annotation = names.REPLAY if options.command == "quarantine" else names.RUN_NOW
    within = session.opened(options)
    if session.job(within, options.job).spec.suspend:
        raise UsageError(f"{options.job} is suspended: set spec.suspend to false first")
    request = ask(within.cluster, within.namespace, options.job, annotation)
    asked = Asked(namespace=within.namespace, job=options.job, request=request)
    tell = _Teller(sys.stderr if output.wanted(options) else sys.stdout)
    tell(f"{asked.namespace}/{asked.job}: a run is asked for ({request})")
    waits = options.wait or options.follow
    if waits:
        asked = _awaited(within, asked, options, tell)
    if output.wanted(options):
        output.emit("RunRequest", asked, options)
    return DONE if asked.succeeded or not waits else FAILED


def ask(cluster: Cluster, namespace: str, name: str, annotation: str) -> str:
    """Give the annotation a new value and return it."""
    value = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}-{secrets.token_hex(3)}"
    while True:
        resource = cluster.edge_etl_job(namespace, name)
        resource["metadata"].setdefault("annotations", {})[annotation] = value
        try:
            cluster.replace(resource)
        except ConflictError:
            continue  # its status was written meanwhile
        return value


def _awaited(within: Session, asked: Asked, options: argparse.Namespace, tell: "_Teller") -> Asked:
    """Wait for the run's end; return what is known by then, without a result if it goes on."""
    deadline = time.monotonic() + options.timeout if options.timeout else None
    while True:
        job = session.job(within, asked.job)
        if options.follow:
            tell.news(state(job))
        answered = (job.status.last_run_request, job.status.last_replay_request)
        if not asked.run and asked.request in answered and job.status.run:
            asked = msgspec.structs.replace(asked, run=job.status.run.id)
        if asked.run and (past := ended(job, asked.run)) is not None:
            asked = _over(asked, job, past)
            why = f": {asked.message}" if asked.message else ""
            tell(f"run {asked.run}: {asked.result} ({asked.nodes_summary} nodes){why}")
            return asked
        if deadline is not None and time.monotonic() > deadline:
            message = f"not over within {options.timeout:g} s: {state(job)}"
            tell(message)
            return msgspec.structs.replace(asked, message=message)
        time.sleep(_EVERY_SECONDS)


def ended(job: EdgeETLJob, run: str) -> PastRun | None:
    """Return what is kept of a run that is over, None while it goes on."""
    return next((past for past in job.status.runs if past.id == run), None)


def _over(asked: Asked, job: EdgeETLJob, past: PastRun) -> Asked:
    """Return how the run ended, and why."""
    success = job.status.condition(conditions.SUCCEEDED)
    same = job.status.run is not None and job.status.run.id == past.id
    return msgspec.structs.replace(
        asked,
        result=past.result,
        nodes_summary=past.nodes_summary,
        message=success.message if success is not None and same else "",
    )


def state(job: EdgeETLJob) -> str:
    """Say in a line where a job is, and what it waits for."""
    status = job.status
    success = status.condition(conditions.SUCCEEDED)
    why = f": {success.message}" if success is not None else ""
    return f"{status.phase or 'Pending'} {status.nodes_summary}".rstrip() + why


class _Teller:
    """Prints what goes on."""

    def __init__(self, to: TextIO) -> None:
        self._to = to
        self._said = ""

    def __call__(self, line: str) -> None:
        print(line, file=self._to, flush=True)

    def news(self, line: str) -> None:
        """Print when something is as it was not before."""
        if line != self._said:
            self(f"{datetime.now(UTC):%H:%M:%S}  {line}")
            self._said = line
