"""One aggregation: find what is new, merge it, publish the table."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_etl_spark import drift, manifests
from edge_etl_spark.document import application_source
from edge_etl_spark.documents import (
    AggregationDocument,
    AggregationReport,
    Drift,
    TableFile,
    VersionManifest,
)
from edge_etl_spark.errors import SCHEMA_DRIFT, AggregationError
from edge_etl_spark.java import java_home
from edge_etl_spark.logs import progress
from edge_etl_spark.manifests import Delivery
from edge_etl_spark.plan import (
    FEATURES,
    ROWS,
    MergePlan,
    day_of,
    make_plan,
    nothing_to_merge,
)
from edge_etl_spark.results import Results, latest, open_results
from edge_etl_spark.versions import Version

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from edge_etl_spark.staging import Staged

PUBLISHED = "Published"
NOTHING_NEW = "NothingNew"

_TOLD = 10


Look = Callable[["SparkSession", Results, int], None]
"""Is told of a version that was just published, while Spark is there."""


def aggregate(
    document: AggregationDocument,
    location: str | Path,
    java: Path | None = None,
    look: Look | None = None,
    credentials: Path | None = None,
) -> AggregationReport:
    """Merge all deliveries that the table lacks, and return what became of them.

    The results are in a directory or in a bucket (`open_results`). Raises AggregationError with the
    reason and the remedy, and leaves the table as it was.
    """
    place = (location, document.namespace, document.job, credentials)
    results = open_results(*place, executors=document.spark.has_executors)
    with results.exclusive():
        results.recover()
        current = latest(results)
        settled = manifests.settled_in(current)
        deliveries = results.deliveries(settled)
        manifests.require_nodes(document, deliveries, settled, results.where)
        pending, late = manifests.pending(document, deliveries, current)
        differing = _differing(document, results, pending, current, java)
        document, pending = _without(document, pending, differing)
        plan = make_plan(document, current, pending)
        if plan is None and current and current.manifest.application != _digest(document):
            plan = nothing_to_merge(document, current)
        if plan is None:
            return _waiting(_unchanged(document, current), differing)
        number = current.manifest.version + 1 if current else 1
        version = build(document, plan, current, number, results, java, late, look)
        results.prune(document.keep_versions, document.grace_period_seconds)
    return _waiting(_report(document, version), differing)


def _differing(
    document: AggregationDocument,
    results: Results,
    pending: Sequence[Delivery],
    current: Version | None,
    java: Path | None,
) -> tuple[Drift, ...]:
    """Return the nodes that differ from their fleet, where the job minds.

    Raises AggregationError (SchemaDrift) where it is a failure.
    """
    if document.on_drift == "Evolve":
        return ()
    found = drift.drifts(
        (delivery.manifest for delivery in pending),
        current.manifest if current else None,
        lambda node: _mistyped(
            document, results, [each for each in pending if each.manifest.node == node], java
        ),
    )
    if found and document.on_drift == "Fail":
        told = "; ".join(f"{each.node}: {each.difference}" for each in found[:_TOLD])
        raise AggregationError(
            SCHEMA_DRIFT,
            f"{len(found)} nodes differ from their fleet: {told}; nothing of this run is merged. "
            "Correct the files, or the names in schema.fields[].from, or set schema.onDrift to "
            "Evolve (their rows are merged) or QuarantineNode (the others' rows are)",
        )
    return found


def _mistyped(
    document: AggregationDocument,
    results: Results,
    deliveries: Sequence[Delivery],
    java: Path | None,
) -> str:
    """Name the fields of a node whose values are of other types: its rejected rows tell."""
    from edge_etl_spark.mistyped import named
    from edge_etl_spark.session import session

    # Few rows of one node: no executors are waited for.
    here = msgspec.structs.replace(document.spark, master="local[1]")
    name = f"{document.namespace}/{document.job}"
    with java_home(java), session(here, name, 0, None, results.spark_conf) as spark:
        return named(spark, results, deliveries)


def _without(
    document: AggregationDocument, pending: tuple[Delivery, ...], differing: Sequence[Drift]
) -> tuple[AggregationDocument, tuple[Delivery, ...]]:
    """Leave the deliveries of nodes that differ for a later aggregation, and name the nodes."""
    names = {each.node for each in differing}
    missing = dict.fromkeys((*document.missing_nodes, *sorted(names)))
    return (
        msgspec.structs.replace(document, missing_nodes=tuple(missing)),
        tuple(delivery for delivery in pending if delivery.manifest.node not in names),
    )


def _waiting(report: AggregationReport, differing: Sequence[Drift]) -> AggregationReport:
    return msgspec.structs.replace(report, quarantined_nodes=tuple(differing[:_TOLD]))


def build(
    document: AggregationDocument,
    plan: MergePlan,
    current: Version | None,
    number: int,
    results: Results,
    java: Path | None = None,
    late: Sequence[Delivery] = (),
    look: Look | None = None,
) -> VersionManifest:
    """Merge what the plan says onto ``current``, and publish it as the version ``number``.

    What came too ``late`` is set aside. The caller holds the table.
    """
    progress("verify", "checking the delivered files", manifests=len(plan.deliveries))
    results.fetch(path for delivery in plan.deliveries for path in delivery.paths)
    for delivery in plan.deliveries:
        manifests.verify(delivery, results.measured)
    results.fetch(plan.old_files)
    # Spark is imported only when there is something to merge: it takes a second.
    from edge_etl_spark.session import session
    from edge_etl_spark.staging import Stage

    staging = results.new_staging(document.run)
    name = f"{document.namespace}/{document.job}"
    log = results.event_log() if document.spark.event_log else nullcontext()
    application = document.application
    with (
        java_home(java),
        log as events,
        session(document.spark, name, plan.bytes_read, events, results.spark_conf) as spark,
    ):
        stage = Stage(spark, document, plan, staging, results)
        staged = stage.write()
        if current:
            paths = [file.path for file in plan.carried]
            results.carry_over(current, staging, paths, readable=application is not None)
        made = stage.write_application(application) if application else ()
        progress("publish", "publishing the table", days=len(plan.row_days | plan.feature_days))
        manifest = _manifest(document, plan, current, number, late, staged, made)
        results.publish(staging, manifest)
        if look:
            look(spark, results, number)
    return manifest


def _manifest(
    document: AggregationDocument,
    plan: MergePlan,
    current: Version | None,
    number: int,
    late: Sequence[Delivery],
    staged: "Staged",
    made: Sequence[TableFile],
) -> VersionManifest:
    """Return what the new version says of itself."""
    files = tuple(sorted((*plan.carried, *staged.files, *made), key=lambda file: file.path))
    before = current.manifest if current else None
    return VersionManifest(
        namespace=document.namespace,
        job=document.job,
        run=document.run,
        version=number,
        created_at=now(),
        rows=sum(file.rows for file in files if file.path.startswith(f"{ROWS}/")),
        feature_rows=sum(file.rows for file in files if file.path.startswith(f"{FEATURES}/")),
        rows_added=staged.rows_added,
        rows_duplicate=staged.rows_duplicate,
        days_written=len({day_of(file) for file in staged.files}),
        manifests_merged=len(plan.deliveries),
        merged=(
            *(before.merged if before else ()),
            *(delivery.identity for delivery in plan.deliveries),
        ),
        set_aside=(
            *(before.set_aside if before else ()),
            *(delivery.identity for delivery in late),
        ),
        missing_nodes=document.missing_nodes,
        fields_had=drift.fields_had(
            (field.name for field in document.fields),
            (delivery.manifest for delivery in plan.deliveries),
            before,
        ),
        watermarks=_watermarks(before, plan.deliveries),
        fields=plan.fields,
        key=document.key,
        window=document.window,
        group_by=document.group_by,
        statistics=document.statistics,
        ship=document.ship,
        label_columns=document.label_columns,
        node_labels=document.node_labels,
        application=_digest(document),
        files=files,
    )


def _digest(document: AggregationDocument) -> str | None:
    """Return the SHA-256 of the person's own aggregation: another one asks for a new version."""
    application = document.application
    return hashlib.sha256(application_source(application)).hexdigest() if application else None


