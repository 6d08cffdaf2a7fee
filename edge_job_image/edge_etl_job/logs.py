"""JSON lines on standard error: quiet, and what a progress bar needs."""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

log = logging.getLogger("edge_etl_job")

_PROGRESS_SECONDS: Final = 0.5


class _JsonLines(logging.Formatter):
    """Formats a record as a line of JSON.

    A formatter from a library takes as long to import as this program has for a run that finds
    nothing new.
    """

    _OWN: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}

    def __init__(self, context: Mapping[str, str]) -> None:
        super().__init__()
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        """Return the line: what every record has, the context, and what the caller added."""
        line: dict[str, object] = {"level": record.levelname, "message": record.getMessage()}
        line |= {name: value for name, value in vars(record).items() if name not in self._OWN}
        line |= self._context
        if record.exc_info:
            line["exc_info"] = self.formatException(record.exc_info)
        line["time"] = datetime.fromtimestamp(record.created, UTC).isoformat()
        return msgspec.json.format(msgspec.json.encode(line, enc_hook=str), indent=0).decode()


def configure(**context: str) -> None:
    """Send this program's log to standard error, each line with ``context`` (job, run, node)."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines(context))
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
