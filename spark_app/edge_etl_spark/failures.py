"""Turn what Spark, the JVM or the volume raises into a reason and one readable line."""

import errno
import re
import socket
from collections.abc import Iterator
from typing import Any, Final

from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.errors import PySparkException

from edge_etl_spark.errors import (
    DISK_FULL,
    EXECUTOR_LOST,
    NO_EXECUTORS,
    OUT_OF_MEMORY,
    PERMISSION_DENIED,
    RESULTS_CORRUPT,
    RESULTS_UNAVAILABLE,
    SPARK_FAILED,
    AggregationError,
)

# Looked for in the whole chain of causes; the first that is found names the reason.
_SIGNS: Final = (
    (
        r"OutOfMemoryError|exceeding memory limits|exit code 137|exit code: 137",
        OUT_OF_MEMORY,
        "give the aggregation more memory",
    ),
    (r"No space left on device", DISK_FULL, "free space on the volume, or enlarge it"),
    (
        r"is forbidden: User",
        PERMISSION_DENIED,
        "give Spark's service account this permission (spark_app/README.md lists all)",
    ),
    (
        r"stopped while waiting for backend|Max number of executor failures",
        NO_EXECUTORS,
        "no executor could be created or none stayed; see the executors' pods, and whether "
        "Spark's service account may create pods",
    ),
    (r"ExecutorLostFailure", EXECUTOR_LOST, "see the last state of the executors' pods"),
    (
        r"FAILED_READ_FILE|is not a Parquet file|CANNOT_READ_FILE_FOOTER",
        RESULTS_CORRUPT,
        "a file is not the Parquet that its manifest promises",
    ),
    (
        r"AccessControlException|AccessDeniedException|Permission denied|Mkdirs failed",
        RESULTS_UNAVAILABLE,
        "the driver's and the executors' user must be able to write the volume",
    ),
)


def diagnose(error: BaseException) -> AggregationError | None:
    """Return what ``error`` means to a person, or None for a mistake of this program."""
    if isinstance(error, AggregationError):
        return error
    if isinstance(error, OSError):
        return _diagnose_os(error)
    if not isinstance(error, (PySparkException, Py4JError)):
        return None
    causes = list(_causes(error))
    text = "\n".join(causes)
    root = _one_line(causes[-1])
    for pattern, reason, remedy in _SIGNS:
        if match := re.search(pattern, text):
            line = next(line for line in text.splitlines() if match[0] in line)
            return AggregationError(reason, f"{_one_line(line)}; {remedy}")
    return AggregationError(SPARK_FAILED, root)


def _diagnose_os(error: OSError) -> AggregationError:
    if isinstance(error, (socket.gaierror, ConnectionError)):
        return AggregationError(
            SPARK_FAILED,
            f"Spark's Java process could not be reached on localhost: {error.strerror or error}; "
            "see in the log whether it ended, and whether /etc/hosts knows localhost",
        )
    where = f"{error.filename}: {error.strerror}" if error.filename else str(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return AggregationError(DISK_FULL, f"{where}; free space on the volume, or enlarge it")
    return AggregationError(
        RESULTS_UNAVAILABLE,
        f"{where}; check the mount of the results, and that this program's user can write there",
    )


def _causes(error: PySparkException | Py4JError) -> Iterator[str]:
    """Yield the messages from the outermost exception to its root cause."""
    yield str(error)
    cause: Any = error.java_exception if isinstance(error, Py4JJavaError) else None
    cause = cause or getattr(error, "_origin", None)
    while cause is not None:
        yield str(cause.toString())
        cause = cause.getCause()


def _one_line(text: str) -> str:
    line = next((line.strip() for line in text.splitlines() if line.strip()), text)
    return line[:600]
