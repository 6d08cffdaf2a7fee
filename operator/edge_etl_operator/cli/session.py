"""The cluster as the person at the keyboard reaches it: kubeconfig, context, namespace."""

import argparse
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import kubernetes.config
import msgspec

from edge_etl_operator import api
from edge_etl_operator.api import EdgeETLJob, InvalidResourceError
from edge_etl_operator.cli import FAILED, NO_CLUSTER, UsageError
from edge_etl_operator.cluster import ApiError, Cluster, NotFoundError
from edge_etl_operator.connection import Connection
from edge_etl_operator.kube import Page
from edge_etl_operator.limiter import Limiter

_REQUESTS_PER_SECOND: Final = 50
"""As kubectl's own limit."""
_OWN_NAMESPACE: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True)
class Session:
    """A connection with the person's own rights, and the namespace that is meant."""

    connection: Connection
    cluster: Cluster
    namespace: str


def opened(options: argparse.Namespace) -> Session:
    """Connect as ``--kubeconfig``, ``--context`` and ``--namespace`` say.

    Raise ConfigException when there is no such kubeconfig or context.
    """
    limiter = Limiter(rate=_REQUESTS_PER_SECOND, burst=_REQUESTS_PER_SECOND)
    connection = Connection.by_kubeconfig(limiter, options.kubeconfig, options.context)
    namespace = options.namespace or _namespace(options)
    return Session(connection, Cluster(connection), namespace)


def job(within: Session, name: str) -> EdgeETLJob:
    """Return a job; UsageError that names those that there are when there is none of the name."""
    try:
        return api.parse(within.cluster.edge_etl_job(within.namespace, name))
    except NotFoundError as error:
        if error.reason != "NotFound":
            raise
        known = ", ".join(each.name for each in jobs(within.connection, within.namespace))
        there = f"there are: {known}" if known else "there is none"
        raise UsageError(
            f"there is no EdgeETLJob {name!r} in namespace {within.namespace!r}; {there}"
        ) from None


def jobs(connection: Connection, namespace: str | None) -> tuple[EdgeETLJob, ...]:
    """Return the jobs of a namespace, or of all; those that cannot be parsed are left out."""
    within = f"/namespaces/{namespace}" if namespace else ""
    place = f"/apis/{api.GROUP}/{api.VERSION}{within}/{api.PLURAL}"
    found = []
    for item in msgspec.json.decode(connection.call("GET", place), type=Page).items:
        with suppress(msgspec.ValidationError):
            found.append(msgspec.json.decode(item, type=EdgeETLJob))
    return tuple(sorted(found, key=lambda job: (job.namespace, job.name)))


def guarded(command: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Run a command about a cluster; what the cluster refuses is said without a traceback."""
    try:
        return command(options)
    except NotFoundError as error:
        raise UsageError(_missing(error)) from None
    except ApiError as error:
        print(_refused(error), file=sys.stderr)
    except InvalidResourceError as error:
        print(f"a resource that this version cannot read: {error}", file=sys.stderr)
        return FAILED
    except kubernetes.config.ConfigException as error:
        said = str(error).rstrip(".")
        print(f"{said}. Name a cluster with --kubeconfig or --context.", file=sys.stderr)
    return NO_CLUSTER


def _missing(error: ApiError) -> str:
    # An object that is not there has a Status of its own; a path that is not there has none.
    if error.reason != "NotFound" or not error.message:
        return (
            "the cluster knows no EdgeETLJob: install the chart first "
            "(helm install pi-edge-spark charts/pi-edge-spark)"
        )
    return error.message


def _refused(error: ApiError) -> str:
    if error.status == 401:
        return "the cluster does not know you: log in again, or renew the kubeconfig's credentials"
    if error.status == 403:
        return (
            f"{error.message}. Have an administrator grant it by a Role and RoleBinding; "
            "`doctor` lists what is missing."
        )
    if error.status == 0:
        said = error.message.partition("Caused by ")[2] or error.message
        return (
            f"the API server cannot be reached: {said}. Is the cluster on, and the context right?"
        )
    return f"the cluster does not do that: {error.message}"


def _namespace(options: argparse.Namespace) -> str:
    """Return the namespace of the context, within a pod the pod's own."""
    try:
        contexts, current = kubernetes.config.list_kube_config_contexts(  # type: ignore[no-untyped-call]
            config_file=options.kubeconfig
        )
    except kubernetes.config.ConfigException:
        return _OWN_NAMESPACE.read_text().strip() if _OWN_NAMESPACE.is_file() else "default"
    if options.context:
        current = next(each for each in contexts if each["name"] == options.context)
    context: dict[str, Any] = current["context"]
    return str(context.get("namespace") or "default")
