"""The objects of a bucket below a prefix, and what is wrong when its server does not answer."""

import configparser
import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import S3Store

from edge_etl_spark.errors import (
    DOCUMENT_INVALID,
    RESULTS_UNAUTHORIZED,
    RESULTS_UNAVAILABLE,
    AggregationError,
)

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode
    from obstore.store import ClientConfig, S3Config

AUTHORITY: Final = "ca.crt"
"""Beside the credentials: the private authority that the server's certificate is of, if any."""


_CHUNK: Final = 8 * 1024 * 1024


@dataclass(frozen=True)
class Address:
    """Where objects are: below a prefix of a bucket, on the server at a URL."""

    bucket: str
    prefix: str
    endpoint: str
    region: str


class Objects:
    """Objects below ``<prefix>/<below>``; what is not there raises FileNotFoundError.

    Everything else that goes wrong is an AggregationError.
    """

    def __init__(self, location: str, below: str, credentials: Path | None) -> None:
        self.address = _address(location, below)
        if credentials is None:
            raise AggregationError(
                DOCUMENT_INVALID, f"{location} needs --s3-credentials: the file with the key to it"
            )
        self.credentials = credentials
        authority = credentials.with_name(AUTHORITY)
        self.authority = authority if authority.exists() else None
        """The private authority that the server's certificate is of."""
        self._bucket = _opened(self.address, credentials, self.authority)
        self.where = f"{location.partition('?')[0].rstrip('/')}/{below}"

    def get(self, key: str) -> bytes:
        """Return an object."""
        return self.get_tagged(key)[0]

    def get_tagged(self, key: str) -> tuple[bytes, str | None]:
        """Return an object, and what tells it from others under its name (ETag)."""
        with _explained(self.where):
            found = obstore.get(self._bucket, key)
            return bytes(found.bytes()), found.meta["e_tag"]

    def modified(self, key: str) -> datetime:
        """Return when an object was made."""
        with _explained(self.where):
            return obstore.head(self._bucket, key)["last_modified"]

    def measure(self, key: str) -> tuple[int, str]:
        """Return size and SHA-256 of an object, by reading it."""
        digest, size = hashlib.sha256(), 0
        with _explained(self.where):
            for chunk in obstore.get(self._bucket, key).stream(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
        return size, digest.hexdigest()

    def download(self, key: str, path: Path) -> None:
        """Write an object to a file, unless the file is there."""
        if path.exists():
            return
        with _explained(self.where):
            chunks = obstore.get(self._bucket, key).stream(_CHUNK)
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.writelines(chunks)

    def upload(self, key: str, path: Path) -> None:
        """Make an object of a file."""
        with _explained(self.where):
            obstore.put(self._bucket, key, path, chunk_size=_CHUNK, max_concurrency=1)

    def copy(self, key: str, to: str) -> None:
        """Have the server make an object with the content of another one."""
        with _explained(self.where):
            obstore.copy(self._bucket, key, to)

    def put(self, key: str, content: bytes, kind: str) -> None:
        """Make an object of a media type, or put it in the place of one."""
        with _explained(self.where):
            obstore.put(self._bucket, key, content, attributes={"Content-Type": kind})

    def create(self, key: str, content: bytes) -> bool:
        """Make an object; return False if one is there already."""
        return self.replace(key, content, None)

    def replace(self, key: str, content: bytes, tag: str | None) -> bool:
        """Put an object in the place of the one with a tag, or of none; False if it is another."""
        mode: PutMode = {"e_tag": tag} if tag else "create"
        try:
            with _explained(self.where):
                obstore.put(self._bucket, key, content, mode=mode)
        except (AlreadyExistsError, PreconditionError):
            return False
        return True

    def list(self, below: str, after: str | None = None) -> Iterator["ObjectMeta"]:
        """List the objects below a directory, and after a key."""
        with _explained(self.where):
            for chunk in obstore.list(self._bucket, below, offset=after):
                yield from chunk

    def delete(self, keys: Iterable[str]) -> None:
        """Remove objects."""
        with _explained(self.where):
            obstore.delete(self._bucket, [*keys])


def _address(location: str, below: str) -> Address:
    """Understand ``s3://bucket/prefix?endpoint=https://host:port&region=name``.

    Raises AggregationError when it is something else.
    """
    parts = urlsplit(location)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    region = query.get("region", "us-east-1")
    endpoint = query.get("endpoint", f"https://s3.{region}.amazonaws.com")
    if not parts.hostname or not urlsplit(endpoint).hostname:
        raise AggregationError(
            DOCUMENT_INVALID,
            f"not a bucket, as s3://bucket/prefix?endpoint=https://host is: {location}",
        )
    prefix = f"{parts.path.strip('/')}/{below}".lstrip("/")
    return Address(parts.netloc, prefix, endpoint.rstrip("/"), region)


def _opened(address: Address, credentials: Path, authority: Path | None) -> S3Store:
    """Open the bucket; AggregationError when the credentials cannot be used."""
    key = _profile(credentials)
    config: S3Config = {
        "access_key_id": key["aws_access_key_id"],
        "secret_access_key": key["aws_secret_access_key"],
        "checksum_algorithm": "SHA256",
    }
    if "aws_session_token" in key:
        config["session_token"] = key["aws_session_token"]
    client: ClientConfig = {
        "allow_http": True,
        "connect_timeout": timedelta(seconds=10),
        "timeout": timedelta(minutes=5),
    }
    if authority:
        client["root_certificate"] = authority.read_bytes()
    return S3Store(
        address.bucket,
        prefix=address.prefix,
        endpoint=address.endpoint,
        region=address.region,
        config=config,
        client_options=client,
        retry_config={"max_retries": 8, "retry_timeout": timedelta(minutes=3)},
    )


def _profile(credentials: Path) -> configparser.SectionProxy:
    """Read a file of the form of AWS's ``credentials``, its profile ``default``."""
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(credentials.read_text("utf-8"))
        profile = parser["default"]
        if {"aws_access_key_id", "aws_secret_access_key"} <= profile.keys():
            return profile
    except OSError as error:
        raise AggregationError(
            RESULTS_UNAUTHORIZED, f"the credentials {credentials} cannot be read: {error.strerror}"
        ) from None
    except (configparser.Error, KeyError, UnicodeDecodeError):
        pass
    raise AggregationError(
        RESULTS_UNAUTHORIZED,
        f"the credentials {credentials} need a section [default] with aws_access_key_id and "
        "aws_secret_access_key, each on its own line",
    ) from None


@contextmanager
def _explained(where: str) -> Iterator[None]:
    """Turn what the library raises into what a person can mend; conditions go through."""
    try:
        yield
    except (AlreadyExistsError, PreconditionError):
        raise
    except BaseError as error:
        known = (PermissionDeniedError, UnauthenticatedError)
        said = _said(str(error))
        # Of a list the library does not tell apart why it was refused.
        if isinstance(error, known) or re.search(r"status code: 40[13]\b", str(error)):
            reason = RESULTS_UNAUTHORIZED
            remedy = "the credentials must be able to read, write, list and delete there"
        else:
            reason, remedy = RESULTS_UNAVAILABLE, "check the endpoint, the bucket and the network"
        raise AggregationError(reason, f"{where}: {said}; {remedy}") from None


def _said(text: str) -> str:
    """Return what the server said, or what the library did where it said nothing."""
    found = [match for name in ("Code", "Message")
             if (match := re.search(rf"<{name}>([^<]*)</{name}>", text))]  # fmt: skip
    return ": ".join(match[1] for match in found) or " ".join(text.split())[:500]
