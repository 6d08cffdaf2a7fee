"""TokenReview at the API server, with a small memory of what it confirmed."""

import asyncio
import hashlib
import os
import ssl
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec

from edge_etl_job.landing.identity import Identity, TokenReviewer, expiry
from edge_etl_job.landing.refusals import REVIEW_UNAVAILABLE
from edge_etl_job.results.errors import ResultError

_MOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
_NODE: Final = "authentication.kubernetes.io/node-name"
_POD: Final = "authentication.kubernetes.io/pod-uid"
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)  # seconds


@dataclass(frozen=True)
class ApiServer:
    """Where the API server is and how the service proves itself to it."""

    url: str
    ca_file: Path = _MOUNT / "ca.crt"
    token_file: Path = _MOUNT / "token"

    @staticmethod
    def of_the_pod() -> str | None:
        """Return the URL that Kubernetes tells every pod, None outside of a cluster."""
        host = os.environ.get("KUBERNETES_SERVICE_HOST")
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        if not host:
            return None
        return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


class _User(msgspec.Struct, frozen=True):
    username: str = ""
    extra: dict[str, tuple[str, ...]] = {}

    def one(self, key: str) -> str | None:
        values = self.extra.get(key, ())
        return values[0] if len(values) == 1 else None


class _Status(msgspec.Struct, frozen=True):
    authenticated: bool = False
    user: _User = _User()
    audiences: tuple[str, ...] = ()


class _Review(msgspec.Struct, frozen=True):
    status: _Status


class KubernetesReviewer:
    """Asks the API server; needs `create` on `tokenreviews` and nothing else."""

    def __init__(self, server: ApiServer) -> None:
        self._server = server
        self._tls = ssl.create_default_context(cafile=server.ca_file)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # Eight reviews at a time: a flood of tokens must not become one at the API server.
        connector = aiohttp.TCPConnector(limit=8, ssl=self._tls)
        self._session = aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def review(self, token: str, audience: str) -> Identity | None:
        """Return whose token it is; ResultError when the API server gives no answer."""
        try:
            status = await self._ask(token, audience)
        except (aiohttp.ClientError, TimeoutError, OSError, msgspec.DecodeError) as error:
            message = f"the API server did not review the token: {error or type(error).__name__}"
            raise ResultError(REVIEW_UNAVAILABLE, message) from error
        # A server that knows no audiences would confirm tokens that are meant for others.
        if not status.authenticated or audience not in status.audiences:
            return None
        return Identity(status.user.username, status.user.one(_NODE), status.user.one(_POD))

    async def _ask(self, token: str, audience: str) -> _Status:
        if self._session is None:
            raise RuntimeError("the reviewer is used outside of its context")
        own = await asyncio.to_thread(self._server.token_file.read_text, "ascii")
        body = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": token, "audiences": [audience]},
        }
        url = f"{self._server.url}/apis/authentication.k8s.io/v1/tokenreviews"
        headers = {"Authorization": f"Bearer {own.strip()}"}
        async with self._session.post(url, json=body, headers=headers) as answer:
            text = await answer.read()
            if answer.status != 201:
                message = f"status {answer.status}, {text[:200].decode(errors='replace')}"
                raise ResultError(REVIEW_UNAVAILABLE, f"the API server refused: {message}")
            return msgspec.json.decode(text, type=_Review).status


class CachedReviewer:
    """Remembers confirmed tokens for a while, so that each file does not cost a review.

    So long a pod that was deleted can still write. Refusals are not remembered.
    """

    def __init__(
        self,
        reviewer: TokenReviewer,
        *,
        seconds: float = 60,
        size: int = 1024,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reviewer = reviewer
        self._seconds = seconds
        self._size = size
        self._now = now
        self._clock = clock
        self._known: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()

    async def review(self, token: str, audience: str) -> Identity | None:
        """Return whose token it is, from memory or from the reviewer."""
        # The memory holds no tokens: a dump of the process would hand them out.
        key = hashlib.sha256(f"{audience}\0{token}".encode()).digest()
        until, identity = self._known.get(key, (0.0, None))
        if identity is not None and self._clock() < until:
            return identity
        self._known.pop(key, None)
        identity = await self._reviewer.review(token, audience)
        lifetime = min(self._seconds, expiry(token) - self._now())
        if identity is not None and lifetime > 0:
            self._known[key] = (self._clock() + lifetime, identity)
            while len(self._known) > self._size:
                self._known.popitem(last=False)
        return identity
