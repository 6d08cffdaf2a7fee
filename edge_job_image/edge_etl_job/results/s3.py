"""Results in a bucket of an S3-compatible server.

Below ``<prefix>/<namespace>/<job>/`` lie ``dataset.json``, the files of attempts in ``runs/`` as on
a volume, and the commits in ``manifests/<node>/<run>.json``: whoever looks for what was delivered
lists these alone. Nothing is ever replaced: every object is made by a conditional put
(``If-None-Match: *``), of which a server lets one win. The server checks each body's SHA-256.
"""

import base64
import hashlib
import html
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from io import BytesIO
from pathlib import Path
from typing import Final, Self
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from edge_etl_job.results.directory import Listed, id_of, listed, new_dataset, require
from edge_etl_job.results.errors import (
    DIGEST_MISMATCH,
    RESULT_CONFLICT,
    RESULTS_FULL,
    RESULTS_UNAUTHORIZED,
    RESULTS_UNAVAILABLE,
    ResultError,
)
from edge_etl_job.results.layout import DATASET, Attempt, NodeRun, checked
from edge_etl_job.results.patience import AGAIN, CHUNK, RETRIES, TIMEOUT, Body, Patience, Retries
from edge_etl_job.results.signing import Request, read_credentials, signed

SCHEME: Final = "s3://"
AUTHORITY: Final = "ca.crt"
"""Beside the credentials: the private authority that the server's certificate is of, if any."""
NO_QUERY: Final[Mapping[str, str]] = {}
_NOTHING: Final = hashlib.sha256(b"").digest()
_NONE_MATCH: Final = 412
# S3 answers 409 to conditional puts that came at the same time: they are to be sent again.
_AGAIN: Final = AGAIN | {409}
_DIGESTS: Final = {"XAmzContentSHA256Mismatch", "BadDigest", "InvalidDigest"}
_FULL: Final = {"QuotaExceeded", "InsufficientCapacity", "XMinioStorageFull"}


@dataclass(frozen=True)
class Bucket:
    """A bucket, where its server is, and the prefix of all results in it."""

    endpoint: str
    region: str
    name: str
    prefix: str

    @classmethod
    def parse(cls, location: str) -> Self:
        """Understand ``s3://bucket/prefix?endpoint=https://host:port&region=name``.

        Without an endpoint it is Amazon's of the region.
        """
        parts = urlsplit(location)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        region = query.get("region", "us-east-1")
        endpoint = query.get("endpoint", f"https://s3.{region}.amazonaws.com")
        if not parts.hostname or not urlsplit(endpoint).hostname:
            message = f"not a bucket, as s3://bucket/prefix?endpoint=https://host is: {location}"
            raise ResultError(RESULTS_UNAVAILABLE, message)
        return cls(endpoint.rstrip("/"), region, parts.netloc, parts.path.strip("/"))

    def key(self, below: str) -> str:
        """Return the whole key of an object below the prefix."""
        return f"{self.prefix}/{below}" if self.prefix else below

    def path(self, below: str | None) -> str:
        """Return the path of an object, or of the bucket, in a URL."""
        place = f"/{self.name}" if below is None else f"/{self.name}/{self.key(below)}"
        return quote(place, safe="/-_.~")

    def __str__(self) -> str:
        return f"bucket {self.name} at {self.endpoint}"


