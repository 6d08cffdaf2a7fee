"""Every reason that the edge program gives, as a constant with its meaning.

Rows and files: see ``docs/cleaning.md``. Attempts: the ``reason`` of the node summary.
"""

from typing import Final

# Why a row is rejected, in the order in which they are looked for: the first one is given.
ROW_TOO_LONG: Final = "row_too_long"
NOT_TEXT: Final = "not_text"
INVALID_ENCODING: Final = "invalid_encoding"
MALFORMED_QUOTE: Final = "malformed_quote"
REPEATED_HEADER: Final = "repeated_header"
WRONG_FIELD_COUNT: Final = "wrong_field_count"
MISSING_TIMESTAMP: Final = "missing_timestamp"
INVALID_TIMESTAMP: Final = "invalid_timestamp"
AMBIGUOUS_TIMESTAMP: Final = "ambiguous_timestamp"
TIMESTAMP_TOO_OLD: Final = "timestamp_too_old"
TIMESTAMP_IN_FUTURE: Final = "timestamp_in_future"
# Then field by field, in the schema's order:
MISSING_KEY: Final = "missing_key"
MISSING_REQUIRED: Final = "missing_required"
INVALID_VALUE: Final = "invalid_value"
OUT_OF_RANGE: Final = "out_of_range"

# Then field by field again, by what came before:
RATE_EXCEEDED: Final = "rate_exceeded"
STUCK_VALUE: Final = "stuck_value"
LOOKING_BACK: Final = frozenset({RATE_EXCEEDED, STUCK_VALUE})
"""Reasons that a row alone, when it is read again, can neither have nor be free of."""

# By the job's own rules (edge.transform):
REJECTED_BY_TRANSFORM: Final = "rejected_by_transform"

# Why a whole file is quarantined (also NOT_TEXT, ROW_TOO_LONG, MALFORMED_QUOTE of its header, and
# WRONG_FIELD_COUNT when nearly all rows disagree with it).
EMPTY_HEADER: Final = "empty_header"
DUPLICATE_COLUMN: Final = "duplicate_column"
MISSING_COLUMN: Final = "missing_column"
AMBIGUOUS_DIALECT: Final = "ambiguous_dialect"
"""What a file shows of how it is written contradicts itself: ``source.csv`` must say it."""
DAMAGED_ARCHIVE: Final = "damaged_archive"
ARCHIVE_TOO_LARGE: Final = "archive_too_large"
UNREADABLE: Final = "unreadable"

# How an attempt ends.
DELIVERED: Final = "Delivered"
"""New rows are in the results."""
NOTHING_NEW: Final = "NothingNew"
"""All files had been delivered before; the manifest says so."""
NO_FILES: Final = "NoFiles"
"""No file of the source matches the job's patterns."""
TOO_MANY_REJECTED: Final = "TooManyRejected"
"""More rows are rejected than the job allows; nothing was delivered."""
JOB_INVALID: Final = "JobInvalid"
"""The job document cannot be used."""
SOURCE_UNREADABLE: Final = "SourceUnreadable"
"""The source directory is missing or may not be read."""
STATE_UNWRITABLE: Final = "StateUnwritable"
"""The state directory is missing or may not be written."""
WORK_UNWRITABLE: Final = "WorkUnwritable"
"""The working directory is missing or may not be written."""
DISK_FULL: Final = "DiskFull"
"""The disk of the working or the state directory is full."""
TRANSFORM_FAILED: Final = "TransformFailed"
"""The job's own rules (edge.transform) cannot be loaded, or raised an exception."""
OUT_OF_MEMORY: Final = "OutOfMemory"
"""The job's own rules wanted more memory than there is."""
STOPPED: Final = "Stopped"
"""The program was told to end (SIGTERM): a deadline, an eviction, a drained node."""
NO_ENGINE: Final = "NoEngine"
"""This installation has neither the compiled engine nor what the plain one needs."""
INTERNAL_ERROR: Final = "InternalError"
"""A mistake of this program; the log holds the traceback."""
