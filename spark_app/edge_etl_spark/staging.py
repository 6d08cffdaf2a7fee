"""The Spark work of one aggregation: from a plan to the new version's files in staging."""

from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.types import StructType

from edge_etl_spark import application as own
from edge_etl_spark import features, footers, rows
from edge_etl_spark.adoption import Adopted, adopt
from edge_etl_spark.columns import (
    DAY,
    WINDOW_START,
    feature_schema,
    row_schema,
    table_feature_schema,
)
from edge_etl_spark.document import TIMESTAMP
from edge_etl_spark.documents import AggregationDocument, Application, TableFile
from edge_etl_spark.errors import RESULTS_CORRUPT, AggregationError
from edge_etl_spark.files import Files, names
from edge_etl_spark.logs import progress
from edge_etl_spark.parts import SMALL_BYTES, RowPart, without
from edge_etl_spark.plan import FEATURES, ROWS, MergePlan, States
from edge_etl_spark.session import cores
from edge_etl_spark.statistics import FIELD, Statistics
from edge_etl_spark.windows import covered_days, window_seconds

ALONE_BYTES: Final = 32 * 1024 * 1024
"""Compressed Parquet of days that one task merges sooner than several would shuffle it."""
_BROADCAST_PLACES: Final = 50_000
"""Windows and groups that each task can hold: some 5 MB."""


@dataclass(frozen=True)
class Staged:
    """What was written to staging, and what became of the delivered rows."""

    files: tuple[TableFile, ...]
    rows_added: int
    rows_duplicate: int


