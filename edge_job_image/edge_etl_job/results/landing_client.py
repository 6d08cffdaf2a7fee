"""Results over HTTP: what the edge program says to the landing service."""

import base64
import hashlib
import json
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import urllib3

from edge_etl_job.results.errors import (
    LANDING_UNAUTHORIZED,
    LANDING_UNREACHABLE,
    NO_MANIFEST,
    ResultError,
)
from edge_etl_job.results.layout import DATASET, MANIFEST, Attempt, NodeRun, checked
from edge_etl_job.results.patience import AGAIN, CHUNK, RETRIES, TIMEOUT, Body, Patience, Retries


class LandingStore:
    """Results at a landing service."""

    at_once = 1

    def __init__(
        self,
        url: str,
        attempt: Attempt,
        token_file: Path | None,
        retries: Retries = RETRIES,
        sleep: Callable[[float], None] = time.sleep,
        ca_file: Path | None = None,
    ) -> None:
        self._url = url.rstrip("/")
        self._attempt = attempt
        self._token_file = token_file
        self._patience = Patience(self._url, LANDING_UNREACHABLE, self._failure, retries, sleep)
        if not urlsplit(url).hostname:
            raise ResultError(LANDING_UNREACHABLE, f"not a URL of a landing service: {url}")
        if ca_file is not None and not ca_file.is_file():
            raise ResultError(LANDING_UNREACHABLE, f"the CA certificate {ca_file} is not there")
        self._pool = urllib3.PoolManager(
            timeout=TIMEOUT,
            retries=False,
            maxsize=1,
            blocksize=CHUNK,
            ca_certs=str(ca_file) if ca_file else None,
        )

    def dataset_id(self) -> str:
        """Return the dataset's id."""
        place = self._attempt
        answer = self._call("GET", f"{place.namespace}/{place.job}/{DATASET}", (200,))
        try:
            return str(json.loads(answer.data)["id"])
        except (ValueError, KeyError, TypeError) as error:
            raise self._strange(answer) from error

    def runs(self) -> list[str]:
        """Return the runs in which this node committed."""
        place = self._attempt
        path = f"{place.namespace}/{place.job}/nodes/{place.node}/runs.json"
        answer = self._call("GET", path, (200,))
        try:
            return [checked("run", run) for run in json.loads(answer.data)["runs"]]
        except (ValueError, KeyError, TypeError) as error:
            raise self._strange(answer) from error

    def manifest(self, run: str) -> bytes | None:
        """Return what this node committed in a run."""
        path = f"{_url_of(self._attempt.in_run(run))}/{MANIFEST}"
        answer = self._call("GET", path, (200, 404))
        if answer.status == 200:
            return answer.data
        if _error(answer)[0] == NO_MANIFEST:
            return None
        raise self._strange(answer)

    def put(self, name: str, file: Path, sha256: str) -> None:
        """Store a file of this attempt."""
        path = f"{_url_of(self._attempt)}/{self._attempt.attempt}/{checked('file', name)}"
        with file.open("rb") as content:
            body = Body(content, file.stat().st_size, bytes.fromhex(sha256))
            self._call("PUT", path, (200, 201), body)

    def commit(self, manifest: bytes) -> bytes:
        """Publish what was put."""
        path = f"{_url_of(self._attempt)}/{MANIFEST}"
        body = Body(BytesIO(manifest), len(manifest), hashlib.sha256(manifest).digest())
        answer = self._call("PUT", path, (200, 201, 409), body)
        return answer.data if answer.status == 409 else manifest

    def _call(
        self, method: str, path: str, expected: tuple[int, ...], body: Body | None = None
    ) -> urllib3.BaseHTTPResponse:
        return self._patience.call(lambda: self._once(method, path, body), expected)

    def _once(self, method: str, path: str, body: Body | None) -> urllib3.BaseHTTPResponse:
        headers = {"User-Agent": "edge-etl-job", **self._authorization()}
        url = f"{self._url}/v1/results/{path}"
        if body is None:
            return self._pool.request(method, url, headers=headers)
        body.file.seek(0)
        headers["Content-Length"] = str(body.size)
        headers["Content-Digest"] = f"sha-256=:{base64.b64encode(body.digest).decode()}:"
        return self._pool.request(method, url, headers=headers, body=body.file)

    def _authorization(self) -> dict[str, str]:
        """Read the token afresh: the kubelet renews it in the file long before it expires."""
        if self._token_file is None:
            return {}
        try:
            token = self._token_file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ResultError(LANDING_UNAUTHORIZED, f"the pod's token: {error}") from error
        if not token or not token.isprintable():
            message = f"{self._token_file} does not hold a token"
            raise ResultError(LANDING_UNAUTHORIZED, message)
        return {"Authorization": f"Bearer {token}"}

    def _failure(self, answer: urllib3.BaseHTTPResponse) -> ResultError:
        """Tell what a refusal means for the edge program."""
        reason, message = _error(answer)
        if reason is None:
            return self._strange(answer)
        if answer.status in (401, 403):
            return ResultError(LANDING_UNAUTHORIZED, f"{self._url} refused: {message}")
        if answer.status in AGAIN:
            return ResultError(LANDING_UNREACHABLE, f"{self._url} was not able: {message}")
        return ResultError(reason, message)

    def _strange(self, answer: urllib3.BaseHTTPResponse) -> ResultError:
        message = f"{self._url} answered {answer.status}, not as a landing service does"
        return ResultError(LANDING_UNREACHABLE, message)


def _url_of(place: NodeRun) -> str:
    return f"{place.namespace}/{place.job}/{place.run}/{place.node}"


def _error(answer: urllib3.BaseHTTPResponse) -> tuple[str | None, str]:
    """Return reason and message of the service's JSON, (None, "") when it is something else."""
    try:
        document = json.loads(answer.data)
        return str(document["reason"]), str(document["message"])
    except (ValueError, KeyError, TypeError):
        return None, ""
