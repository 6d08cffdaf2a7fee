"""The log: quiet, one JSON object a line on standard error."""

import logging
import sys
from typing import Final

from pythonjsonlogger.json import JsonFormatter

log: Final = logging.getLogger("edge_etl_job")


def configure(**context: str) -> None:
    """Send the program's log to standard error, each line with ``context`` (job, run, node)."""
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