@dataclass(frozen=True)
class Stage:
    """One aggregation's DataFrames; each method reads the files of its plan and nothing else."""

    spark: SparkSession
    document: AggregationDocument
    plan: MergePlan
    staging: Path
    files: Files

    def write_application(self, application: Application) -> tuple[TableFile, ...]:
        """Write what the person's own aggregation makes of the version, which is complete else."""
        progress("application", f"running {application.name}")
        written = self._work / own.TABLE
        own.run(
            application,
            self.spark,
            self.files,
            self.staging,
            written,
            row_schema(self.plan.fields),
            table_feature_schema(
                self.plan.fields, self.document.group_by, self._windows.statistics
            ),
        )
        made = self.files.taken(self.spark, written, self.staging / own.TABLE)
        return tuple(map(self.listed, made))

    def write(self) -> Staged:
        """Write the touched days of rows and features; return what was written."""
        adopted, parts = Adopted((), frozenset()), self.plan.row_parts
        if parts:
            progress("rows", "merging the rows", rows=self.plan.rows_delivered)
        if self.plan.may_adopt and self.files.can_share:
            adopted = self._adopted()
            parts = without(parts, adopted.days)
        written = self._write_rows(parts)
        row_files = tuple(file for files in written for file in files)
        duplicates = sum(part.rows for part in parts) - sum(file.rows for file in row_files)
        delivered = self.plan.rows_delivered
        if not 0 <= duplicates <= delivered:
            raise AggregationError(
                RESULTS_CORRUPT,
                f"{delivered} rows were delivered by the manifests' count, but "
                f"{delivered - duplicates} were added to the table; a file holds other rows than "
                "its manifest says",
            )
        lessened = [
            part
            for part, files in zip(parts, written, strict=True)
            if sum(file.rows for file in files) < part.rows
        ]
        files = (*adopted.files, *row_files, *self._write_features(lessened))
        return Staged(files, delivered - duplicates, duplicates)

    def _adopted(self) -> Adopted:
        return adopt(
            self.spark,
            self.plan.row_parts,
            self.plan.fields,
            self.document.key,
            self.staging,
            self._work / "adopted",
        )

    def _write_rows(self, parts: Sequence[RowPart]) -> list[tuple[TableFile, ...]]:
        """Write the rows, as many parts at a time as there are cores; return each one's files."""
        with ThreadPoolExecutor(cores(self.document.spark)) as pool:
            try:
                return list(pool.map(self._write_part, parts))
            except BaseException:
                self.spark.sparkContext.cancelAllJobs()
                raise

    def _write_part(self, part: RowPart) -> tuple[TableFile, ...]:
        table = rows.kept(self._ranked(part))
        order = [DAY, TIMESTAMP, *self.document.key]
        return self._write(ROWS, table, order, part.days, alone=part.bytes <= ALONE_BYTES)

    def _ranked(self, part: RowPart) -> DataFrame:
        """Return all rows of a part, numbered within their keys, with their day."""
        schema, key = row_schema(self.plan.fields), self.document.key
        paths = [file.path for file in part.new]
        tables = [self._delivered(paths, schema)] if paths else []
        if part.old:
            tables.append(rows.of_table(self._parquet([file.path for file in part.old], schema)))
        if part.known:
            known = self._parquet([file.path for file in part.known], schema).select(*key)
            tables.append(rows.of_table(known, rows.OF_OTHER_DAYS))
        table = rows.timed(_union(tables)).withColumn(DAY, f.to_date(TIMESTAMP))
        if part.bytes <= ALONE_BYTES:
            table = table.coalesce(1)
        # In the order of the table: then nothing is sorted twice.
        by_time = [DAY, TIMESTAMP] if TIMESTAMP in key else []
        return rows.ranked(table, [*dict.fromkeys((*by_time, *key))])

    def _write_features(self, lessened: Sequence[RowPart]) -> tuple[TableFile, ...]:
        if not self.plan.feature_days:
            return ()
        days = self.plan.feature_days
        progress("features", "merging the features", days=len(days))
        states = features.finished(self._states(lessened), self._windows)
        table = states.withColumn(DAY, f.to_date(WINDOW_START))
        if self._small:
            table = table.coalesce(1)
        order = [DAY, WINDOW_START, *self.document.group_by, FIELD]
        return self._write(FEATURES, table, order, days, alone=self._small)

    def _states(self, lessened: Sequence[RowPart]) -> DataFrame:
        windows = self._windows
        if self.plan.features_from_rows:
            states = features.from_rows(self._table_rows(), windows)
            start_day = f.date_format(WINDOW_START, "yyyy-MM-dd")
            return states.where(start_day.isin(*sorted(self.plan.feature_days)))
        schema = feature_schema(windows.fields, windows.group_by, windows.statistics)
        old = self._read(self.plan.old_features, schema)
        new = (self._delivered_states(files) for files in self.plan.new_features)
        states = _union([old.select(*schema.names), *new])
        states = states.coalesce(1) if self._small else states
        if not lessened and features.unmerged(states, windows):
            return states
        merged = features.merge(states, windows)
        if not self.plan.recompute_duplicates:
            return merged
        found = [features.inexact(merged, windows)] if windows.statistics.percents else []
        if lessened:
            removed = _union([rows.repeated(self._ranked(part)) for part in lessened])
            found.append(features.windows_of(removed, windows.seconds, windows.group_by))
        return self._recomputed(merged, _union(found).distinct()) if found else merged

    def _recomputed(self, merged: DataFrame, places: DataFrame) -> DataFrame:
        """Compute windows and groups again from rows, of the days that have such ones alone."""
        windows = self._windows
        places = places.persist(StorageLevel.DISK_ONLY)
        counts = places.groupBy(f.to_date(WINDOW_START).cast("string").alias(DAY)).count().collect()
        if not counts:
            return merged
        if sum(row["count"] for row in counts) <= _BROADCAST_PLACES:
            places = f.broadcast(places)
        days = set[str]().union(*(covered_days(row[DAY], windows.seconds) for row in counts))
        return features.recompute(merged, self._table_rows(days), places, windows)

    @property
    def _windows(self) -> features.Windows:
        return features.Windows(
            window_seconds(self.document.window),
            self.document.group_by,
            self.plan.fields,
            Statistics(self.document.statistics),
        )

    def _delivered_states(self, files: States) -> DataFrame:
        windows = self._windows
        schema = feature_schema(windows.fields, files.group_by, windows.statistics)
        return features.coarser(self._delivered(files.paths, schema), windows)

    def _delivered(self, paths: Sequence[Path], schema: StructType) -> DataFrame:
        """Read nodes' files, with the number and the node's labels of each."""
        numbers = {path: self._numbers[path] for path in paths}
        links = self._work / "delivered"
        nodes = [path.parts[-3] for path in self._numbers]
        document = self.document
        return rows.with_labels(
            self.files.numbered(self.spark, schema, numbers, links),
            document.label_columns,
            nodes,
            document.node_labels,
        )

    @cached_property
    def _numbers(self) -> dict[Path, int]:
        """The delivered files in the order of run, node, file; those of rows are the first."""
        states = (path for files in self.plan.new_features for path in files.paths)
        return {path: number for number, path in enumerate((*self.plan.new_rows, *states))}

    @property
    def _work(self) -> Path:
        """What is beside the staging directory goes away with it."""
        return self.staging.with_name(f"{self.staging.name}.work")

    def _table_rows(self, days: Collection[str] | None = None) -> DataFrame:
        """Return the new version's rows in all windows of the feature days, or those of days."""
        staged = self.files.below(self.staging / ROWS)
        paths = [
            path
            for path in (*staged, *self.plan.old_window_rows)
            if days is None or path.parent.name.removeprefix(f"{DAY}=") in days
        ]
        return self._read(paths, row_schema(self.plan.fields))

    def _read(self, paths: Sequence[Path], schema: StructType) -> DataFrame:
        if not paths:
            return self.spark.createDataFrame([], schema)
        table = self._parquet(paths, schema)
        return table.coalesce(1) if self._small else table

    def _parquet(self, paths: Sequence[Path], schema: StructType) -> DataFrame:
        return self.spark.read.schema(schema).parquet(*names(self.files, paths))

    @property
    def _small(self) -> bool:
        """Whether one task does all: with one partition nothing is shuffled, and no task waits."""
        return self.plan.bytes_read <= SMALL_BYTES

    def _write(
        self,
        kind: str,
        table: DataFrame,
        order: Sequence[str],
        days: Collection[str],
        *,
        alone: bool,
    ) -> tuple[TableFile, ...]:
        """Write one file for each day (more for a large day), sorted, and list the files.

        If ``alone``, the table is one task's already.
        """
        # Adaptive execution splits a large day and lets small days share a task.
        balanced = table if alone else table.hint("rebalance", f.col(DAY))
        written = self._work / f"{kind}-{min(days)}"
        ordered = balanced.sortWithinPartitions(*dict.fromkeys(order))
        ordered.write.partitionBy(DAY).parquet(self.files.named(written))
        # Parts of the rows are written at the same time, each day by one of them.
        found = self.files.taken(self.spark, written, self.staging / kind)
        if stray := {path.parent.name.removeprefix(f"{DAY}=") for path in found} - set(days):
            raise AggregationError(
                RESULTS_CORRUPT,
                f"the delivered {kind} hold the day {min(stray)}, which no manifest names",
            )
        return tuple(map(self.listed, found))

    def listed(self, path: Path) -> TableFile:
        """List a file as a version does, with the rows that were really written."""
        count = footers.count(self.spark, self.files.named(path))
        size, sha256 = self.files.measured(path)
        relative = path.relative_to(self.staging).as_posix()
        return TableFile(path=relative, rows=count, bytes=size, sha256=sha256)


def _union(parts: Sequence[DataFrame]) -> DataFrame:
    table, *others = parts
    for other in others:
        table = table.unionByName(other)
    return table
