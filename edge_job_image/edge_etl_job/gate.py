"""Whether what a node cleaned is good enough to be delivered."""

from collections import Counter
from collections.abc import Sequence

from edge_etl_job.documents import Input, JobDocument
from edge_etl_job.report import totals

_TOLD = 3


def refusal(job: JobDocument, inputs: Sequence[Input]) -> str | None:
    """Return why nothing may be delivered, None when it may.

    The share is of the rows that were read now. Nothing of them reaches the results: the ledger
    stays, and the next run reads them again.
    """
    limit = job.quality.max_rejected_ratio
    sums = totals(inputs)
    read, rejected = sums["rows_read"], sums["rows_rejected"]
    if limit is None:
        return None
    from decimal import Decimal  # slow to import

    # Decimal, so that a share that is exactly the limit is not above it.
    if 100 * rejected <= Decimal(limit.removesuffix("%")) * read:
        return None
    worst = max(inputs, key=lambda each: each.rows_rejected)
    reasons = Counter(sums["rejected_by_reason"])
    told = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(_TOLD))
    return (
        f"{rejected} of {read} new rows ({100 * rejected / read:.1f}%) are rejected, more than "
        f"quality.maxRejectedRatio {limit} ({told}; most of them, {worst.rows_rejected}, in "
        f"{worst.path}); nothing is delivered, and the next run reads these rows again"
    )
