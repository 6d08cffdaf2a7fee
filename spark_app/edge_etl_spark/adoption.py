"""Days whose files become parts of the table as they are: nothing of theirs is written again.

A file that a node delivered has each key once, is of one day, and is sorted by time, as those are
that Spark writes. So where no two files of a day can hold the same key there is nothing to merge.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as f

from edge_etl_spark import footers, rows
from edge_etl_spark.columns import row_schema
from edge_etl_spark.document import TIMESTAMP
from edge_etl_spark.documents import Field, TableFile
from edge_etl_spark.parts import SMALL_BYTES, RowFile, RowPart, days_of, serve_readers
from edge_etl_spark.publish import share

_FIRST: Final = "@first"
_LAST: Final = "@last"
_ROWS: Final = "@rows"
_MEETS: Final = "@meets"


@dataclass(frozen=True)
class Adopted:
    """Files of the new version that were there already."""

    files: tuple[TableFile, ...]
    days: frozenset[str]
    """The days of which they are all rows."""


def adopt(
    spark: SparkSession,
    parts: Sequence[RowPart],
    fields: Sequence[Field],
    key: Sequence[str],
    staging: Path,
    links: Path,
) -> Adopted:
    """Take the files of days that need no merge into a version that is staged.

    ``key`` has the timestamp, the files of the table have the columns ``fields``, and what a node
    delivered at once has the same columns in each file. ``links`` is a place for links to files.
    """
    alike = {
        folder: footers.has_columns(spark, str(path), fields)
        for folder, path in {file.path.parent: file.path for p in parts for file in p.new}.items()
    }
    candidates = {
        day: (new, old)
        for day, (new, old) in days_of(parts).items()
        if new and serve_readers([*new, *old]) and all(alike[file.path.parent] for file in new)
    }
    files = [file for new, old in candidates.values() for file in (*new, *old)]
    if not files:
        return Adopted((), frozenset())
    refused = _days_to_merge(spark, files, fields, key, links)
    adopted = {day: files for day, files in candidates.items() if day not in refused}
    return Adopted(
        tuple(file for new, old in adopted.values() for file in _taken(new, old, staging)),
        frozenset(adopted),
    )


def _days_to_merge(
    spark: SparkSession,
    files: Sequence[RowFile],
    fields: Sequence[Field],
    key: Sequence[str],
    links: Path,
) -> set[str]:
    """Return the days on which two files can share a key, or where one is not what it should be.

    Rows that are alike in the rest of the key share one only where the times from their first to
    their last in one file meet those in another. To look reads the columns of the key alone.
    """
    numbers = {file.path: number for number, file in enumerate(files)}
    table = rows.numbered(spark, row_schema(fields), numbers, links)
    if sum(file.bytes for file in files) <= SMALL_BYTES:
        table = table.coalesce(1)
    others = [name for name in key if name != TIMESTAMP]
    time = f.col(TIMESTAMP)
    spans = table.groupBy(rows.ORDER, *others).agg(
        f.min(time).alias(_FIRST), f.max(time).alias(_LAST), f.count("*").alias(_ROWS)
    )
    day = f.to_date(_FIRST)
    # Of spans in the order of their beginnings two meet only if two that are neighbours do.
    before = f.lag(_LAST).over(Window.partitionBy(day, *others).orderBy(_FIRST))
    found = (
        spans.withColumn(_MEETS, f.coalesce(before >= f.col(_FIRST), f.lit(False)))
        .groupBy(rows.ORDER, day.cast("string").alias("day"))
        .agg(
            f.sum(_ROWS).alias("rows"),
            f.max(f.to_date(_LAST)).cast("string").alias("last"),
            f.bool_or(_MEETS).alias("meets"),
        )
        .collect()
    )
    good = {
        row[rows.ORDER]
        for row in found
        if (file := files[row[rows.ORDER]])
        and (row["day"], row["last"], row["rows"], row["meets"])
        == (file.day, file.day, file.rows, False)
    }
    return {file.day for number, file in enumerate(files) if number not in good}


def _taken(new: Sequence[RowFile], old: Sequence[RowFile], staging: Path) -> Iterator[TableFile]:
    """Link a day's files into the version: those of the table by their names, the others anew."""
    for file, name in (
        *((file, file.path.name) for file in old),
        *((file, f"delivered-{uuid.uuid4().hex}.parquet") for file in new),
    ):
        path = f"rows/day={file.day}/{name}"
        share(file.path, staging / path)
        yield TableFile(path=path, rows=file.rows, bytes=file.bytes, sha256=file.sha256)
