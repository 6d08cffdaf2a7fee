"""The cluster as the operator uses it: a few typed calls with explicit timeouts.

Answers are decoded straight from bytes; the client library only brings connection, credentials
(renewed when the service account's token changes) and TLS. All calls block: they run in threads.
"""

import json
from typing import Any, Final, TypeVar

import kubernetes.client
import kubernetes.config
import msgspec
import urllib3.exceptions

from edge_etl_operator.api import GROUP, PLURAL, VERSION
from edge_etl_operator.kube import Event, Job, Node, Pod

CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 30
_CRD: Final = f"/apis/{GROUP}/{VERSION}"
_PATHS: Final = {
    "ConfigMap": ("/api/v1", "configmaps"),
    "Pod": ("/api/v1", "pods"),
    "Job": ("/apis/batch/v1", "jobs"),
    "Event": ("/apis/events.k8s.io/v1", "events"),
}

_Item = TypeVar("_Item")


class ApiError(Exception):
    """The API server refused a request; ``message`` is its own text."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


class NotFoundError(ApiError):
    """There is no such object (404), or it is going with its namespace."""


class ConflictError(ApiError):
    """The object was changed or created by someone else in the meantime (409)."""


class RefusedError(ApiError):
    """The request will be refused until a person changes something (400, 403, 422)."""


class TransientError(ApiError):
    """The same request may work in a while: overload, restart, network, expired list (410)."""


class Cluster:
    """The API server, with the operator's identity."""

    def __init__(self, client: kubernetes.client.ApiClient) -> None:
        self._client = client

    @classmethod
    def connect(cls) -> "Cluster":
        """Connect as the service account of the pod, outside of one as kubectl would."""
        configuration = kubernetes.client.Configuration()
        try:
            kubernetes.config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
        except kubernetes.config.ConfigException:
            kubernetes.config.load_kube_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
        # The queue retries with back-off and says so; the library would do it silently.
        configuration.retries = urllib3.Retry(total=0, redirect=False)
        return cls(kubernetes.client.ApiClient(configuration))

    def serves_jobs(self) -> bool:
        """Tell whether the CRD is installed."""
        try:
            self._call("GET", _CRD)
        except NotFoundError:
            return False
        return True

    def edge_etl_job(self, namespace: str, name: str) -> dict[str, Any]:
        """Return the resource as it is now."""
        document = self._call("GET", f"{_CRD}/namespaces/{namespace}/{PLURAL}/{name}")
        resource: dict[str, Any] = json.loads(document)
        return resource

    def replace_status(self, resource: dict[str, Any], status: dict[str, Any]) -> None:
        """Write the status; ConflictError if the resource is no longer the one that was read."""
        metadata = resource["metadata"]
        place = f"{_CRD}/namespaces/{metadata['namespace']}/{PLURAL}/{metadata['name']}/status"
        self._call("PUT", place, body={**resource, "status": status})

    def nodes(self) -> tuple[Node, ...]:
        """Return all nodes."""
        return self._list("/api/v1/nodes", Node)

    def jobs(self, namespace: str, selector: str) -> tuple[Job, ...]:
        """Return the Kubernetes Jobs with the labels."""
        return self._list(f"/apis/batch/v1/namespaces/{namespace}/jobs", Job, selector)

    def pods(self, namespace: str, selector: str) -> tuple[Pod, ...]:
        """Return the pods with the labels."""
        return self._list(f"/api/v1/namespaces/{namespace}/pods", Pod, selector)

    def warnings(self, namespace: str) -> tuple[Event, ...]:
        """Return the warnings of about the last hour."""
        place = f"/api/v1/namespaces/{namespace}/events"
        return self._list(place, Event, fields="type=Warning")

    def get(self, kind: str, namespace: str, name: str) -> dict[str, Any]:
        """Return a ConfigMap, Pod or Job."""
        prefix, plural = _PATHS[kind]
        document = self._call("GET", f"{prefix}/namespaces/{namespace}/{plural}/{name}")
        found: dict[str, Any] = json.loads(document)
        return found

    def create(self, manifest: dict[str, Any]) -> None:
        """Create a ConfigMap, Pod, Job or Event; ConflictError if the name is taken."""
        prefix, plural = _PATHS[manifest["kind"]]
        place = f"{prefix}/namespaces/{manifest['metadata']['namespace']}/{plural}"
        self._call("POST", place, body=manifest)

    def delete(self, kind: str, namespace: str, name: str, uid: str) -> None:
        """Delete just this object and what it owns.

        A Job stays until its pods have ended, so that what still works on a node can be seen.
        """
        prefix, plural = _PATHS[kind]
        policy = "Foreground" if kind == "Job" else "Background"
        options = {"propagationPolicy": policy, "preconditions": {"uid": uid}}
        self._call("DELETE", f"{prefix}/namespaces/{namespace}/{plural}/{name}", body=options)

    def _list(
        self, place: str, kind: type[_Item], labels: str = "", fields: str = ""
    ) -> tuple[_Item, ...]:
        query = [("labelSelector", labels), ("fieldSelector", fields)]
        document = self._call("GET", place, query=[pair for pair in query if pair[1]])
        items: tuple[_Item, ...] = msgspec.json.decode(document, type=_list_of(kind)).items
        return items

    def _call(
        self,
        method: str,
        place: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: dict[str, Any] | None = None,
    ) -> bytes:
        request = self._client.param_serialize(
            method,
            place,
            query_params=query,
            header_params={"Accept": "application/json", "Content-Type": "application/json"},
            body=body,
            auth_settings=["BearerToken"],
        )
        try:
            response = self._client.call_api(
                *request, _request_timeout=(CONNECT_SECONDS, READ_SECONDS)
            )
            content: bytes = response.read()  # type: ignore[no-untyped-call]
        except kubernetes.client.ApiException as error:
            raise _error(error.status, error.body or "", str(error.reason)) from None
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TransientError(0, "Unreachable", str(error)) from None
        if response.status >= 300:
            raise _error(response.status, content, response.reason or "")
        return content


class _Status(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


def _error(status: int | None, body: bytes | str, phrase: str) -> ApiError:
    """Sort a refusal by what can be done about it."""
    try:
        answer = msgspec.json.decode(body, type=_Status)
    except (msgspec.ValidationError, msgspec.DecodeError):
        answer = _Status(reason=phrase, message=phrase)
    # A namespace that is being deleted refuses with 403 and takes the resource with it.
    going = status == 403 and "because it is being terminated" in answer.message
    match status:
        case 404:
            kind: type[ApiError] = NotFoundError
        case 403 if going:
            kind = NotFoundError
        case 409:
            kind = ConflictError
        case 400 | 403 | 422:
            kind = RefusedError
        case _:
            kind = TransientError
    return kind(status or 0, answer.reason, answer.message or phrase)


def _list_of(kind: type[Any]) -> type[Any]:
    return msgspec.defstruct("_List", [("items", tuple[kind, ...])], frozen=True)  # type: ignore[valid-type]
