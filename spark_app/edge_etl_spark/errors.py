"""What can go wrong in a way that a person can mend: a reason and a sentence on what to do."""

from typing import Final

DOCUMENT_INVALID: Final = "DocumentInvalid"
"""The aggregation document cannot be used."""
MANIFEST_MISSING: Final = "ManifestMissing"
"""A node that is said to have delivered has no manifest in the results."""
RESULTS_CORRUPT: Final = "ResultsCorrupt"
"""A delivered file or manifest is not what its node committed."""
RESULTS_UNAVAILABLE: Final = "ResultsUnavailable"
"""The volume of the results cannot be read or written."""
RESULTS_UNAUTHORIZED: Final = "ResultsUnauthorized"
"""The S3 server does not accept the job's credentials for what was asked."""
DISK_FULL: Final = "DiskFull"
"""The volume of the results, or Spark's scratch directory, has no space left."""
SCHEMA_CHANGED: Final = "SchemaChanged"
"""The job's schema does not fit the table that earlier runs built."""
SCHEMA_DRIFT: Final = "SchemaDrift"
"""A node's files differ from those of its fleet, and the job says that this is a failure."""
TABLE_CORRUPT: Final = "TableCorrupt"
"""A published version cannot be read."""
TABLE_BUSY: Final = "TableBusy"
"""Another aggregation of the same job holds the table."""
JAVA_MISSING: Final = "JavaMissing"
"""No Java that Spark can run on."""
NO_EXECUTORS: Final = "NoExecutors"
"""No executor registered with the driver in time."""
EXECUTOR_LOST: Final = "ExecutorLost"
"""Executors died too often for Spark to finish."""
OUT_OF_MEMORY: Final = "OutOfMemory"
"""The driver's or an executor's memory was not enough."""
PERMISSION_DENIED: Final = "PermissionDenied"
"""Kubernetes refused the driver a request."""
APPLICATION_FAILED: Final = "ApplicationFailed"
"""The person's own aggregation is wrong or failed; the message names its line."""
SPARK_FAILED: Final = "SparkFailed"
"""Spark failed in another way; the message holds its root cause."""
STOPPED: Final = "Stopped"
"""The program was told to end: a deadline, an eviction, a drained node."""
INTERNAL_ERROR: Final = "InternalError"
"""A mistake of this program; the log holds the traceback."""


class AggregationError(Exception):
    """A failure with its reason (one of this module's constants) and what to do about it."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
