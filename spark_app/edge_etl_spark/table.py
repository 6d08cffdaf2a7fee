"""Look after a published table: list, verify, roll back, prune and rebuild its versions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from edge_etl_spark import manifests, publish
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
from edge_etl_spark.paths import JobPaths
from edge_etl_spark.plan import make_plan
from edge_etl_spark.versions import (
    Version,
    latest_version,
    read_version,
    readable_versions,
    version_name,
    version_numbers,
)


@dataclass(frozen=True)
class Listed:
    """A version as a list shows it; ``manifest`` is None when it cannot be read."""

    number: int
    current: bool
    published: str
    manifest: VersionManifest | None


def versions(table: Path) -> list[Listed]:
    """Return all versions, the newest last."""
    good = {version.manifest.version: version.manifest for version in readable_versions(table)}
    pointed = _pointed(table)
    return [
        Listed(number, version_name(number) == pointed, _published(table, number), good.get(number))
        for number in version_numbers(table)
    ]


def verify(table: Path, version: Version) -> Iterator[str]:
    """Yield what is wrong with a version: a file that is not there, altered, or too many."""
    listed = {file.path: file for file in version.manifest.files}
    found = {
        path.relative_to(version.directory).as_posix()
        for path in version.directory.rglob("*")
        if path.is_file()
    } - {"version.json"}
    for path in sorted(listed.keys() - found):
        yield f"{path} is not there"
    for path in sorted(found - listed.keys()):
        yield f"{path} is not listed in version.json"
    for path in sorted(listed.keys() & found):
        size, sha256 = manifests.measure(version.directory / path)
        if size != listed[path].bytes:
            yield f"{path} has {size} bytes instead of {listed[path].bytes}"
        elif sha256 != listed[path].sha256:
            yield f"{path} has another SHA-256 than version.json says"
    if _rows(version.manifest.files, "rows/") != version.manifest.rows:
        yield "the files' rows are not the version's"
    newest = version_numbers(table)[-1]
    if version.manifest.version == newest and _pointed(table) != version_name(newest):
        yield f"current points to {_pointed(table) or 'nothing'}; the next run mends that"


def rollback(table: Path, to: int) -> VersionManifest:
    """Publish the content of an older version again, as the newest version.

    What was merged since then is set aside: no later run takes it in again, only `rebuild` does.
    """
    with publish.exclusive(table, wait_seconds=5):
        publish.recover(table)
        newest = _newest(table)
        old = read_version(table, _existing(table, to))
        staging = publish.new_staging(table, "rollback")
        for file in old.manifest.files:
            publish.carry_over(old.directory, staging, file.path)
        taken = {*newest.manifest.merged, *newest.manifest.set_aside} - {*old.manifest.merged}
        manifest = msgspec.structs.replace(
            old.manifest,
            version=version_numbers(table)[-1] + 1,
            created_at=now(),
            rows_added=0,
            rows_duplicate=0,
            days_written=0,
            manifests_merged=0,
            set_aside=tuple(sorted(taken, key=_order)),
            restored_from=to,
        )
        publish.publish(table, staging, manifest)
    return manifest


def prune(table: Path, keep: int, grace_seconds: float) -> tuple[int, ...]:
    """Remove old versions by the rule of every run, and return their numbers."""
    with publish.exclusive(table, wait_seconds=5):
        publish.recover(table)
        return publish.prune(table, keep, grace_seconds)


def rebuild(paths: JobPaths, spark: Spark, java: Path | None = None) -> VersionManifest:
    """Merge all that the nodes ever delivered into a new version, whatever the old ones hold.

    Raises AggregationError (ManifestMissing) when a delivery that the table holds is gone: the
    new version would lack its rows.
    """
    with publish.exclusive(paths.table, wait_seconds=5):
        publish.recover(paths.table)
        newest = _newest(paths.table)
        deliveries = manifests.discover(paths)
        _require_merged(newest, deliveries)
        document = _document(newest.manifest, spark)
        plan = make_plan(document, None, deliveries)
        if plan is None:
            raise AggregationError(MANIFEST_MISSING, f"no node delivered anything in {paths.runs}")
        number = version_numbers(paths.table)[-1] + 1
        return build(document, plan, None, number, paths, java)


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


def _newest(table: Path) -> Version:
    """Return the newest version that can be read; a rebuild or a rollback mends a broken one."""
    good = readable_versions(table)
    if not good:
        if version_numbers(table):
            latest_version(table)  # says what is wrong
        raise AggregationError(TABLE_CORRUPT, f"{table} has no version yet: run the job first")
    return good[-1]


def _existing(table: Path, number: int) -> int:
    numbers = version_numbers(table)
    if number not in numbers:
        there = ", ".join(map(str, numbers))
        raise AggregationError(TABLE_CORRUPT, f"there is no version {number}; there are {there}")
    return number


def _rows(files: Sequence[TableFile], kind: str) -> int:
    return sum(file.rows for file in files if file.path.startswith(kind))


def _pointed(table: Path) -> str:
    link = table / "current"
    return link.readlink().name if link.is_symlink() else ""


def _published(table: Path, number: int) -> str:
    modified = (table / "versions" / version_name(number)).stat().st_mtime
    return datetime.fromtimestamp(modified, UTC).isoformat(timespec="seconds")


def _order(item: MergedManifest) -> tuple[str, str]:
    return item.run, item.node
