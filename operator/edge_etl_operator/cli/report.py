"""`edge-etl report`: the report of a run, brought from the landing service as a file to look at."""

import argparse
import http.client
import sys
import webbrowser
from pathlib import Path
from typing import Final

import msgspec

from edge_etl_operator import conditions
from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.cli import DONE, UsageError, output, session
from edge_etl_operator.cli.session import Session
from edge_etl_operator.kube import items

_LANDING: Final = "app.kubernetes.io/part-of=pi-edge-spark,app.kubernetes.io/component=landing"
_PORT: Final = "reports"
"""The name of the port in the landing service's pod (chart, landing.yaml)."""


class _Port(msgspec.Struct, frozen=True, rename="camel"):
    container_port: int
    name: str = ""


class _Container(msgspec.Struct, frozen=True):
    ports: tuple[_Port, ...] = ()


class _Spec(msgspec.Struct, frozen=True):
    containers: tuple[_Container, ...]


class _Name(msgspec.Struct, frozen=True):
    name: str


class _Pod(msgspec.Struct, frozen=True):
    metadata: _Name
    spec: _Spec


class _Runs(msgspec.Struct, frozen=True):
    runs: tuple[str, ...]


def command(options: argparse.Namespace) -> int:
    """Bring a report, or say which there are; UsageError where there is none, and why."""
    within = session.opened(options)
    job = session.job(within, options.job)
    if job.spec.results.volume_claim is not None:
        claim = job.spec.results.volume_claim
        below = "/".join(part for part in (claim.sub_path, job.namespace, job.name) if part)
        raise UsageError(
            f"the results of {job.name} lie on the claim {claim.name}, and its reports there in "
            f"{below}/reports: look at them where the claim is mounted"
        )
    if job.spec.results.s3 is not None:
        raise UsageError(
            f"the results of {job.name} are in a bucket, where runs leave no reports; "
            "`edge-etl status` and `edge-etl nodes` tell the rest"
        )
    landing = _Landing(within)
    runs = landing.runs(job)
    if options.list:
        return _listed(runs, options)
    run = _wanted(job, runs, options.run)
    content = landing.report(job, run)
    if options.to == "-":
        sys.stdout.buffer.write(content)
        return DONE
    file = Path(options.to or f"{job.name}-{run}.html")
    file.write_bytes(content)
    if output.wanted(options):
        output.emit({"job": job.name, "run": run, "file": str(file)}, options)
    else:
        print(f"report of run {run}: {file}")
    if options.open:
        webbrowser.open(file.resolve().as_uri())
    return DONE


def _listed(runs: tuple[str, ...], options: argparse.Namespace) -> int:
    if output.wanted(options):
        output.emit({"runs": list(runs)}, options)
    else:
        print("\n".join(runs) or "no run has a report yet")
    return DONE


def _wanted(job: EdgeETLJob, runs: tuple[str, ...], asked: str | None) -> str:
    """Return the run whose report is meant; tell when the last run is not the one that has one."""
    last = job.status.run.id if job.status.run else ""
    if asked and asked not in runs:
        known = f"runs that have one: {', '.join(runs[:5])}" if runs else "no run has one"
        raise UsageError(f"the run {asked} of {job.name} has no report; {known}")
    if not runs:
        raise UsageError(f"no run of {job.name} has a report yet: {_why(job)}")
    if not asked and last > runs[0]:
        print(f"the last run, {last}, has no report: {_why(job)}", file=sys.stderr)
    return asked or runs[0]


def _why(job: EdgeETLJob) -> str:
    success = job.status.condition(conditions.SUCCEEDED)
    said = success.message if success is not None else "it has not run"
    return f"{job.status.phase or 'Pending'}: {said}"


class _Landing:
    """The landing service of a namespace, through the API server's port forwarding."""

    def __init__(self, within: Session) -> None:
        place = f"/api/v1/namespaces/{within.namespace}/pods"
        query = [("labelSelector", _LANDING), ("fieldSelector", "status.phase=Running")]
        found = [
            (pod.metadata.name, port.container_port)
            for pod in items(within.connection.call("GET", place, query=query), _Pod)
            for container in pod.spec.containers
            for port in container.ports
            if port.name == _PORT
        ]
        if not found:
            raise UsageError(
                f"no landing service runs in namespace {within.namespace!r}: see `doctor`, and "
                "whether the chart there is of this version"
            )
        self._within = within
        self._pod, self._port = found[0]

    def runs(self, job: EdgeETLJob) -> tuple[str, ...]:
        """Return the runs that have a report, the latest first."""
        return msgspec.json.decode(self._get(f"{job.namespace}/{job.name}"), type=_Runs).runs

    def report(self, job: EdgeETLJob, run: str) -> bytes:
        """Return the HTML of a run's report."""
        return self._get(f"{job.namespace}/{job.name}/{run}")

    def _get(self, path: str) -> bytes:
        within = self._within
        connection = http.client.HTTPConnection("localhost", timeout=30)
        connection.sock = within.connection.forward(within.namespace, self._pod, self._port)
        try:
            connection.request("GET", f"/v1/reports/{path}", headers={"Connection": "close"})
            answer = connection.getresponse()
            content = answer.read()
        except (http.client.HTTPException, OSError) as error:
            raise UsageError(f"pod {self._pod} does not answer: {error}; see its log") from None
        finally:
            connection.close()
        if answer.status != 200:
            raise UsageError(f"pod {self._pod} answers {answer.status}: {content.decode()[:500]}")
        return content
