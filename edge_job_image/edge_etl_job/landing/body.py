"""What a request says of its body, and the body itself, piece by piece."""

import asyncio
import base64
import binascii
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final, Self

from aiohttp import web

from edge_etl_job.landing.refusals import BAD_REQUEST, LENGTH_REQUIRED, TIMED_OUT
from edge_etl_job.results.errors import DIGEST_MISMATCH, RESULT_TOO_LARGE, ResultError

# RFC 9530; other digests may stand beside it.
_DIGEST: Final = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/=]+):\s*(?:,|$)")


@dataclass(frozen=True)
class Announced:
    """The size in bytes and the SHA-256 that the sender states beforehand."""

    size: int
    sha256: str

    @classmethod
    def of(cls, request: web.Request, limit: int) -> Self:
        """Read the headers; raise ResultError when one is missing or the body is too large."""
        size = request.content_length
        if size is None:
            raise ResultError(LENGTH_REQUIRED, "send the body with Content-Length")
        if size > limit:
            raise ResultError(RESULT_TOO_LARGE, f"{size} bytes are more than the limit, {limit}")
        if "Content-Encoding" in request.headers:
            raise ResultError(BAD_REQUEST, "send the body without Content-Encoding")
        found = _DIGEST.search(request.headers.get("Content-Digest", ""))
        try:
            digest = base64.b64decode(found[1], validate=True) if found else b""
        except binascii.Error:
            digest = b""
        if len(digest) != 32:
            raise ResultError(BAD_REQUEST, "send `Content-Digest: sha-256=:<base64>:`")
        return cls(size, digest.hex())

    def check(self, size: int, sha256: str) -> None:
        """Raise unless that is what arrived."""
        if size != self.size or sha256 != self.sha256:
            message = (
                f"{size} bytes with SHA-256 {sha256} arrived, announced were {self.size} with "
                f"{self.sha256}"
            )
            raise ResultError(DIGEST_MISMATCH, message)


async def chunks(request: web.Request, silence: float) -> AsyncIterator[bytes]:
    """Give the body in pieces; ResultError when the sender is silent for so many seconds."""
    while True:
        try:
            async with asyncio.timeout(silence):
                chunk = await request.content.readany()
        except TimeoutError:
            raise ResultError(TIMED_OUT, f"nothing arrived for {silence:g} s") from None
        if not chunk:
            return
        yield chunk
