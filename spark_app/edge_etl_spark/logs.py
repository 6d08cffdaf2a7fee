"""JSON lines on standard error: quiet, one line for each stage of the work."""

import logging
import sys

from pythonjsonlogger.json import JsonFormatter

log = logging.getLogger("edge_etl_spark")


def configure(**context: str) -> None:
    """Send this program's log to standard error, each line with ``context`` (job, run)."""
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


def progress(step: str, message: str, **facts: object) -> None:
    """Say which step of the aggregation begins, for people and for ``edge-etl local``."""
    log.info(message, extra={"event": "progress", "step": step, **facts})
