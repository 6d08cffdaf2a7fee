"""JSON lines on standard error: quiet, and what a progress bar needs."""

import logging
import sys
import time
from collections.abc import Callable
from typing import Final

from pythonjsonlogger.json import JsonFormatter

log = logging.getLogger("edge_etl_job")

_PROGRESS_SECONDS: Final = 0.5


def configure(**context: str) -> None:
    """Send this program's log to standard error, each line with ``context`` (job, run, node)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            ["levelname", "message"],
            rename_fields={"levelname": "level"},
            static_fields=context,
            timestamp="time",
        )
    )
    log.handlers = [handler]
    log.propagate = False
    log.setLevel(logging.INFO)


class Progress:
    """Says how many of the bytes to read are done: at most twice a second, and at the end."""

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total = total
        self._clock = clock
        self._said = clock() - _PROGRESS_SECONDS
        self._done = 0

    def __call__(self, done: int) -> None:
        """Note that ``done`` bytes, in all, have been read."""
        now = self._clock()
        if done > self._done and (done >= self._total or now - self._said >= _PROGRESS_SECONDS):
            self._said, self._done = now, done
            facts = {"event": "progress", "bytesDone": done, "bytesTotal": self._total}
            log.info("reading", extra=facts)
