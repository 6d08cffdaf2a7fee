"""`edge-etl run`: ask for a run in the cluster, by the annotation, and wait for its end."""

import argparse
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from edge_etl_operator import conditions, names
from edge_etl_operator.api import EdgeETLJob, PastRun
from edge_etl_operator.cli import DONE, FAILED, UsageError, session
from edge_etl_operator.cli.session import Session
from edge_etl_operator.cluster import Cluster, ConflictError

_EVERY_SECONDS: Final = 1.0


def command(options: argparse.Namespace) -> int:
    """Do what the command line says; raise UsageError when nothing can begin."""
    annotation = names.REPLAY if options.command == "quarantine" else names.RUN_NOW
    within = session.opened(options)
    if session.job(within, options.job).spec.suspend:
        raise UsageError(f"{options.job} is suspended: set spec.suspend to false first")
    request = ask(within.cluster, within.namespace, options.job, annotation)
    print(f"{within.namespace}/{options.job}: a run is asked for ({request})", flush=True)
    if not (options.wait or options.follow):
        return DONE
    return DONE if _awaited(within, options, request) else FAILED


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


def _awaited(within: Session, options: argparse.Namespace, request: str) -> bool:
    deadline = time.monotonic() + options.timeout if options.timeout else None
    say: Callable[[str], None] = _Teller() if options.follow else lambda _: None
    run = ""
    while True:
        job = session.job(within, options.job)
        say(state(job))
        answered = (job.status.last_run_request, job.status.last_replay_request)
        if not run and request in answered and job.status.run:
            run = job.status.run.id
        if run and (past := ended(job, run)) is not None:
            print(f"run {run}: {told(job, past)}", flush=True)
            return past.result in ("Succeeded", conditions.PARTIALLY_SUCCEEDED.code)
        if deadline is not None and time.monotonic() > deadline:
            print(f"not over within {options.timeout:g} s: {state(job)}", flush=True)
            return False
        time.sleep(_EVERY_SECONDS)


def ended(job: EdgeETLJob, run: str) -> PastRun | None:
    """Return what is kept of a run that is over, None while it goes on."""
    return next((past for past in job.status.runs if past.id == run), None)


def told(job: EdgeETLJob, past: PastRun) -> str:
    """Say how a run ended, and why."""
    success = job.status.condition(conditions.SUCCEEDED)
    same = job.status.run is not None and job.status.run.id == past.id
    why = f": {success.message}" if success is not None and same else ""
    return f"{past.result} ({past.nodes_summary} nodes){why}"


def state(job: EdgeETLJob) -> str:
    """Say in a line where a job is, and what it waits for."""
    status = job.status
    success = status.condition(conditions.SUCCEEDED)
    why = f": {success.message}" if success is not None else ""
    return f"{status.phase or 'Pending'} {status.nodes_summary}".rstrip() + why


class _Teller:
    """Prints what is new."""

    def __init__(self) -> None:
        self._said = ""

    def __call__(self, line: str) -> None:
        if line != self._said:
            print(f"{datetime.now(UTC):%H:%M:%S}  {line}", flush=True)
            self._said = line
