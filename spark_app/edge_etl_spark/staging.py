"""The Spark work of one aggregation: from a plan to the new version's files in staging."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f
from pyspark.sql.types import StructType

from edge_etl_spark import application as own
from edge_etl_spark import features, rows
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
from edge_etl_spark.logs import progress
from edge_etl_spark.manifests import measure
from edge_etl_spark.plan import FEATURES, ROWS, MergePlan, States, day_of
from edge_etl_spark.statistics import FIELD, Statistics
from edge_etl_spark.windows import window_seconds

SMALL_BYTES: Final = 2 * 1024 * 1024
"""Compressed Parquet that one task does sooner than several: about 300,000 readings."""


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

    def write_application(self, application: Application) -> tuple[TableFile, ...]:
        """Write what the person's own aggregation makes of the version, which is complete else."""
        progress("application", f"running {application.name}")
        own.run(
            application,
            self.spark,
            self.staging,
            row_schema(self.plan.fields),
            table_feature_schema(
                self.plan.fields, self.document.group_by, self._windows.statistics
            ),
        )
        return tuple(self.listed(self.staging / own.TABLE))

    def write(self) -> Staged:
        """Write the touched days of rows and features; return what was written."""
        row_files = self._write_rows()
        added = sum(file.rows for file in row_files) - self.plan.rows_touched
        duplicates = self.plan.rows_delivered - added
        if added < 0 or duplicates < 0:
            raise AggregationError(
                RESULTS_CORRUPT,
                f"{self.plan.rows_delivered} rows were delivered by the manifests' count, but "
                f"{added} were added to the table; a file holds other rows than its manifest says",
            )
        feature_files = self._write_features(bool(duplicates))
        return Staged(row_files + feature_files, added, duplicates)

    def _write_rows(self) -> tuple[TableFile, ...]:
        if not self.plan.row_days:
            return ()
        progress("rows", "merging the rows", rows=self.plan.rows_delivered)
        parts = [self._read_rows(self.plan.old_rows)]
        if self.plan.new_rows:
            parts.append(self._split_duplicates()[0])
        table = _union([part for part in parts if part is not None])
        return self._write(ROWS, table, TIMESTAMP, [TIMESTAMP, *self.document.key])

    def _split_duplicates(self) -> tuple[DataFrame, DataFrame]:
        delivered = self.spark.read.schema(row_schema(self.plan.fields)).parquet(
            *map(str, self.plan.new_rows)
        )
        ordered = rows.with_delivery_order(self._labelled(delivered))
        if self._small:
            ordered = ordered.coalesce(1)
        known = self._read_rows(self.plan.old_key_rows)
        return rows.split_duplicates(ordered, known, self.document.key)

    def _write_features(self, duplicates: bool) -> tuple[TableFile, ...]:
        if not self.plan.feature_days:
            return ()
        progress("features", "merging the features", days=len(self.plan.feature_days))
        states = self._states(duplicates)
        group_by = self.document.group_by
        table = features.finished(states, self._windows)
        return self._write(FEATURES, table, WINDOW_START, [WINDOW_START, *group_by, FIELD])

    def _states(self, duplicates: bool) -> DataFrame:
        windows = self._windows
        if self.plan.features_from_rows:
            states = features.from_rows(self._table_rows(), windows)
            start_day = f.date_format(WINDOW_START, "yyyy-MM-dd")
            return states.where(start_day.isin(*sorted(self.plan.feature_days)))
        schema = feature_schema(windows.fields, windows.group_by, windows.statistics)
        old = self._read(self.plan.old_features, schema)
        new = (self._delivered_states(files) for files in self.plan.new_features)
        states = _union([old.select(*schema.names), *new])
        merged = features.merge(states.coalesce(1) if self._small else states, windows)
        if not self.plan.recompute_duplicates:
            return merged
        places = features.inexact(merged, windows) if windows.statistics.percents else None
        if duplicates:
            removed = self._split_duplicates()[1]
            repeated = features.windows_of(removed, windows.seconds, windows.group_by)
            places = places.union(repeated).distinct() if places else repeated
        if places is None:
            return merged
        return features.recompute(merged, self._table_rows(), places, windows)

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
        delivered = self.spark.read.schema(schema).parquet(*map(str, files.paths))
        return features.coarser(self._labelled(delivered), windows)

    def _labelled(self, delivered: DataFrame) -> DataFrame:
        return rows.with_labels(delivered, self.document.label_columns, self.document.node_labels)

    def _table_rows(self) -> DataFrame:
        """Return the new version's rows in all windows of the feature days."""
        staged = sorted((self.staging / ROWS).rglob("*.parquet"))
        schema = row_schema(self.plan.fields)
        return self._read((*staged, *self.plan.old_window_rows), schema)

    def _read_rows(self, paths: Sequence[Path]) -> DataFrame | None:
        return self._read(paths, row_schema(self.plan.fields)) if paths else None

    def _read(self, paths: Sequence[Path], schema: StructType) -> DataFrame:
        if not paths:
            return self.spark.createDataFrame([], schema)
        table = self.spark.read.schema(schema).parquet(*map(str, paths))
        return table.coalesce(1) if self._small else table

    @property
    def _small(self) -> bool:
        """Whether one task does all: with one partition nothing is shuffled, and no task waits."""
        return self.plan.bytes_read <= SMALL_BYTES

    def _write(
        self, kind: str, table: DataFrame, time: str, order: Sequence[str]
    ) -> tuple[TableFile, ...]:
        """Write one file for each day (more for a large day), sorted, and list the files."""
        target = self.staging / kind
        dated = table.withColumn(DAY, f.date_format(time, "yyyy-MM-dd"))
        # Adaptive execution splits a large day and lets small days share a task.
        balanced = dated.coalesce(1) if self._small else dated.hint("rebalance", f.col(DAY))
        ordered = balanced.sortWithinPartitions(DAY, *dict.fromkeys(order))
        ordered.write.partitionBy(DAY).parquet(str(target))
        files = tuple(self.listed(target))
        planned = self.plan.row_days if kind == ROWS else self.plan.feature_days
        if stray := {day_of(file) for file in files} - planned:
            raise AggregationError(
                RESULTS_CORRUPT,
                f"the delivered {kind} hold the day {min(stray)}, which no manifest names",
            )
        return files

    def listed(self, target: Path) -> Iterator[TableFile]:
        """Count the rows of what was really written, by the files' footers: no Spark job."""
        java: Any = self.spark._jvm
        packages = java.org.apache
        conf = self.spark._jsc.hadoopConfiguration()
        for path in sorted(target.rglob("*.parquet")):
            source = packages.parquet.hadoop.util.HadoopInputFile.fromPath(
                packages.hadoop.fs.Path(str(path)), conf
            )
            reader = packages.parquet.hadoop.ParquetFileReader.open(source)
            count = reader.getRecordCount()
            reader.close()
            relative = path.relative_to(self.staging).as_posix()
            size, sha256 = measure(path)
            yield TableFile(path=relative, rows=count, bytes=size, sha256=sha256)


def _union(parts: Sequence[DataFrame]) -> DataFrame:
    table, *others = parts
    for other in others:
        table = table.unionByName(other)
    return table
