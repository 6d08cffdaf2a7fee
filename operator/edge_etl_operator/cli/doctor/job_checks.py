"""Whether a job can run in this cluster: its source, claim, accounts, Spark's room."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from edge_etl_operator import capacity
from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.builders.common import results_claim
from edge_etl_operator.capacity import Capacity
from edge_etl_operator.cli import cluster_view
from edge_etl_operator.cli.cluster_view import MachineNode
from edge_etl_operator.cli.doctor.checks import Check, notice, ok, problem, unknown
from edge_etl_operator.cli.doctor.release import Release
from edge_etl_operator.cli.session import Session
from edge_etl_operator.cluster import ApiError, NotFoundError
from edge_etl_operator.policies import acceptance, spark_size
from edge_etl_operator.policies.spark_size import Refusal, SparkPlan, Work
from edge_etl_operator.settings import Settings

_DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"
_ENFORCE: Final = "pod-security.kubernetes.io/enforce"
_MORE_ROOM: Final = (
    "Free or add memory, ask for less in spec.aggregate, or let Spark run on more nodes (the "
    "chart's spark.nodeSelector and spark.tolerations)."
)
_SMALL: Final = Work(bytes=0, columns=8)
"""What even an empty run takes of Spark."""


def checks(
    within: Session, job: EdgeETLJob, release: Release, machines: Sequence[MachineNode]
) -> Iterator[Check]:
    """Look at what a job needs beside its nodes."""
    settings = release.settings
    if refused := acceptance.refusal(job, settings):
        reason, fact = refused
        yield problem("job", fact, reason.remedy)
    else:
        path = settings.sources[job.spec.source.name]
        yield ok("job", f"{job.name} can run here; its source {job.spec.source.name} is {path}")
    yield from _accounts(within, settings)
    yield from _pod_security(within)
    if claim := results_claim(job, settings):
        yield _claim(within, claim)
        yield _spark(within, job, settings, claim, machines)


def _accounts(within: Session, settings: Settings) -> Iterator[Check]:
    for account in (settings.edge.service_account, settings.spark.service_account):
        place = f"/api/v1/namespaces/{within.namespace}/serviceaccounts/{account}"
        try:
            within.connection.call("GET", place)
        except NotFoundError:
            yield problem(
                "service account",
                f"{within.namespace} has no service account {account}, as which pods run",
                f"Add {within.namespace} to the chart's value operator.namespaces.",
            )
        except ApiError as error:
            yield unknown("service account", error.message)


def _pod_security(within: Session) -> Iterator[Check]:
    """Look for a level of Pod Security that refuses what mounts a directory of its node."""
    try:
        answer = within.connection.call("GET", f"/api/v1/namespaces/{within.namespace}")
    except NotFoundError:
        yield problem(
            "namespace",
            f"there is no namespace {within.namespace}",
            f"kubectl create namespace {within.namespace}",
        )
        return
    except ApiError:
        return
    level = json.loads(answer)["metadata"].get("labels", {}).get(_ENFORCE, "privileged")
    if level != "privileged":
        yield problem(
            "pod security",
            f"{within.namespace} enforces the level {level}, which refuses pods that read a "
            "directory of their Pi",
            f"kubectl label namespace {within.namespace} {_ENFORCE}=privileged --overwrite "
            "(docs/security.md says what the pods may do)",
        )


def _claim(within: Session, name: str) -> Check:
    place = f"/api/v1/namespaces/{within.namespace}/persistentvolumeclaims/{name}"
    try:
        claim: dict[str, Any] = cluster_view.one(within.connection, place, dict)
    except NotFoundError:
        return problem(
            "claim",
            f"there is no PersistentVolumeClaim {name} in {within.namespace}",
            "Create it, or correct spec.results.volumeClaim.name.",
        )
    except ApiError as error:
        return unknown("claim", error.message)
    if claim["status"].get("phase") == "Bound":
        size = claim["status"].get("capacity", {}).get("storage", "?")
        return ok("claim", f"{name} is bound, {size}")
    if claim["status"].get("phase") == "Lost":
        return problem("claim", f"the volume of {name} is gone", "Create the claim anew.")
    return _unbound(within, name, claim["spec"].get("storageClassName"))


def _unbound(within: Session, name: str, wanted: str | None) -> Check:
    """Say whether a claim that is not bound can be."""
    try:
        classes = cluster_view.listed(within.connection, "/apis/storage.k8s.io/v1/storageclasses")
    except ApiError as error:
        return unknown("claim", f"{name} is not bound, and {error.message}")
    known = {each["metadata"]["name"]: each for each in classes}
    if wanted:
        found = known.get(wanted)
    else:
        annotated = (
            each
            for each in classes
            if each["metadata"].get("annotations", {}).get(_DEFAULT_CLASS) == "true"
        )
        found = next(annotated, None)
    if found is None:
        what = f"the storage class {wanted}" if wanted else "a default storage class"
        there = ", ".join(sorted(known)) or "none"
        return problem(
            "claim",
            f"{name} cannot bind: {what} is missing; there are: {there}",
            "Name one of them in the claim's storageClassName, or install one (k3s brings "
            "local-path).",
        )
    if found.get("volumeBindingMode") == "WaitForFirstConsumer":
        return ok("claim", f"{name} binds when its first pod starts")
    return notice(
        "claim", f"{name} is not bound yet", f"kubectl describe pvc {name} says what it waits for."
    )


def _spark(
    within: Session,
    job: EdgeETLJob,
    settings: Settings,
    claim: str,
    machines: Sequence[MachineNode],
) -> Check:
    try:
        seen = capacity.look(within.cluster, job.namespace, claim)
    except ApiError as error:
        return unknown("spark", error.message)
    return room_for_spark(job, settings, seen, machines)


def room_for_spark(
    job: EdgeETLJob, settings: Settings, seen: Capacity, machines: Sequence[MachineNode]
) -> Check:
    """Ask the operator's own planner whether the smallest aggregation would fit."""
    here = settings.spark

    def planned(given: Capacity) -> SparkPlan | Refusal:
        rooms = given.rooms(machines, here.node_selector, here.tolerations)
        return spark_size.plan(job.spec.aggregate, _SMALL, rooms, one_node=seen.one_node)

    if not seen.rooms(machines, here.node_selector, here.tolerations):
        remedy = "Correct the chart's spark.nodeSelector and spark.tolerations."
        return problem("spark", "no node may run Spark", remedy)
    found = planned(seen)
    if isinstance(found, SparkPlan):
        pods = f" and {found.instances} executors" if found.executor else ""
        return ok("spark", f"there is room for a driver of {found.driver.pod} MiB{pods}")
    if isinstance(planned(seen.lasting()), SparkPlan):
        said = f"{found.fact}; pods that end have taken the rest"
        return notice("spark", said, "A run waits until there is room.")
    return problem("spark", found.fact, _MORE_ROOM)
