"""Look after a published table: list, verify, roll back, prune and rebuild its versions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_etl_spark.aggregate import build, now
from edge_etl_spark.documents import (
    API_VERSION,
    AggregationDocument,
    MergedManifest,
    Spark,
    TableFile,
    VersionManifest,
)
from edge_etl_spark.errors import MANIFEST_MISSING, TABLE_CORRUPT, AggregationError
from edge_etl_spark.manifests import Delivery
from edge_etl_spark.plan import make_plan
from edge_etl_spark.results import Results, latest, readable
from edge_etl_spark.versions import Version


@dataclass(frozen=True)
class Listed:
    """A version as a list shows it; ``manifest`` is None when it cannot be read."""

    number: int
    current: bool
    published: str
    manifest: VersionManifest | None


def versions(results: Results) -> list[Listed]:
    """Return all versions, the newest last."""
    good = {version.manifest.version: version.manifest for version in readable(results)}
    current = results.current()
    return [
        Listed(
            number,
            number == current,
            results.published(number).isoformat(timespec="seconds"),
            good.get(number),
        )
        for number in results.numbers()
    ]


def verify(results: Results, version: Version) -> Iterator[str]:
    """Yield what is wrong with a version: a file that is not there, altered, or too many."""
    listed = {file.path: file for file in version.manifest.files}
    found = results.present(version)
    for path in sorted(listed.keys() - found):
        yield f"{path} is not there"
    for path in sorted(found - listed.keys()):
        yield f"{path} is not listed in version.json"
    for path in sorted(listed.keys() & found):
        size, sha256 = results.measure(version, path)
        if size != listed[path].bytes:
            yield f"{path} has {size} bytes instead of {listed[path].bytes}"
        elif sha256 != listed[path].sha256:
            yield f"{path} has another SHA-256 than version.json says"
    if _rows(version.manifest.files, "rows/") != version.manifest.rows:
        yield "the files' rows are not the version's"
    newest, current = results.numbers()[-1], results.current()
    if version.manifest.version == newest != current:
        yield f"current leads to version {current or 'none'}; the next run mends that"


def rollback(results: Results, to: int) -> VersionManifest:
    """Publish the content of an older version again, as the newest version.

    What was merged since then is set aside: no later run takes it in again, only `rebuild` does.
    """
    with results.exclusive(wait_seconds=5):
        results.recover()
        newest = _newest(results)
        old = results.read(_existing(results, to))
        staging = results.new_staging("rollback")
        paths = [file.path for file in old.manifest.files]
        results.carry_over(old, staging, paths, readable=False)
        taken = {*newest.manifest.merged, *newest.manifest.set_aside} - {*old.manifest.merged}
        manifest = msgspec.structs.replace(
            old.manifest,
            version=results.numbers()[-1] + 1,
            created_at=now(),
            rows_added=0,
            rows_duplicate=0,
            days_written=0,
            manifests_merged=0,
            set_aside=tuple(sorted(taken, key=_order)),
            restored_from=to,
        )
        results.publish(staging, manifest)
    return manifest


def prune(results: Results, keep: int, grace_seconds: float) -> tuple[int, ...]:
    """Remove old versions by the rule of every run, and return their numbers."""
    with results.exclusive(wait_seconds=5):
        results.recover()
        return results.prune(keep, grace_seconds)


def rebuild(results: Results, spark: Spark, java: Path | None = None) -> VersionManifest:
    """Merge all that the nodes ever delivered into a new version, whatever the old ones hold.

    Raises AggregationError (ManifestMissing) when a delivery that the table holds is gone: the
    new version would lack its rows.
    """
    with results.exclusive(wait_seconds=5):
        results.recover()
        newest = _newest(results)
        deliveries = results.deliveries()
        _require_merged(newest, deliveries)
        document = _document(newest.manifest, spark)
        plan = make_plan(document, None, deliveries)
        if plan is None:
            raise AggregationError(
                MANIFEST_MISSING, f"no node delivered anything in {results.where}"
            )
        number = results.numbers()[-1] + 1
        return build(document, plan, None, number, results, java)


def _document(of: VersionManifest, spark: Spark) -> AggregationDocument:
    """Return the task that gave a version, for all deliveries."""
    return AggregationDocument(
        api_version=API_VERSION,
        kind="Aggregation",
        namespace=of.namespace,
        job=of.job,
        run=of.run,
        nodes=(),
        fields=of.fields,
        key=of.key,
        window=of.window,
        group_by=of.group_by,
        statistics=of.statistics,
        ship=of.ship,
        missing_nodes=of.missing_nodes,
        label_columns=of.label_columns,
        node_labels=of.node_labels,
        spark=spark,
    )


def _require_merged(newest: Version, deliveries: Sequence[Delivery]) -> None:
    there = {delivery.identity for delivery in deliveries}
    gone = [item for item in newest.manifest.merged if item not in there]
    if gone:
        raise AggregationError(
            MANIFEST_MISSING,
            f"run {gone[0].run} of node {gone[0].node} is in the table, but its delivery is gone "
            f"({len(gone)} in all): a rebuilt table would lack its rows; restore it first",
        )


def _newest(results: Results) -> Version:
    """Return the newest version that can be read; a rebuild or a rollback mends a broken one."""
    good = readable(results)
    if not good:
        latest(results)  # says what is wrong, if there is something
        raise AggregationError(
            TABLE_CORRUPT, f"{results.where} has no version yet: run the job first"
        )
    return good[-1]


def _existing(results: Results, number: int) -> int:
    numbers = results.numbers()
    if number not in numbers:
        there = ", ".join(map(str, numbers))
        raise AggregationError(TABLE_CORRUPT, f"there is no version {number}; there are {there}")
    return number


def _rows(files: Sequence[TableFile], kind: str) -> int:
    return sum(file.rows for file in files if file.path.startswith(kind))


def _order(item: MergedManifest) -> tuple[str, str]:
    return item.run, item.node
