"""The HTTP interface of an edge agent for tasks (docs/contracts/agent.openapi.json)."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec
import urllib3
import urllib3.exceptions

from edge_etl_operator.cli.refusal import refusal
from edge_etl_operator.documents import NodeSummary

_Document = TypeVar("_Document")

_CONNECT_SECONDS: Final = 5
_READ_SECONDS: Final = 30
_CHUNK: Final = 1 << 18
_LONGEST: Final = 8 << 20
"""Bytes of a document; the manifest is the longest."""
_AGAIN: Final = (408, 429, 502, 503, 504)
_REMEDIES: Final = {
    401: "name its token with --token-file, or a client certificate with --cert and --key",
    403: "the agent's tokens.json must say `tasks: true` for this token, and tasks.sources the "
    "job's source",
    404: "switch tasks on in the agent's configuration",
}


class AgentError(Exception):
    """The agent refuses, and will until a person changes something."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class OutOfReachError(Exception):
    """The agent is off, does not answer, or says that it cannot now."""


class AgentTask(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A task of the agent."""

    id: str
    dataset: str
    namespace: str
    job: str
    run: str
    phase: str
    bytes_done: int = 0
    bytes_total: int = 0
    summary: NodeSummary | None = None

    @property
    def ended(self) -> bool:
        """Whether nothing more becomes of it."""
        return self.phase in ("Succeeded", "Failed")


class Overview(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an agent says of itself."""

    node: str
    tasks: tuple[AgentTask, ...]


def trust(authority: Path | None, certificate: Path | None, key: Path | None) -> ssl.SSLContext:
    """Return whom to believe, by default the system's authorities, and who asks.

    Raise OSError (ssl.SSLError) for what is no certificate or key (PEM).
    """
    context = ssl.create_default_context(cafile=authority)
    if certificate:
        context.load_cert_chain(certificate, key)
    return context


class Agent:
    """One agent. Its methods block: they run in threads."""

    def __init__(self, url: str, token: str | None, trusted: ssl.SSLContext) -> None:
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._pool = urllib3.PoolManager(
            timeout=urllib3.Timeout(connect=_CONNECT_SECONDS, read=_READ_SECONDS),
            retries=False,
            ssl_context=trusted,
        )

    def overview(self) -> Overview:
        """Return its name and its tasks."""
        return self._document("GET", "/v1/tasks", Overview)

    def add(self, dataset: str, document: bytes) -> AgentTask:
        """Have a job document run; the same one again is the same task."""
        return self._document("POST", f"/v1/tasks?dataset={dataset}", AgentTask, document)

    def remove(self, name: str) -> None:
        """Have a task and its results forgotten; nothing if it is gone already."""
        with self._answer("DELETE", f"/v1/tasks/{name}", absent=True):
            return

    def manifest(self, name: str) -> bytes | None:
        """Return the manifest that a task delivered, None when it delivered nothing."""
        with self._answer("GET", f"/v1/tasks/{name}/files/manifest.json", absent=True) as answer:
            return None if answer.status == 404 else _read(answer)

    @contextmanager
    def file(self, name: str, file: str) -> Iterator[Iterator[bytes]]:
        """Give a file that a task delivered, in parts."""
        with self._answer("GET", f"/v1/tasks/{name}/files/{file}") as answer:
            yield answer.stream(_CHUNK)

    def _document(
        self, method: str, path: str, kind: type[_Document], body: bytes | None = None
    ) -> _Document:
        with self._answer(method, path, body) as answer:
            content = _read(answer)
        try:
            return msgspec.json.decode(content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            message = f"{self.url} is no agent of this version: {error}"
            raise AgentError("NoAgent", message) from None

    @contextmanager
    def _answer(
        self, method: str, path: str, body: bytes | None = None, *, absent: bool = False
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Give an answer of 2xx, of 404 too if that is one; raise AgentError or OutOfReachError."""
        headers = self._headers | ({"Content-Type": "application/json"} if body else {})
        try:
            answer = self._pool.request(
                method, self.url + path, body=body, headers=headers, preload_content=False
            )
            try:
                self._check(answer, absent)
                yield answer
            finally:
                answer.close()  # also of what was not read to its end
        except urllib3.exceptions.SSLError as error:
            raise AgentError("TlsFailed", f"{self.url}: {error}") from None
        except urllib3.exceptions.HTTPError as error:
            raise OutOfReachError(f"{self.url}: {error}") from None

    def _check(self, answer: urllib3.BaseHTTPResponse, absent: bool) -> None:
        status = answer.status
        if status < 300 or (absent and status == 404):
            return
        said = refusal(_read(answer))
        if status in _AGAIN:
            raise OutOfReachError(f"{self.url} says {status}: {said.message}")
        remedy = f"; {_REMEDIES[status]}" if status in _REMEDIES else ""
        message = f"{self.url} says {status}: {said.message}{remedy}"
        raise AgentError(said.reason or "NoAgent", message)


def _read(answer: urllib3.BaseHTTPResponse) -> bytes:
    content = answer.read(_LONGEST + 1)
    if len(content) > _LONGEST:
        raise AgentError("NoAgent", f"a document has more than {_LONGEST} bytes")
    return content
