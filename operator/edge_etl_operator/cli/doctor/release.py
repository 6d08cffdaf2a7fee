"""The installed chart as the cluster shows it: its settings, and whom it serves."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from edge_etl_operator.cli import cluster_view
from edge_etl_operator.cli.doctor.checks import Check, notice, ok, problem, unknown
from edge_etl_operator.cli.session import Session
from edge_etl_operator.cluster import ApiError
from edge_etl_operator.kube import Pod, items
from edge_etl_operator.policies import diagnosis
from edge_etl_operator.settings import Settings

USUAL: Final = "pi-edge-spark"
"""The namespace in which the guide installs the chart."""
_INSTALL: Final = (
    "Install the chart: helm install pi-edge-spark charts/pi-edge-spark --namespace pi-edge-spark "
    "--create-namespace"
)


@dataclass(frozen=True)
class Release:
    """A release of the chart."""

    name: str
    """What the names of its objects begin with."""
    namespace: str
    settings: Settings
    operator: dict[str, Any]
    """Its operator's Deployment."""

    def serves(self, namespace: str) -> bool:
        """Tell whether its operator looks at the jobs of a namespace."""
        containers = self.operator["spec"]["template"]["spec"]["containers"]
        arguments = containers[0].get("args", [])
        return "--all-namespaces" in arguments or f"--namespace={namespace}" in arguments


def found(within: Session) -> Release | None:
    """Return the release that serves the session's namespace, else any; None without one.

    Raise ApiError when nothing of it may be read.
    """
    places = (within.namespace, USUAL, None)
    query = [("labelSelector", f"{cluster_view.COMPONENT}operator")]
    deployments = cluster_view.listed_in(
        within.connection, "/apis/apps/v1", "deployments", (None, *places[:2]), query
    )
    releases = []
    for each in deployments:
        name, namespace = each["metadata"]["name"], each["metadata"]["namespace"]
        place = f"/api/v1/namespaces/{namespace}/configmaps/{name}"
        config = cluster_view.one(within.connection, place, dict)
        settings = msgspec.yaml.decode(config["data"]["settings.yaml"], type=Settings)
        releases.append(Release(name.removesuffix("-operator"), namespace, settings, each))
    serving = [each for each in releases if each.serves(within.namespace)]
    return next(iter(serving or releases), None)


def checks(within: Session, release: Release | None) -> Iterator[Check]:
    """Look at the resource's definition, the operator and the landing service."""
    if within.cluster.serves_jobs():
        yield ok("resource", "the cluster knows EdgeETLJobs")
    else:
        yield problem("resource", "the cluster knows no EdgeETLJobs", _INSTALL)
    if release is None:
        yield problem("operator", "no operator is installed", _INSTALL)
        return
    yield _serves(within, release)
    yield from _runs(within, release, "operator", release.operator)
    landing = release.settings.landing
    if landing is not None:
        query = [("labelSelector", f"{cluster_view.COMPONENT}landing")]
        namespaces: tuple[str | None, ...] = (landing.namespace,)
        deployments = cluster_view.listed_in(
            within.connection, "/apis/apps/v1", "deployments", namespaces, query
        )
        name = f"{release.name}-landing"
        mine = [each for each in deployments if each["metadata"]["name"] == name]
        for each in mine:
            yield from _runs(within, release, "landing service", each)
        if not mine:
            said = f"the landing service is missing in {landing.namespace}"
            yield problem("landing service", said, "Run `helm upgrade` again.")


def _serves(within: Session, release: Release) -> Check:
    where = f"the operator in {release.namespace}"
    if release.serves(within.namespace):
        return ok("namespace", f"{where} serves jobs in {within.namespace}")
    return problem(
        "namespace",
        f"{where} does not look at jobs in {within.namespace}",
        f"Work in {release.namespace} (--namespace), or add {within.namespace} to the chart's "
        "value operator.namespaces.",
    )


def _runs(
    within: Session, release: Release, name: str, deployment: dict[str, Any]
) -> Iterator[Check]:
    """Tell whether a Deployment's pod is ready, and otherwise why it is not."""
    namespace = deployment["metadata"]["namespace"]
    if deployment.get("status", {}).get("readyReplicas"):
        yield ok(name, f"the {name} runs in {namespace}")
        return
    labels = deployment["spec"]["selector"]["matchLabels"]
    query = [("labelSelector", ",".join(f"{key}={value}" for key, value in labels.items()))]
    place = f"/api/v1/namespaces/{namespace}"
    try:
        pods = items(within.connection.call("GET", f"{place}/pods", query=query), Pod)
        warnings = within.cluster.warnings(namespace)
    except ApiError as error:
        yield unknown(name, f"the {name} is not ready, and {error.message}")
        return
    for pod in pods:
        about = [each for each in warnings if each.involved_object.uid == pod.uid]
        if cause := diagnosis.waiting(pod, about):
            yield problem(name, f"the {name} waits: {cause.fact}", cause.reason.remedy)
            return
        for container in pod.containers:
            if (state := container.state.waiting) and state.reason == "CrashLoopBackOff":
                yield problem(
                    name,
                    f"the {name} ends again and again: {state.message}",
                    f"kubectl logs --namespace {namespace} {pod.name} --previous",
                )
                return
    if pods:
        yield notice(name, f"the {name} is starting", "Wait a moment and ask again.")
    else:
        said = f"the {name} has no pod"
        remedy = f"kubectl describe --namespace {namespace} deployment {release.name}"
        yield problem(name, said, remedy)
