"""Decide what an aggregation reads, writes and carries over; nothing here touches a file."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge_etl_spark.document import TIMESTAMP
from edge_etl_spark.documents import (
    AggregationDocument,
    Field,
    NodeManifest,
    TableFile,
    VersionManifest,
)
from edge_etl_spark.errors import SCHEMA_CHANGED, AggregationError
from edge_etl_spark.manifests import Delivery
from edge_etl_spark.parts import RowFile, RowPart, parts_of_days, whole
from edge_etl_spark.versions import Version
from edge_etl_spark.windows import covered_days, start_days, window_seconds

ROWS: Final = "rows"
FEATURES: Final = "features"


@dataclass(frozen=True)
class States:
    """Delivered files of states of the same groups."""

    group_by: tuple[str, ...]
    paths: tuple[Path, ...]


@dataclass(frozen=True)
class MergePlan:
    """The files of one aggregation. Days that are not touched are carried over as they are."""

    fields: tuple[Field, ...]
    """The table's columns after this run: the document's, then those only older rows have."""
    deliveries: tuple[Delivery, ...]
    """What is merged now, ordered by run and node."""
    row_parts: tuple[RowPart, ...]
    """The rows that are merged: all of the row days, and those that can hold a key of theirs."""
    may_adopt: bool
    """Files of rows can be parts of the new version as they are, where they share no key."""
    new_features: tuple[States, ...]
    row_days: frozenset[str]
    """Days whose rows are written again."""
    feature_days: frozenset[str]
    """Days whose windows are written again."""
    old_window_rows: tuple[Path, ...]
    """Rows of the current version on other days that lie in windows of the feature days."""
    old_features: tuple[Path, ...]
    """Features of the current version on the feature days."""
    carried: tuple[TableFile, ...]
    """Files of the current version that the new one shares."""
    features_from_rows: bool
    """All windows of the feature days are computed from rows; no state is merged."""
    recompute_duplicates: bool
    """Windows that lost a duplicate can be computed again from rows."""
    bytes_read: int
    """Compressed size of what Spark reads."""

    @property
    def old_files(self) -> tuple[Path, ...]:
        """All that is read of the current version."""
        rows = (file.path for part in self.row_parts for file in (*part.old, *part.known))
        return (*rows, *self.old_window_rows, *self.old_features)

    @property
    def new_rows(self) -> tuple[Path, ...]:
        """The nodes' files, in the order in which the first row of a key is kept."""
        paths = (file.path for part in self.row_parts for file in part.new)
        # run, node, attempt, file: there is one attempt of each run and node
        return tuple(sorted(paths, key=lambda path: path.parts[-4:]))

    @property
    def rows_delivered(self) -> int:
        """Rows of the nodes' files."""
        return sum(file.rows for part in self.row_parts for file in part.new)


def table_fields(
    document: AggregationDocument, current: VersionManifest | None
) -> tuple[Field, ...]:
    """Return the columns of the table: the document's, then those that only older versions have.

    A field that was removed from the job stays in the table, null for new rows, so that no run
    takes data away. Raises AggregationError (SchemaChanged) when a field's type differs.
    """
    old = {field.name: field for field in current.fields} if current else {}
    for field in document.fields:
        before = old.pop(field.name, field)
        if before.type != field.type:
            raise AggregationError(
                SCHEMA_CHANGED,
                f"field {field.name} is {field.type} in the job and {before.type} in the table; "
                "give the field of the new type a new name",
            )
    return (*document.fields, *old.values())


def _check_layout(document: AggregationDocument, current: VersionManifest) -> None:
    if ROWS in document.ship and ROWS not in current.ship:
        raise AggregationError(
            SCHEMA_CHANGED,
            "the table was built from features alone, so its windows cannot be told apart from "
            "the rows that are shipped now; give the job a new name, or ship features alone again",
        )
    same_windows = (current.window, current.group_by) == (document.window, document.group_by)
    if not same_windows and ROWS not in document.ship:
        raise AggregationError(
            SCHEMA_CHANGED,
            "features.window or features.groupBy changed, and without rows the old windows cannot "
            "be computed again; give the job a new name, or take the change back",
        )


def _states_fit(
    document: AggregationDocument, current: VersionManifest | None, pending: Sequence[Delivery]
) -> bool:
    """Tell whether all states, the table's and the delivered, can be merged into the document's.

    A delivery may have waited while the job was changed. Where one state does not fit, all are
    computed from rows; raises AggregationError (SchemaChanged) when a delivery came without them.
    """
    stated = [delivery for delivery in pending if any(delivery.files(FEATURES))]
    same_table = current is None or _layout(current) == _layout(document)
    if same_table and all(_fills(delivery.manifest, document) for delivery in stated):
        return True
    for delivery in stated:
        if ROWS not in document.ship or not any(delivery.files(ROWS)):
            manifest = delivery.manifest
            raise AggregationError(
                SCHEMA_CHANGED,
                f"run {manifest.run} of node {manifest.node} delivered {_layout(manifest)} without "
                f"rows, and these cannot become {_layout(document)}; take the change of "
                "features.window or features.groupBy back, or give the job a new name",
            )
    return False


def _fills(of: NodeManifest, document: AggregationDocument) -> bool:
    """Tell whether a node's windows and groups make up those of the table."""
    groups = set(document.group_by) - set(document.label_columns)
    whole = window_seconds(document.window) % window_seconds(of.window) == 0
    return whole and groups <= set(of.group_by)


