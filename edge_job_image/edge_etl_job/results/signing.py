"""Signatures of S3 requests: AWS Signature Version 4 in the Authorization header.

The rules: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html. A library
that signs costs a Pi more (botocore 14 MB) than these lines, which `tests/unit` compares with AWS's
own examples, and every test of the store with a server that checks signatures.
"""

import configparser
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from edge_etl_job.results.errors import RESULTS_UNAUTHORIZED, ResultError

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_PROFILE: Final = "default"


@dataclass(frozen=True)
class Credentials:
    """A key to an S3 server; what is secret is never shown."""

    key_id: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    """The session's token of temporary credentials."""


def read_credentials(file: Path) -> Credentials:
    """Read a file of the form of AWS's ``credentials``, its profile ``default``.

    Raise ResultError (ResultsUnauthorized) without saying anything of the content.
    """
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(file.read_text("utf-8"))
        profile = parser[_PROFILE]
        return Credentials(
            profile["aws_access_key_id"],
            profile["aws_secret_access_key"],
            profile.get("aws_session_token") or None,
        )
    except OSError as error:
        raise ResultError(
            RESULTS_UNAUTHORIZED, f"the credentials {file} cannot be read: {error.strerror}"
        ) from None
    except (configparser.Error, KeyError, UnicodeDecodeError):
        raise ResultError(
            RESULTS_UNAUTHORIZED,
            f"the credentials {file} need a section [default] with aws_access_key_id and "
            "aws_secret_access_key, each on its own line",
        ) from None


@dataclass(frozen=True)
class Request:
    """What is signed; path and query are encoded already."""

    method: str
    path: str
    headers: Mapping[str, str]
    """All headers that count, `Host` among them; their names in small letters."""
    sha256: str
    """The SHA-256 of the body in hexadecimal digits."""
    query: str = ""
    """``name=value`` joined by ``&``, in the order of the names."""


def signed(request: Request, credentials: Credentials, region: str, at: datetime) -> dict[str, str]:
    """Return the request's headers with those that prove who sends it, at a time in UTC."""
    headers = {
        **request.headers,
        "x-amz-content-sha256": request.sha256,
        "x-amz-date": at.strftime("%Y%m%dT%H%M%SZ"),
    }
    if credentials.token:
        headers["x-amz-security-token"] = credentials.token
    names = sorted(headers)
    canonical = "\n".join(
        [
            request.method,
            request.path,
            request.query,
            *(f"{name}:{headers[name].strip()}" for name in names),
            "",
            ";".join(names),
            request.sha256,
        ]
    )
    scope = f"{at:%Y%m%d}/{region}/s3/aws4_request"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    text = "\n".join([_ALGORITHM, headers["x-amz-date"], scope, digest])
    key = f"AWS4{credentials.secret}".encode()
    for part in scope.split("/"):
        key = _mac(key, part)
    headers["authorization"] = (
        f"{_ALGORITHM} Credential={credentials.key_id}/{scope}, "
        f"SignedHeaders={';'.join(names)}, Signature={_mac(key, text).hex()}"
    )
    return headers


def _mac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
