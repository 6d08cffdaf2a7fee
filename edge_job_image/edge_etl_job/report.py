"""What an attempt says when it ends: the manifest for the aggregation, the summary for people."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Literal, TypedDict

import msgspec

from edge_etl_job.attempt import Intake, Task
from edge_etl_job.documents import DeliveredFile, Input, NodeManifest, NodeSummary
from edge_etl_job.reasons import DELIVERED, NO_FILES, NOTHING_NEW, TOO_MANY_REJECTED, UNREADABLE

LIMIT: Final = 4096
"""Bytes of a termination message that the kubelet keeps (Kubernetes, "Customizing the termination
message")."""
_MESSAGE: Final = 1500  # characters
_NAMES: Final = 24


def rfc3339(time: datetime) -> str:
    """Return a UTC time as the documents write it."""
    return time.isoformat().replace("+00:00", "Z")


def said(name: str, status: Literal["read", "quarantined"], message: str | None) -> Input:
    """Return what the manifest says of a file of which nothing was read."""
    return Input(
        path=name,
        bytes_read=0,
        rows_read=0,
        rows_clean=0,
        rows_rejected=0,
        rows_duplicate=0,
        status=status,
        message=message,
    )


def unlisted(folder: str) -> Input:
    """Return what the manifest says of a directory that cannot be listed."""
    return said(folder, "quarantined", f"{UNREADABLE}: the directory cannot be listed")


def manifest(
    task: Task,
    version: str,
    now: datetime,
    new: Intake,
    inputs: Sequence[Input],
    files: Sequence[DeliveredFile],
) -> NodeManifest:
    """Return the manifest of an attempt; ``version`` is that of the rules."""
    job = task.job
    return NodeManifest(
        namespace=job.namespace,
        job=job.job,
        run=job.run,
        node=task.node,
        attempt=task.attempt,
        schema_version=version,
        window=job.features.window,
        group_by=job.features.group_by,
        created_at=rfc3339(now.replace(microsecond=0)),
        **totals(inputs),
        bytes_written=sum(file.bytes for file in files),
        watermark=None if new.watermark is None else rfc3339(new.watermark),
        columns_missing=new.columns_missing,
        columns_seen=new.columns_seen,
        inputs=tuple(inputs),
        files=tuple(files),
    )


class Totals(TypedDict):
    """What manifests and summaries say of all inputs together."""

    rows_read: int
    rows_clean: int
    rows_rejected: int
    rows_duplicate: int
    rejected_by_reason: dict[str, int]
    bytes_read: int


def totals(inputs: Sequence[Input]) -> Totals:
    """Return the sums of the inputs."""
    reasons: Counter[str] = Counter()
    for each in inputs:
        reasons.update(each.rejected_by_reason)
    return Totals(
        rows_read=sum(each.rows_read for each in inputs),
        rows_clean=sum(each.rows_clean for each in inputs),
        rows_rejected=sum(each.rows_rejected for each in inputs),
        rows_duplicate=sum(each.rows_duplicate for each in inputs),
        rejected_by_reason=dict(sorted(reasons.items())),
        bytes_read=sum(each.bytes_read for each in inputs),
    )


def delivered(
    manifest: NodeManifest, *, no_files: str | None = None, example: str | None = None
) -> NodeSummary:
    """Return the summary of a committed manifest.

    ``no_files`` is the message of an attempt that found no file at all, ``example`` is one of its
    rejected rows where most are.
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
    if example is not None and manifest.rows_read:
        message += f"; such as {example}"
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
    task: Task, inputs: Sequence[Input], message: str, example: str | None = None
) -> NodeSummary:
    """Return the summary of an attempt that read rows but may not deliver them."""
    return NodeSummary(
        run=task.job.run,
        node=task.node,
        attempt=task.attempt,
        succeeded=False,
        reason=TOO_MANY_REJECTED,
        message=f"{message}; such as {example}" if example else message,
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
