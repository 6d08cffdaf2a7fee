"""One rejected row as an example, where most are rejected: then a rule is wrong, or all files are.

The compiled engine counts what it rejects; what is wrong with this row the plain one says.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

from edge_etl_job.dialect import DialectError
from edge_etl_job.documents import JobDocument
from edge_etl_job.engine import InputRange, InputResult, ranges

MOST: Final = 0.5
"""The share of rejected rows from which on an example is given."""
_BYTES: Final = 1 << 16
"""Bytes of rejected rows that are looked at."""


def example(
    job: JobDocument,
    parts: Sequence[InputRange],
    results: Sequence[InputResult],
    now: datetime,
) -> str | None:
    """Say what is wrong with a row, such as ``invalid_value in line 2 of a.csv: …``.

    None where less than half of the rows are rejected, or where the file went in the meantime.
    """
    worst = max(results, key=lambda each: each.rows_rejected, default=None)
    read = sum(each.rows_read for each in results)
    rejected = sum(each.rows_rejected for each in results)
    if worst is None or not rejected or rejected < MOST * read or not worst.refused:
        return None
    # What is needed only here takes a while to import.
    from edge_etl_job.compression import open_content
    from edge_etl_job.sampling import Span, plainly

    part = parts[results.index(worst)]
    reason = max(worst.rejected_by_reason, key=lambda each: worst.rejected_by_reason[each])
    for refused in ranges(worst.refused):
        span = Span(refused.start, min(refused.end, refused.start + _BYTES), refused.lines)
        with suppress(OSError, DialectError), open_content(part.path, part.compression) as content:
            _, read_again = plainly(job, part, content, span, now)
            for _, line, _, why, detail, _ in read_again.rejected:
                if why == reason:
                    return f"{why} in line {line} of {part.name}: {detail}"
    return None
