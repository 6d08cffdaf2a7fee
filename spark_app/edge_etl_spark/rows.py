"""Rows: which of the delivered ones are new, as functions from DataFrames to DataFrames."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import reduce
from pathlib import Path
from typing import Final

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as f
from pyspark.sql.types import IntegerType, StructType

from edge_etl_spark.document import TIMESTAMP

# No field can have these names: a field's name holds no @.
ORDER: Final = "@order"
"""The number of a row's file in the order of deliveries; of rows of the table, one of these two."""
OF_TABLE: Final = -1
OF_OTHER_DAYS: Final = -2
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ROW: Final = "@row"
_NUMBER: Final = "@number"
_FILE: Final = "@file"
_LEVELS: Final = 4
"""A delivered file is at ``<run>/<node>/<attempt>/<file>``, which no escape can alter."""


def numbered(
    spark: SparkSession, schema: StructType, files: Mapping[Path, int], links: Path
) -> DataFrame:
    """Read nodes' files with the number of each, and a row's place in it.

    Spark takes the number from the path of a link, which costs nothing for each row.
    """
    named = []
    for path, number in files.items():
        link = links / f"{ORDER}={number}" / path.name
        if not link.is_symlink():
            link.parent.mkdir(parents=True)
            link.symlink_to(path.absolute())
        named.append(str(link))
    reader = spark.read.schema(StructType([*schema.fields]).add(ORDER, IntegerType()))
    delivered = reader.option("basePath", str(links)).parquet(*named)
    return delivered.withColumn(_ROW, f.col("_metadata.row_index"))


def numbered_by_name(
    spark: SparkSession, schema: StructType, files: Mapping[str, int]
) -> DataFrame:
    """Do the same where there are no links: each row looks up the number of its file.

    ``files`` are Spark's names of the files.
    """
    ends = [(_end(name), number) for name, number in files.items()]
    numbers = spark.createDataFrame(ends, f"`{_FILE}` string, `{ORDER}` int")
    path = f.substring_index("_metadata.file_path", "/", -_LEVELS)
    delivered = spark.read.schema(schema).parquet(*files).withColumns(
        {_FILE: path, _ROW: f.col("_metadata.row_index")}
    )  # fmt: skip
    known = delivered.join(f.broadcast(numbers), _FILE, "left")
    # A row without a number would go for one of a duplicate.
    number = f.coalesce(ORDER, f.raise_error(f.concat(f.lit("an unknown file: "), _FILE)))
    return known.withColumn(ORDER, number.cast("int")).drop(_FILE)


def _end(name: str) -> str:
    """Return run, node, attempt and file of a delivered file."""
    return "/".join(name.split("/")[-_LEVELS:])


def of_table(rows: DataFrame, order: int = OF_TABLE) -> DataFrame:
    """Add to rows of the table what `numbered` ones have."""
    return rows.withColumns({ORDER: f.lit(order), _ROW: f.lit(0).cast("long")})


def with_labels(
    delivered: DataFrame,
    columns: Iterable[str],
    nodes: Sequence[str],
    labels: Mapping[str, Mapping[str, str]],
) -> DataFrame:
    """Fill columns with each node's label; null where it has none.

    ``nodes`` are those of the numbered files.
    """
    number = f.col(ORDER) + 1
    for column in columns:
        known = (f.lit(labels.get(node, {}).get(column)).cast("string") for node in nodes)
        delivered = delivered.withColumn(column, f.element_at(f.array(*known), number))
    return delivered


def timed(rows: DataFrame) -> DataFrame:
    """Return rows of which Spark knows that their times are never null, as nodes' files say it.

    Spark forgets that as it reads; and there are readers who want all files of a table alike.
    """
    return rows.withColumn(TIMESTAMP, f.coalesce(TIMESTAMP, f.lit(_EPOCH)))


def ranked(rows: DataFrame, key: Sequence[str]) -> DataFrame:
    """Give the rows of each key numbers: the table's first, then in the order of their files.

    They are sorted by the key. Nulls in a key are equal to one another.
    """
    first = Window.partitionBy(*key).orderBy(ORDER, _ROW)
    return rows.withColumn(_NUMBER, f.row_number().over(first))


def kept(ranked: DataFrame) -> DataFrame:
    """Return the rows of the table, and of the others the first of each key."""
    is_first = (f.col(_NUMBER) == 1) & (f.col(ORDER) >= 0)
    return ranked.where((f.col(ORDER) == OF_TABLE) | is_first).drop(ORDER, _ROW, _NUMBER)


def repeated(ranked: DataFrame) -> DataFrame:
    """Return the delivered rows that are not kept."""
    is_repeated = (f.col(_NUMBER) > 1) & (f.col(ORDER) >= 0)
    return ranked.where(is_repeated).drop(ORDER, _ROW, _NUMBER)


def matching(left: DataFrame, right: DataFrame, columns: Sequence[str], how: str) -> DataFrame:
    """Join ``left_semi`` or ``left_anti`` on ``columns``, where null equals null.

    The right side's columns get other names first: both sides may come from the same files, and
    Spark could not tell their columns apart.
    """
    other = right.select(*(f.col(name).alias(f"@{name}") for name in columns))
    conditions = (f.col(name).eqNullSafe(f.col(f"@{name}")) for name in columns)
    return left.join(other, reduce(Column.__and__, conditions), how)
