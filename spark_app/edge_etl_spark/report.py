"""The report: the container's termination message, which Kubernetes cuts at 4,096 bytes."""

from pathlib import Path
from typing import Final

import msgspec

from edge_etl_spark.documents import AggregationReport

MAX_BYTES: Final = 4096


def encode(report: AggregationReport) -> bytes:
    """Return the report as JSON of at most 4,096 bytes; a longer message loses its end."""
    content = msgspec.json.encode(report)
    message = report.message
    while len(content) > MAX_BYTES:
        message = message[: max(0, len(message) - (len(content) - MAX_BYTES) // 6 - 1)]
        content = msgspec.json.encode(msgspec.structs.replace(report, message=f"{message}…"))
    return content


def write(report: AggregationReport, path: Path) -> None:
    """Write the report; /dev/termination-log is a file that must be written in place."""
    path.write_bytes(encode(report))