def now() -> str:
    """Return the time in UTC, as the documents have it."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _watermarks(before: VersionManifest | None, deliveries: Sequence[Delivery]) -> dict[str, str]:
    """Return for each node the time up to which its readings are in the table."""
    watermarks = dict(before.watermarks) if before else {}
    for delivery in deliveries:
        node, watermark = delivery.manifest.node, delivery.manifest.watermark
        if watermark is not None:
            watermarks[node] = max(watermark, watermarks.get(node, watermark))
    return dict(sorted(watermarks.items()))


def _unchanged(document: AggregationDocument, current: Version | None) -> AggregationReport:
    """Report a run that has nothing to merge: it was published already, or nothing is new."""
    if current and current.manifest.run == document.run:
        return _report(document, current.manifest)
    return AggregationReport(
        run=document.run,
        succeeded=True,
        reason=NOTHING_NEW,
        message="all that the nodes delivered is in the table already"
        if current
        else "the nodes delivered no rows and no features; there is no table yet",
        version=current.manifest.version if current else 0,
        rows=current.manifest.rows if current else 0,
        feature_rows=current.manifest.feature_rows if current else 0,
    )


def _report(document: AggregationDocument, version: VersionManifest) -> AggregationReport:
    return AggregationReport(
        run=document.run,
        succeeded=True,
        reason=PUBLISHED,
        message=f"version {version.version}: {version.rows_added} rows added, "
        f"{version.rows_duplicate} duplicates removed, {version.days_written} days written",
        version=version.version,
        rows=version.rows,
        rows_added=version.rows_added,
        rows_duplicate=version.rows_duplicate,
        feature_rows=version.feature_rows,
        days_written=version.days_written,
        manifests_merged=version.manifests_merged,
    )
