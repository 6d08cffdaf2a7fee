"""The connection to the API server: requests with limits, and streams of what changes.

Answers are bytes, decoded by whoever asked. The client library only brings credentials (renewed
when the service account's token changes) and TLS. All calls block: they run in threads.
"""

import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import kubernetes.client
import kubernetes.config
import msgspec
import urllib3
import urllib3.exceptions
import yaml
from kubernetes.config.kube_config import KUBE_CONFIG_DEFAULT_LOCATION

from edge_etl_operator import metrics
from edge_etl_operator.limiter import Limiter

CONNECT_SECONDS: Final = 5
READ_SECONDS: Final = 30
CONNECTIONS: Final = 120
"""More than threads ask at once: one that is too many is made anew for each request."""

LONGEST_PAUSE_SECONDS: Final = 30.0
"""A Retry-After beyond it is not believed."""

Query = Sequence[tuple[str, str]]


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


class Connection:
    """The API server, with the operator's identity; every request waits for its turn."""

    def __init__(self, client: kubernetes.client.ApiClient, limiter: Limiter) -> None:
        self._client = client
        self._limiter = limiter
        self.may_write: Callable[[], bool] = lambda: True
        """Asked before each write, so that an operator that lost its lease does nothing more."""

    @classmethod
    def connect(cls, limiter: Limiter) -> "Connection":
        """Connect as the service account of the pod, outside of one as kubectl would."""
        configuration = kubernetes.client.Configuration()
        try:
            kubernetes.config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
        except kubernetes.config.ConfigException:
            kubernetes.config.load_kube_config(  # type: ignore[no-untyped-call]
                client_configuration=configuration
            )
        return cls._connected(configuration, limiter)

    @classmethod
    def by_kubeconfig(
        cls, limiter: Limiter, file: str | None = None, context: str | None = None
    ) -> "Connection":
        """Connect as kubectl would: by a kubeconfig, in a pod without one as its account.

        Raise ConfigException when there is neither, or no such context.
        """
        configuration = kubernetes.client.Configuration()
        named = file or KUBE_CONFIG_DEFAULT_LOCATION
        there_is_none = f"there is no kubeconfig {named}"
        try:
            kubernetes.config.load_kube_config(  # type: ignore[no-untyped-call]
                file, context, configuration
            )
        except kubernetes.config.ConfigException:
            if file and not Path(file).exists():
                raise kubernetes.config.ConfigException(there_is_none) from None
            if file or context:
                raise
            try:
                kubernetes.config.load_incluster_config(configuration)  # type: ignore[no-untyped-call]
            except kubernetes.config.ConfigException:
                raise kubernetes.config.ConfigException(there_is_none) from None
        except (yaml.YAMLError, TypeError, AttributeError, ValueError) as error:
            # What the library raises of a file that is something else.
            said = f"{named} is no kubeconfig: {' '.join(str(error).split())}"
            raise kubernetes.config.ConfigException(said) from None
        return cls._connected(configuration, limiter)

    @classmethod
    def _connected(
        cls, configuration: kubernetes.client.Configuration, limiter: Limiter
    ) -> "Connection":
        # The queue retries with back-off and says so; the library would do it silently.
        configuration.connection_pool_maxsize = CONNECTIONS
        configuration.retries = urllib3.Retry(total=0, redirect=False)
        return cls(kubernetes.client.ApiClient(configuration), limiter)

    def call(
        self,
        method: str,
        place: str,
        *,
        query: Query = (),
        body: dict[str, Any] | None = None,
        fenced: bool = True,
    ) -> bytes:
        """Make a request and return the answer; ApiError if it is refused.

        ``fenced`` writes are refused here when another operator may be acting.
        """
        time.sleep(self._limiter.reserve())
        if fenced and method != "GET" and not self.may_write():
            raise TransientError(
                0, "LeaseLost", "Another operator may be acting: nothing is written"
            )
        begun = time.monotonic()
        try:
            response = self._request(method, place, query, body, READ_SECONDS)
            content: bytes = response.data
        except (urllib3.exceptions.HTTPError, OSError) as error:
            metrics.API_REQUESTS.labels(method, "unreachable").inc()
            raise TransientError(0, "Unreachable", str(error)) from None
        metrics.API_REQUESTS.labels(method, str(response.status)).inc()
        metrics.API_SECONDS.labels(method).inc(time.monotonic() - begun)
        if response.status >= 300:
            self._heed(response)
            raise refusal(response.status, content, response.reason or "")
        return content

    def forward(self, namespace: str, pod: str, port: int) -> socket.socket:
        """Return a connection to a port of a pod, through the API server; ApiError if refused."""
        from kubernetes.stream import portforward  # what only a person asks for takes a while

        core = kubernetes.client.CoreV1Api(self._client)
        try:
            forwarded = portforward(
                core.connect_get_namespaced_pod_portforward, pod, namespace, ports=str(port)
            )
        except kubernetes.client.ApiException as error:
            # The library puts the answer to the handshake, body and all, into one text.
            said = str(error.reason)
            status = re.search(r"Handshake status (\d+)", said)
            body = re.search(r'\{"kind":"Status".*\}', said, re.DOTALL)
            phrase = f"port {port} of pod {pod} cannot be forwarded: {said[:200]}"
            raise refusal(
                int(status[1]) if status else 0, body[0] if body else "", phrase
            ) from None
        connection: socket.socket = forwarded.socket(port)
        connection.setblocking(True)
        return connection

    def stream(self, place: str, query: Query, silence: float) -> Iterator[bytes]:
        """Yield the lines of a watch until it ends; TransientError after a silence in seconds."""
        time.sleep(self._limiter.reserve())
        try:
            response = self._request("GET", place, query, None, silence)
            metrics.API_REQUESTS.labels("WATCH", str(response.status)).inc()
            if response.status >= 300:
                self._heed(response)
                raise refusal(response.status, response.data, response.reason or "")
            try:
                yield b""  # it stands
                yield from _lines(response)
            finally:
                response.close()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise TransientError(0, "Unreachable", str(error)) from None

    def _request(
        self, method: str, place: str, query: Query, body: dict[str, Any] | None, silence: float
    ) -> urllib3.BaseHTTPResponse:
        # Past the client's own serializer, which walks through every value of a body in Python.
        configuration = self._client.configuration
        asked = urlencode([pair for pair in query if pair[1]])
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        # Asking for it is what renews it from the service account's file.
        if token := configuration.get_api_key_with_prefix("BearerToken"):
            headers["Authorization"] = token
        response: urllib3.BaseHTTPResponse = self._client.rest_client.pool_manager.request(
            method,
            f"{configuration.host}{place}{'?' if asked else ''}{asked}",
            headers=headers,
            body=None if body is None else msgspec.json.encode(body),
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=silence),
            preload_content=False,
        )
        return response

    def _heed(self, response: urllib3.BaseHTTPResponse) -> None:
        """Make a pause when the API server asks for one: with 429, or 503 as it starts."""
        asked = response.headers.get("Retry-After", "")
        if response.status in (429, 503) and asked.isdigit():
            self._limiter.pause(min(float(asked), LONGEST_PAUSE_SECONDS))


def _lines(response: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    rest = b""
    for chunk in response.stream(65536, decode_content=True):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines


class _Status(msgspec.Struct, frozen=True):
    reason: str = ""
    message: str = ""


def refusal(status: int | None, body: bytes | str, phrase: str = "") -> ApiError:
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