class S3Store:
    """Results in a bucket, as one attempt of one node sees them."""

    at_once = 1

    def __init__(
        self,
        bucket: Bucket,
        attempt: Attempt,
        credentials: Path,
        retries: Retries = RETRIES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._bucket = bucket
        self._attempt = attempt
        self._credentials = credentials
        self._stored: dict[str, tuple[int, str]] = {}
        self._clock_behind = timedelta()
        self._patience = Patience(
            str(bucket), RESULTS_UNAVAILABLE, self._failure, retries, sleep, _AGAIN
        )
        authority = credentials.with_name(AUTHORITY)
        self._pool = urllib3.PoolManager(
            timeout=TIMEOUT,
            retries=False,
            maxsize=1,
            blocksize=CHUNK,
            ca_certs=str(authority) if authority.exists() else None,
        )

    def dataset_id(self) -> str:
        """Return the dataset's id; the first who asks makes it."""
        key = f"{self._attempt.folder}/{DATASET}"
        found = self._get(key)
        if found is None:
            self._create(key, _body(new_dataset()))
            found = self._get(key)
        return id_of(found or b"", f"{key} in {self._bucket}")

    def runs(self) -> list[str]:
        """Return the runs in which this node committed."""
        below = f"{_manifests(self._attempt)}/"
        found: list[str] = []
        more: str | None = ""
        while more is not None:
            listing = self._list(below, more)
            keys = re.findall(r"<Key>([^<]*)</Key>", listing)
            found += [checked("run", key.rpartition("/")[2].removesuffix(".json")) for key in keys]
            token = re.search(r"<NextContinuationToken>([^<]*)<", listing)
            more = html.unescape(token[1]) if token else None
        return sorted(found)

    def manifest(self, run: str) -> bytes | None:
        """Return what this node committed in a run."""
        return self._get(_manifest_key(self._attempt.in_run(run)))

    def put(self, name: str, file: Path, sha256: str) -> None:
        """Store a file of this attempt."""
        key = f"{self._attempt.attempt_folder}/{checked('file', name)}"
        size = file.stat().st_size
        with file.open("rb") as content:
            created = self._create(key, Body(content, size, bytes.fromhex(sha256)))
        if not created and self._sha256(key) != sha256:
            message = f"{name}: the attempt has stored other content before"
            raise ResultError(RESULT_CONFLICT, message)
        self._stored[name] = (size, sha256)

    def commit(self, manifest: bytes) -> bytes:
        """Publish what was put.

        What was put was put by this very store: an attempt is one process.
        """
        key = _manifest_key(self._attempt)
        standing = self._get(key)
        if standing is None:
            self._check(listed(self._attempt, manifest))
            self._create(key, _body(manifest))
            standing = self._get(key)
        return standing or manifest

    def _check(self, files: tuple[Listed, ...]) -> None:
        for file in files:
            require(file, self._stored.get(file.name))

    def _create(self, key: str, body: Body) -> bool:
        """Make an object; return False if one is there already."""
        answer = self._patience.call(
            lambda: self._once("PUT", key, body), expected=(200, 201, _NONE_MATCH)
        )
        return answer.status != _NONE_MATCH

    def _get(self, key: str) -> bytes | None:
        answer = self._patience.call(lambda: self._once("GET", key), expected=(200, 404))
        if answer.status == 200:
            return answer.data
        if _error(answer.data)[0] == "NoSuchKey":
            return None
        raise self._failure(answer)

    def _list(self, below: str, token: str) -> str:
        """Return a page of the list of what is below a prefix, in S3's XML."""
        query = {"list-type": "2", "prefix": self._bucket.key(below)}
        if token:
            query["continuation-token"] = token
        answer = self._patience.call(lambda: self._once("GET", None, query=query), expected=(200,))
        return answer.data.decode()

    def _sha256(self, key: str) -> str:
        """Return the digest of an object that is there, of which no two pieces are in memory."""
        answer = self._patience.call(lambda: self._once("GET", key, whole=False), expected=(200,))
        digest = hashlib.sha256()
        try:
            for chunk in answer.stream(CHUNK):
                digest.update(chunk)
        except HTTPError as error:
            message = f"{self._bucket} broke off: {error}"
            raise ResultError(RESULTS_UNAVAILABLE, message) from error
        finally:
            answer.release_conn()
        return digest.hexdigest()

    def _once(
        self,
        method: str,
        key: str | None,
        body: Body | None = None,
        query: Mapping[str, str] = NO_QUERY,
        *,
        whole: bool = True,
    ) -> urllib3.BaseHTTPResponse:
        """Send a request about an object, or about the bucket where there is no key."""
        answer = self._send(method, key, body, query, whole=whole)
        if answer.status == 403 and whole and self._set_clock(answer):
            answer = self._send(method, key, body, query, whole=whole)
        return answer

    def _send(
        self,
        method: str,
        key: str | None,
        body: Body | None,
        query: Mapping[str, str],
        *,
        whole: bool,
    ) -> urllib3.BaseHTTPResponse:
        bucket = self._bucket
        digest = body.digest if body else _NOTHING
        headers = {"host": urlsplit(bucket.endpoint).netloc}
        if body:
            body.file.seek(0)
            headers["content-length"] = str(body.size)
            headers["if-none-match"] = "*"
            headers["x-amz-checksum-sha256"] = base64.b64encode(digest).decode()
        asked = urlencode(sorted(query.items()), quote_via=quote, safe="-_.~")
        request = Request(method, bucket.path(key), headers, digest.hex(), asked)
        # Read afresh: the kubelet changes the file when the Secret changes.
        credentials = read_credentials(self._credentials)
        at = datetime.now(UTC) + self._clock_behind
        return self._pool.request(
            method,
            f"{bucket.endpoint}{request.path}?{asked}" if asked else bucket.endpoint + request.path,
            headers=signed(request, credentials, bucket.region, at),
            body=body.file if body else None,
            preload_content=whole,
        )

    def _set_clock(self, answer: urllib3.BaseHTTPResponse) -> bool:
        """Take the server's time, if it refused ours: a Pi without a battery starts in the past."""
        if _error(answer.data)[0] != "RequestTimeTooSkewed" or self._clock_behind:
            return False
        self._clock_behind = parsedate_to_datetime(answer.headers["Date"]) - datetime.now(UTC)
        return bool(self._clock_behind)

    def _failure(self, answer: urllib3.BaseHTTPResponse) -> ResultError:
        """Tell what an answer means that nobody expects."""
        code, said = _error(answer.data)
        told = f"{self._bucket} answered {answer.status} {code}: {said}".rstrip(": ")
        if code in _DIGESTS:
            return ResultError(DIGEST_MISMATCH, told)
        if answer.status in (401, 403):
            return ResultError(
                RESULTS_UNAUTHORIZED, f"{told}; the credentials must be able to read and write it"
            )
        if answer.status == 507 or code in _FULL:
            return ResultError(RESULTS_FULL, told)
        return ResultError(RESULTS_UNAVAILABLE, told)


def _manifests(place: NodeRun) -> str:
    return f"{place.folder}/manifests/{place.node}"


def _manifest_key(place: NodeRun) -> str:
    return f"{_manifests(place)}/{place.run}.json"


def _body(content: bytes) -> Body:
    return Body(BytesIO(content), len(content), hashlib.sha256(content).digest())


def _error(answer: bytes) -> tuple[str, str]:
    """Return code and message of S3's XML, two empty ones when it is something else."""
    text = answer[:10_000].decode("utf-8", "replace")
    found = (re.search(rf"<{name}>([^<]*)</{name}>", text) for name in ("Code", "Message"))
    code, message = (match[1] if match else "" for match in found)
    return code, message
