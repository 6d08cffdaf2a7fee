"""`edge-etl run`: ask for a run in the cluster, by the annotation, and wait for its end."""

import argparse
import secrets
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import kubernetes.config

from edge_etl_operator import api, conditions, names
from edge_etl_operator.api import EdgeETLJob, InvalidResourceError, PastRun
from edge_etl_operator.cli import UsageError
from edge_etl_operator.cluster import ApiError, Cluster, ConflictError, NotFoundError
from edge_etl_operator.connection import Connection
from edge_etl_operator.limiter import Limiter

_EVERY_SECONDS: Final = 1.0


def command(options: argparse.Namespace, annotation: str = names.RUN_NOW) -> bool:
    """Do what the command line says; tell whether the run succeeded, as far as it was awaited.

    ``annotation`` is what asks for it: run-now, or replay. Raise UsageError when there is no such
    job, or nothing can begin.
    """
    namespace = options.namespace or _namespace()
    try:
        cluster = Cluster(Connection.connect(Limiter(rate=10, burst=10)))
        request = ask(cluster, namespace, options.job, annotation)
        print(f"{namespace}/{options.job}: a run is asked for ({request})", flush=True)
        if not (options.wait or options.follow):
            return True
        return _awaited(cluster, namespace, options, request)
    except NotFoundError:
        raise UsageError(f"there is no EdgeETLJob {options.job!r} in {namespace!r}") from None
    except (ApiError, InvalidResourceError, kubernetes.config.ConfigException) as error:
        raise UsageError(f"the cluster does not do that: {error}") from None


def ask(cluster: Cluster, namespace: str, name: str, annotation: str) -> str:
    """Give the annotation a new value and return it; UsageError for a job that is suspended."""
    value = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}-{secrets.token_hex(3)}"
    while True:
        resource = cluster.edge_etl_job(namespace, name)
        if api.parse(resource).spec.suspend:
            raise UsageError(f"{name} is suspended: set spec.suspend to false first")
        resource["metadata"].setdefault("annotations", {})[annotation] = value
        try:
            cluster.replace(resource)
        except ConflictError:
            continue  # its status was written meanwhile
        return value


def _awaited(cluster: Cluster, namespace: str, options: argparse.Namespace, request: str) -> bool:
    deadline = time.monotonic() + options.timeout if options.timeout else None
    say: Callable[[str], None] = _Teller() if options.follow else lambda _: None
    run = ""
    while True:
        job = api.parse(cluster.edge_etl_job(namespace, options.job))
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


def _namespace() -> str:
    """Return the namespace of kubectl's current context."""
    try:
        _, current = kubernetes.config.list_kube_config_contexts()  # type: ignore[no-untyped-call]
    except kubernetes.config.ConfigException:
        return "default"
    context: dict[str, Any] = current["context"]
    return str(context.get("namespace") or "default")
