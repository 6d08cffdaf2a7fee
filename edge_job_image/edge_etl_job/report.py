"""What an attempt says when it ends: the manifest for the aggregation, the summary for people."""

from collections.abc import Sequence, Set
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from edge_etl_job.accounting import totals
from edge_etl_job.documents import DeliveredFile, Input, JobDocument, NodeManifest, NodeSummary
from edge_etl_job.layout import missing_columns
from edge_etl_job.reasons import DELIVERED, NO_FILES, NOTHING_NEW, TOO_MANY_REJECTED

LIMIT: Final = 4096
"""Bytes of a termination message that the kubelet keeps (Kubernetes, "Customizing the termination
message")."""
_MESSAGE: Final = 1500  # characters
_NAMES: Final = 24


def rfc3339(time: datetime) -> str:
    """Return a UTC time as the documents write it."""
    return time.isoformat().replace("+00:00", "Z")


def manifest(
    job: JobDocument,
    version: str,
    node: str,
    attempt: str,
    now: datetime,
    inputs: Sequence[Input],
    watermark: datetime | None,
    headers: Set[tuple[str, ...]],
    files: Sequence[DeliveredFile],
) -> NodeManifest:
    """Return the manifest of an attempt.

    ``version`` is that of the rules, ``headers`` are those of the files that were read.
    """
    return NodeManifest(
        namespace=job.namespace,
        job=job.job,
        run=job.run,
        node=node,
        attempt=attempt,
        schema_version=version,
        window=job.features.window,
        group_by=job.features.group_by,
        created_at=rfc3339(now.replace(microsecond=0)),
        **totals(inputs),
        bytes_written=sum(file.bytes for file in files),
        watermark=None if watermark is None else rfc3339(watermark),
        columns_missing=missing_columns(job, map(frozenset, headers)),
        columns_seen=tuple(sorted({name for names in headers for name in names if name})),
        inputs=tuple(inputs),
        files=tuple(files),
    )


def delivered(manifest: NodeManifest, *, no_files: str | None = None) -> NodeSummary:
    """Return the summary of a committed manifest.

    ``no_files`` is the message of an attempt that found no file at all.
    """
    quarantined = [each for each in manifest.inputs if each.status == "quarantined"]
    read = [each for each in manifest.inputs if each.status == "read" and each.bytes_read]
    if no_files is not None:
        reason, message = NO_FILES, no_files
    elif manifest.rows_read:
        reason = DELIVERED
        message = (
            f"{manifest.rows_clean} of {manifest.rows_read} new rows are clean, "
            f"{manifest.rows_rejected} rejected, {manifest.rows_duplicate} duplicates"
        )
    else:
        reason, message = NOTHING_NEW, "no new rows since the last run"
    if manifest.columns_missing:
        message += f"; no file has {', '.join(manifest.columns_missing)}"
    if quarantined:
        message += f"; {_count(len(quarantined), 'file')} quarantined, " + "; ".join(
            f"{each.path}: {each.message}" for each in quarantined[:3]
        )
    return NodeSummary(
        run=manifest.run,
        node=manifest.node,
        attempt=manifest.attempt,
        succeeded=True,
        reason=reason,
        message=message,
        files_read=len(read),
        files_quarantined=len(quarantined),
        rows_read=manifest.rows_read,
        rows_clean=manifest.rows_clean,
        rows_rejected=manifest.rows_rejected,
        rows_duplicate=manifest.rows_duplicate,
        rejected_by_reason=manifest.rejected_by_reason,
        bytes_read=manifest.bytes_read,
        bytes_written=manifest.bytes_written,
        watermark=manifest.watermark,
        columns_missing=manifest.columns_missing,
        columns_seen=manifest.columns_seen,
    )


def refused(
    job: JobDocument, node: str, attempt: str, inputs: Sequence[Input], message: str
) -> NodeSummary:
    """Return the summary of an attempt that read rows but may not deliver them."""
    return NodeSummary(
        run=job.run,
        node=node,
        attempt=attempt,
        succeeded=False,
        reason=TOO_MANY_REJECTED,
        message=message,
        files_read=sum(each.status == "read" and each.bytes_read > 0 for each in inputs),
        files_quarantined=sum(each.status == "quarantined" for each in inputs),
        **totals(inputs),
    )


def failed(run: str, node: str, attempt: str, reason: str, message: str) -> NodeSummary:
    """Return the summary of an attempt that delivered nothing."""
    return NodeSummary(
        run=run, node=node, attempt=attempt, succeeded=False, reason=reason, message=message
    )


def encoded(summary: NodeSummary, limit: int = LIMIT) -> bytes:
    """Return the summary as JSON of at most ``limit`` bytes; texts and lists are cut."""
    message, names = _MESSAGE, _NAMES
    while True:
        short = msgspec.structs.replace(
            summary,
            message=_cut(summary.message, message),
            columns_missing=_few(summary.columns_missing, names),
            columns_seen=_few(summary.columns_seen, names),
        )
        content = msgspec.json.encode(short)
        if len(content) <= limit or (message, names) == (0, 0):
            return content
        # Lists go first: a message says what to do.
        message, names = (message, names // 2) if names else (message // 2, 0)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[:length] + "…"


def _few(names: tuple[str, ...], count: int) -> tuple[str, ...]:
    if not names or len(names) <= count:
        return tuple(_cut(name, 60) for name in names)
    return (*(_cut(name, 60) for name in names[:count]), "…")


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' if number != 1 else ''}"


def write(summary: NodeSummary, path: Path | None) -> bytes:
    """Write the summary where the kubelet reads it; return it."""
    content = encoded(summary)
    if path is not None:
        path.write_bytes(content)
    return content
