"""Bring together what the documents of a run say of it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from edge_etl_spark import drift
from edge_etl_spark.documents import (
    AggregationDocument,
    AggregationReport,
    MergedManifest,
    NodeAccount,
)
from edge_etl_spark.errors import AggregationError
from edge_etl_spark.plan import FEATURES, ROWS
from edge_etl_spark.results import Results, latest
from edge_etl_spark.run_report.facts import (
    NodeFacts,
    NodeState,
    Outcome,
    QuarantinedFile,
    RunFacts,
)
from edge_etl_spark.run_report.page import EXAMPLES_SHOWN
from edge_etl_spark.versions import Version

_REJECTED = "rejected"


def accounts(document: AggregationDocument, results: Results) -> tuple[NodeAccount, ...]:
    """Return what the run's nodes say that they delivered, as far as that can be read."""
    return _accounts(results, ((document.run, each.node) for each in document.nodes))


def gathered(
    document: AggregationDocument,
    results: Results,
    own: Sequence[NodeAccount],
    report: AggregationReport,
) -> RunFacts:
    """Return the facts that the documents hold, with the `accounts` of the run's nodes."""
    now, before = _versions(results, document.run)
    late = _accounts(results, ((each.run, each.node) for each in _merged_late(now)))
    told = {each.node: each.difference for each in report.quarantined_nodes}
    differing = drift.drifts(own, before.manifest if before else None)
    drifts = {each.node: each.difference for each in differing} | told
    merged = {(each.run, each.node) for each in now.manifest.merged} if now else set()

    def state(account: NodeAccount) -> NodeState:
        apart = report.succeeded and account.node in drifts
        waits = apart and (account.run, account.node) not in merged
        return "set apart" if waits else "delivered"

    nodes = [
        *(_facts(each, state(each), drifts) for each in own),
        *(_facts(each, "late", drifts) for each in late),
        *_missing(document, {node.node for node in document.nodes}),
    ]
    return RunFacts(
        namespace=document.namespace,
        job=document.job,
        run=document.run,
        began=datetime.strptime(document.run, "%Y%m%d-%H%M%S").replace(tzinfo=UTC),
        ended=datetime.now(UTC),
        outcome=_outcome(report),
        nodes=tuple(nodes),
        fields=tuple(field.name for field in (now.manifest if now else document).fields),
        ships_rows=ROWS in document.ship,
    )


def rejected_files(results: Results, known: Sequence[NodeAccount]) -> tuple[Path, ...]:
    """Return the files of rejected rows from which examples of every reason can be taken.

    For each reason those of the nodes that have most of it: a few files, however many nodes.
    """
    found: dict[Path, None] = {}
    for reason in sorted({name for account in known for name in account.rejected_by_reason}):
        most = sorted(known, key=lambda each: -each.rejected_by_reason.get(reason, 0))
        for account in most[:EXAMPLES_SHOWN]:
            if account.rejected_by_reason.get(reason):
                directory = results.attempt(account.run, account.node, account.attempt)
                found |= {
                    directory / file.name: None
                    for file in account.files
                    if file.kind == _REJECTED and file.rows
                }
    return tuple(results.fetch(found))


def _accounts(results: Results, of: Iterable[tuple[str, str]]) -> tuple[NodeAccount, ...]:
    found = []
    for run, node in of:
        with suppress(OSError, AggregationError, msgspec.DecodeError):
            content = results.manifest(run, node)
            found.append(msgspec.json.decode(content, type=NodeAccount))
    return tuple(found)


def _versions(results: Results, run: str) -> tuple[Version | None, Version | None]:
    """Return the newest version, and the one that the run found."""
    with suppress(AggregationError):
        now = latest(results)
        if now is None or now.manifest.run != run:
            return now, now
        with suppress(AggregationError):
            return now, results.read(now.manifest.version - 1)
        return now, None
    return None, None


def _merged_late(now: Version | None) -> Sequence[MergedManifest]:
    """Return what a version merged of earlier runs than its own."""
    if now is None or not now.manifest.manifests_merged:
        return ()
    merged = now.manifest.merged[-now.manifest.manifests_merged :]
    return [each for each in merged if each.run != now.manifest.run]


def _missing(document: AggregationDocument, delivered: set[str]) -> Iterator[NodeFacts]:
    for node in document.missing_nodes:
        if node not in delivered:
            note = document.missing_because.get(node, "")
            yield NodeFacts(name=node, state="missing", run=document.run, note=note)


def _facts(account: NodeAccount, state: NodeState, drifts: dict[str, str]) -> NodeFacts:
    differs = drifts.get(account.node, "") if state != "late" else ""
    return NodeFacts(
        name=account.node,
        state=state,
        run=account.run,
        note=differs if state == "set apart" else "",
        files=sum(each.status == "read" and each.bytes_read > 0 for each in account.inputs),
        rows_read=account.rows_read,
        rows_clean=account.rows_clean,
        rows_rejected=account.rows_rejected,
        rows_duplicate=account.rows_duplicate,
        rejected_by_reason=account.rejected_by_reason,
        bytes_read=account.bytes_read,
        bytes_shipped=sum(file.bytes for file in account.files),
        bytes_of_features=sum(file.bytes for file in account.files if file.kind == FEATURES),
        delivered_at=_time(account.created_at),
        latest_reading=_time(account.watermark),
        quarantined=tuple(
            QuarantinedFile(each.path, each.message or "")
            for each in account.inputs
            if each.status == "quarantined"
        ),
        columns_missing=account.columns_missing,
        columns_seen=account.columns_seen,
        drift=differs,
    )


def _outcome(report: AggregationReport) -> Outcome:
    return Outcome(
        succeeded=report.succeeded,
        reason=report.reason,
        message=report.message,
        version=report.version,
        rows=report.rows,
        rows_added=report.rows_added,
        rows_duplicate=report.rows_duplicate,
        days_written=report.days_written,
    )


def _time(text: str | None) -> datetime | None:
    """Parse a time of a manifest; what is none is left out."""
    with suppress(TypeError, ValueError):
        return datetime.fromisoformat(text or "").astimezone(UTC)
    return None
