"""Open a bucket, and say what is wrong when it does not answer as it should."""

import configparser
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

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
    from obstore.store import ClientConfig, S3Config

AUTHORITY: Final = "ca.crt"
"""Beside the credentials: the private authority that the server's certificate is of, if any."""


def open_bucket(location: str, below: str, credentials: Path | None) -> S3Store:
    """Open ``s3://bucket/prefix?endpoint=https://host:port&region=name``, below the prefix.

    Raises AggregationError when the location or the credentials cannot be used.
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
    if credentials is None:
        raise AggregationError(
            DOCUMENT_INVALID, f"{location} needs --s3-credentials: the file with the key to it"
        )
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
    authority = credentials.with_name(AUTHORITY)
    if authority.exists():
        client["root_certificate"] = authority.read_bytes()
    return S3Store(
        parts.netloc,
        prefix=f"{parts.path.strip('/')}/{below}".lstrip("/"),
        endpoint=endpoint.rstrip("/"),
        region=region,
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
def explained(where: str) -> Iterator[None]:
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