def _states(deliveries: Sequence[Delivery]) -> tuple[States, ...]:
    """Return the delivered files of states, those of the same groups together."""
    found: dict[tuple[str, ...], list[Path]] = {}
    for delivery in deliveries:
        for _, path in delivery.files(FEATURES):
            found.setdefault(delivery.manifest.group_by, []).append(path)
    return tuple(States(group_by, tuple(paths)) for group_by, paths in found.items())


def _layout(of: AggregationDocument | NodeManifest | VersionManifest) -> str:
    return f"windows of {of.window} by {', '.join(of.group_by) or 'nothing'}"


def nothing_to_merge(document: AggregationDocument, current: Version) -> MergePlan:
    """Return the plan that carries the whole table over, for a result that is to be made anew."""
    return MergePlan(
        fields=table_fields(document, current.manifest),
        deliveries=(),
        row_parts=(),
        may_adopt=False,
        new_features=(),
        row_days=frozenset(),
        feature_days=frozenset(),
        old_window_rows=(),
        old_features=(),
        carried=tuple(file for file in current.manifest.files if is_part(file)),
        features_from_rows=False,
        recompute_duplicates=False,
        bytes_read=sum(file.bytes for file in current.manifest.files),
    )


def make_plan(
    document: AggregationDocument, current: Version | None, pending: Sequence[Delivery]
) -> MergePlan | None:
    """Return what is to be done, or None when no pending delivery holds anything to merge.

    Raises AggregationError (SchemaChanged) when the job no longer fits its table.
    """
    new = {
        kind: [item for delivery in pending for item in delivery.files(kind)]
        for kind in document.ship
    }
    rows, features = new.get(ROWS, []), new.get(FEATURES, [])
    if not rows and not features:
        return None

    manifest = current.manifest if current else None
    if manifest:
        _check_layout(document, manifest)
    fields = table_fields(document, manifest)
    window = window_seconds(document.window)
    same_columns = not manifest or _columns(fields) == _columns(manifest.fields)
    same_windows = not manifest or (
        (manifest.window, manifest.group_by) == (document.window, document.group_by)
    )

    features_from_rows = FEATURES not in document.ship or not _states_fit(
        document, manifest, pending
    )
    if features_from_rows:
        features = []  # their rows give the same, and in the windows of today
    row_days = {file.day for file, _ in rows if file.day}
    # A longer window of the table may begin on an earlier day than the node's.
    feature_days = _union(start_days(file.day, window) for file, _ in features if file.day)
    feature_days |= _union(start_days(day, window) for day in row_days)
    if not same_columns:
        row_days |= _days(manifest, ROWS)
    if not same_windows:
        feature_days |= _days(manifest, FEATURES)
        feature_days |= _union(start_days(day, window) for day in _days(manifest, ROWS))

    near_days = _union(covered_days(day, window) for day in feature_days) - row_days
    files = _Files(current)
    old_rows = files.of(ROWS, row_days)
    by_day = TIMESTAMP in document.key
    known_rows = () if by_day else files.of(ROWS, _days(manifest, ROWS) - row_days)
    read = [
        RowFile(file.day or "", path, file.rows, file.bytes, file.sha256) for file, path in rows
    ]
    old, known = files.rows(old_rows), files.rows(known_rows)
    old_window_rows = files.of(ROWS, near_days)
    old_features = files.of(FEATURES, feature_days)
    touched = {*old_rows, *old_features}
    return MergePlan(
        fields=fields,
        deliveries=tuple(pending),
        row_parts=parts_of_days(read, old) if by_day else whole(read, old, known),
        may_adopt=by_day and same_columns,
        new_features=_states(pending) if features else (),
        row_days=frozenset(row_days),
        feature_days=frozenset(feature_days),
        old_window_rows=files.paths(old_window_rows),
        old_features=files.paths(old_features),
        carried=tuple(file for file in files.all if file not in touched),
        features_from_rows=features_from_rows,
        recompute_duplicates=ROWS in document.ship,
        bytes_read=sum(file.bytes for file, _ in (*rows, *features))
        + sum(file.bytes for file in {*touched, *known_rows, *old_window_rows}),
    )


def _columns(fields: Sequence[Field]) -> list[tuple[str, str]]:
    return [(field.name, field.type) for field in fields]


def _union(sets: Iterable[set[str]]) -> set[str]:
    return set[str]().union(*sets)


def _days(manifest: VersionManifest | None, kind: str) -> set[str]:
    files = manifest.files if manifest else ()
    return {day_of(file) for file in files if file.path.startswith(f"{kind}/")}


def is_part(file: TableFile) -> bool:
    """Tell whether a file holds rows or features, which have days."""
    return file.path.startswith((f"{ROWS}/", f"{FEATURES}/"))


def day_of(file: TableFile) -> str:
    """Return the day of a file of the table."""
    return file.path.split("/")[1].removeprefix("day=")


class _Files:
    """The files of the current version, which may not exist yet."""

    def __init__(self, current: Version | None) -> None:
        self._directory = current.directory if current else Path()
        self.all = tuple(filter(is_part, current.manifest.files)) if current else ()

    def of(self, kind: str, days: Collection[str]) -> tuple[TableFile, ...]:
        return tuple(
            file for file in self.all if file.path.startswith(f"{kind}/") and day_of(file) in days
        )

    def rows(self, files: Sequence[TableFile]) -> tuple[RowFile, ...]:
        return tuple(
            RowFile(day_of(file), self._directory / file.path, file.rows, file.bytes, file.sha256)
            for file in files
        )

    def paths(self, files: Sequence[TableFile]) -> tuple[Path, ...]:
        return tuple(self._directory / file.path for file in files)
