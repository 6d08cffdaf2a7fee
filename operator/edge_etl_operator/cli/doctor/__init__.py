"""`edge-etl doctor`: look at the cluster and the Pis before the first run, and say what to do."""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from edge_etl_operator import api
from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.cli import DONE, FAILED, cluster_view, output, session
from edge_etl_operator.cli.doctor import (
    job_checks,
    node_checks,
    probe_checks,
    probing,
    release,
    rights,
    screen,
)
from edge_etl_operator.cli.doctor.checks import Check, failed, notice, ok, unknown
from edge_etl_operator.cli.doctor.release import Release
from edge_etl_operator.cli.session import Session
from edge_etl_operator.cluster import ApiError
from edge_etl_operator.policies import absence
from edge_etl_operator.validation import load_job


def command(options: argparse.Namespace) -> int:
    """Make all checks that can be made, and show them; FAILED when there is a problem."""
    within = session.opened(options)
    version: dict[str, Any] = cluster_view.one(within.connection, "/version", dict)
    found = [ok("api server", f"Kubernetes {version['gitVersion']}")]
    found += rights.checks(within)
    installed: Release | None = None
    try:
        installed = release.found(within)
        found += release.checks(within, installed)
    except ApiError as error:
        if error.status in (0, 401):
            raise
        remedy = "Ask somebody who may read Deployments and ConfigMaps to run doctor."
        found.append(unknown("operator", error.message, remedy))
    job = _job(within, options)
    found += _about(within, job, installed, options)
    if output.wanted(options):
        output.emit("Diagnosis", {"problem": failed(found), "checks": found}, options)
    else:
        screen.show(found, everything=options.all)
    return FAILED if failed(found) else DONE


def _job(within: Session, options: argparse.Namespace) -> EdgeETLJob | None:
    """Return the job that is meant.

    None when it cannot be read, or when none is named and there is not just one.
    """
    if options.file is not None:
        job = api.parse(load_job(options.file))
        metadata = msgspec.structs.replace(job.metadata, namespace=within.namespace)
        return msgspec.structs.replace(job, metadata=metadata)
    try:
        if options.job is not None:
            return session.job(within, options.job)
        jobs = session.jobs(within.connection, within.namespace)
    except ApiError as error:
        if error.status in (0, 401):
            raise
        return None  # the checks of permissions or of the resource say why
    return jobs[0] if len(jobs) == 1 else None


def _about(
    within: Session,
    job: EdgeETLJob | None,
    installed: Release | None,
    options: argparse.Namespace,
) -> Iterator[Check]:
    """Look at a job and its nodes."""
    if job is None and options.job is not None:
        said = f"{options.job} cannot be read, so its Pis were not looked at"
        yield unknown("job", said, "Do first what the other checks say.")
        return
    if job is None:
        yield notice(
            "job",
            "no job was looked at, so its Pis were not either",
            "Name one: `doctor JOB`, or `doctor -f JOB.yaml` before it is applied.",
        )
        return
    try:
        machines = cluster_view.machines(within.connection)
    except ApiError as error:
        yield unknown("nodes", error.message)
        machines = ()
    settings = installed.settings if installed else None
    if machines:
        yield from node_checks.checks(job, machines, settings)
    if installed is None:
        return
    yield from job_checks.checks(within, job, installed, machines)
    if job.spec.source.name not in installed.settings.sources:
        return  # that is told, and nothing else may be looked at
    able = [
        node
        for node in node_checks.selected(job, machines)
        if absence.closed(node.name, node, job.spec.nodes.tolerations) is None
        and (not options.node or node.name in options.node)
    ]
    if able and not options.no_probe:
        yield from _probed(replace(within, namespace=job.namespace), job, able, installed)


def _probed(
    within: Session,
    job: EdgeETLJob,
    able: Sequence[cluster_view.MachineNode],
    installed: Release,
) -> Iterator[Check]:
    if not rights.may(within, rights.PODS):
        yield unknown(
            "pod",
            f"the Pis themselves were not looked at: you may not create pods in {job.namespace}",
            "Have somebody who may run doctor, or look at the API server's view (--no-probe).",
        )
        return
    looked: list[str] = []

    def tell(name: str) -> None:
        looked.append(name)
        print(f"looked at {name} ({len(looked)} of {len(able)})", file=sys.stderr, flush=True)

    answers = probing.ask(within, job, able, installed.settings, tell)
    for answer in answers:
        yield from probe_checks.checks(answer, job)
    yield from probe_checks.missing_everywhere(answers, job)
