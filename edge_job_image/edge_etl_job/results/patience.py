"""HTTP requests that are tried again where another try can mend it."""

import random
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import BinaryIO, Final

import urllib3
from urllib3.exceptions import HTTPError, SSLError

from edge_etl_job.results.errors import ResultError

CHUNK: Final = 1 << 18
TIMEOUT: Final = urllib3.Timeout(connect=10, read=120)  # seconds; a server fsyncs meanwhile
# Worth another try: the server is slow (408), busy (429, 503), or restarts behind its Service.
# 507 is not: a volume does not grow within seconds, and the Job's own retries come later.
AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Retries:
    """How long a client goes on: about two minutes, in which a pod of the service restarts."""

    attempts: int = 12
    first: float = 0.5  # seconds, doubled each time
    longest: float = 20

    def pause(self, attempt: int, retry_after: str | None) -> float:
        """Return how many seconds to wait after a failed attempt (from 1)."""
        pause = min(self.longest, self.first * 2.0 ** (attempt - 1))
        if retry_after is not None and retry_after.isdecimal():
            pause = min(self.longest, max(pause, float(retry_after)))
        # Pis that failed together shall not come back together.
        return pause * random.uniform(0.5, 1)  # noqa: S311 - spreads load, guards nothing


RETRIES: Final = Retries()


@dataclass(frozen=True)
class Body:
    """What a PUT sends; every try sends it from its beginning."""

    file: BinaryIO
    size: int
    digest: bytes
    """SHA-256."""


@dataclass(frozen=True)
class Patience:
    """Sends a request until it is answered as expected, or until it is no use any more.

    ``unreachable`` is the reason of the error when nobody answers ``url``; ``failure`` makes the
    error of an answer that nobody expects, of which those with a status in ``again`` are tried
    again.
    """

    url: str
    unreachable: str
    failure: Callable[[urllib3.BaseHTTPResponse], ResultError]
    retries: Retries = RETRIES
    sleep: Callable[[float], None] = time.sleep
    again: Collection[int] = AGAIN

    def call(
        self, send: Callable[[], urllib3.BaseHTTPResponse], expected: Collection[int]
    ) -> urllib3.BaseHTTPResponse:
        """Return the answer if its status is expected, or raise ResultError."""
        attempt = 0
        while True:
            attempt += 1
            retry_after = None
            try:
                answer = send()
            except SSLError as error:
                # Another try can mend it: a clock that is not set yet, a certificate's renewal.
                failure = ResultError(self.unreachable, f"{self.url} is not trusted: {error}")
            except HTTPError as error:
                failure = ResultError(self.unreachable, f"{self.url} does not answer: {error}")
            else:
                if answer.status in expected:
                    return answer
                failure = self.failure(answer)
                if answer.status not in self.again:
                    raise failure
                retry_after = answer.headers.get("Retry-After")
            if attempt >= self.retries.attempts:
                raise failure
            self.sleep(self.retries.pause(attempt, retry_after))
