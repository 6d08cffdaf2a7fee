"""The cluster as the operator uses it: a few typed calls."""

import json
from typing import Any, Final

import msgspec

from edge_etl_operator.api import API_VERSION, GROUP, KIND, PLURAL, VERSION
from edge_etl_operator.capacity import Claim, PodUsage, Volume
from edge_etl_operator.connection import (
    ApiError,
    ConflictError,
    Connection,
    NotFoundError,
    RefusedError,
    TransientError,
)
from edge_etl_operator.kube import Event, Metadata, Pod, items

__all__ = [
    "ApiError",
    "Cluster",
    "ConflictError",
    "NotFoundError",
    "RefusedError",
    "TransientError",
]

_CRD: Final = f"/apis/{GROUP}/{VERSION}"
_PATHS: Final = {
    "ConfigMap": ("/api/v1", "configmaps"),
    "Pod": ("/api/v1", "pods"),
    "Job": ("/apis/batch/v1", "jobs"),
    "Event": ("/apis/events.k8s.io/v1", "events"),
}


class Cluster:
    """What the operator asks the API server for, beside what it watches."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def serves_jobs(self) -> bool:
        """Tell whether the CRD is installed."""
        try:
            self._connection.call("GET", _CRD)
        except NotFoundError:
            return False
        return True

    def edge_etl_job(self, namespace: str, name: str) -> dict[str, Any]:
        """Return the resource as it is now."""
        place = f"{_CRD}/namespaces/{namespace}/{PLURAL}/{name}"
        resource: dict[str, Any] = msgspec.json.decode(self._connection.call("GET", place))
        return resource

    def replace(self, resource: dict[str, Any]) -> None:
        """Write the resource without its status; ConflictError if it was changed meanwhile."""
        metadata = resource["metadata"]
        place = f"{_CRD}/namespaces/{metadata['namespace']}/{PLURAL}/{metadata['name']}"
        self._connection.call("PUT", place, body=resource)

    def replace_status(self, resource: dict[str, Any], status: dict[str, Any]) -> str:
        """Write the status and return the resource's new version.

        ConflictError if the resource is no longer the one that was read.
        """
        known = resource["metadata"]
        place = f"{_CRD}/namespaces/{known['namespace']}/{PLURAL}/{known['name']}/status"
        # Of everything else the API server keeps what it has.
        kept = ("name", "namespace", "uid", "resourceVersion")
        metadata = {key: known[key] for key in kept}
        body = {"apiVersion": API_VERSION, "kind": KIND, "metadata": metadata, "status": status}
        answer = self._connection.call("PUT", place, body=body)
        return msgspec.json.decode(answer, type=_Written).metadata.resource_version

    def pods(self, namespace: str, selector: str) -> tuple[Pod, ...]:
        """Return the pods with the labels as they are now."""
        place = f"/api/v1/namespaces/{namespace}/pods"
        return items(self._connection.call("GET", place, query=[("labelSelector", selector)]), Pod)

    def pod_usage(self, namespace: str | None = None) -> tuple[PodUsage, ...]:
        """Return where the pods of a namespace, or of all, are at work and what they ask for."""
        within = f"/namespaces/{namespace}" if namespace else ""
        running = "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"
        query = [("fieldSelector", running)]
        return items(self._connection.call("GET", f"/api/v1{within}/pods", query=query), PodUsage)

    def claim(self, namespace: str, name: str) -> Claim:
        """Return a volume claim."""
        place = f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}"
        return msgspec.json.decode(self._connection.call("GET", place), type=Claim)

    def volume(self, name: str) -> Volume:
        """Return a persistent volume."""
        answer = self._connection.call("GET", f"/api/v1/persistentvolumes/{name}")
        return msgspec.json.decode(answer, type=Volume)

    def warnings(self, namespace: str) -> tuple[Event, ...]:
        """Return the warnings of about the last hour."""
        place = f"/api/v1/namespaces/{namespace}/events"
        query = [("fieldSelector", "type=Warning")]
        return items(self._connection.call("GET", place, query=query), Event)

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        """Return a ConfigMap, Pod or Job."""
        found: dict[str, Any] = json.loads(
            self._connection.call("GET", f"{_place(kind, namespace)}/{name}")
        )
        return found

    def create(self, manifest: dict[str, Any]) -> bytes:
        """Create a ConfigMap, Pod, Job or Event and return it; ConflictError if it is there."""
        place = _place(manifest["kind"], manifest["metadata"]["namespace"])
        return self._connection.call("POST", place, body=manifest)

    def delete(self, kind: str, namespace: str, name: str, uid: str) -> bytes:
        """Delete just this object and what it owns; return what is left of it.

        A Job stays until its pods have ended, so that what still works on a node can be seen.
        """
        policy = "Foreground" if kind == "Job" else "Background"
        options = {"propagationPolicy": policy, "preconditions": {"uid": uid}}
        place = f"{_place(kind, namespace)}/{name}"
        return self._connection.call("DELETE", place, body=options)


class _Written(msgspec.Struct, frozen=True):
    metadata: Metadata


def _place(kind: str, namespace: str) -> str:
    prefix, plural = _PATHS[kind]
    return f"{prefix}/namespaces/{namespace}/{plural}"
