"""JSON lines on standard error: quiet, and what a progress bar needs.

The standard library's logging takes as long to import as a run that finds nothing new has for all.
"""

import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

_PROGRESS_SECONDS: Final = 0.5


class Log:
    """This program's log, as ``logging.Logger`` is used; it says nothing until it is configured."""

    def __init__(self) -> None:
        self._context: Mapping[str, str] | None = None

    def configure(self, **context: str) -> None:
        """Write to standard error from now on, each line with ``context`` (job, run, node)."""
        self._context = context

    def info(self, message: str, *values: object, extra: Mapping[str, object] = {}) -> None:
        """Say what happens."""
        self._write("INFO", message % values if values else message, extra)

    def warning(self, message: str, *values: object, extra: Mapping[str, object] = {}) -> None:
        """Say what a person may want to look at."""
        self._write("WARNING", message % values if values else message, extra)

    def error(self, message: str, *values: object, extra: Mapping[str, object] = {}) -> None:
        """Say what went wrong."""
        self._write("ERROR", message % values if values else message, extra)

    def exception(self, message: str, *, extra: Mapping[str, object] = {}) -> None:
        """Say what went wrong, with the traceback of the exception that is being handled."""
        import traceback

        self._write("ERROR", message, {**extra, "exc_info": traceback.format_exc().rstrip()})

    def _write(self, level: str, message: str, extra: Mapping[str, object]) -> None:
        if self._context is None:
            return
        line = {"level": level, "message": message, **extra, **self._context}
        line["time"] = datetime.now(UTC).isoformat()
        encoded = msgspec.json.format(msgspec.json.encode(line, enc_hook=str), indent=0).decode()
        # One call for the whole line: others may write, too.
        sys.stderr.write(encoded + "\n")


log: Final = Log()


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
