"""Rows: which of the delivered ones are new, as functions from DataFrames to DataFrames."""

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Final

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as f

# No field can have these names: a field's name holds no @.
_ORDER: Final = "@order"
_NUMBER: Final = "@number"


def with_delivery_order(delivered: DataFrame) -> DataFrame:
    """Add to rows read from the nodes' files the place of each: run, node, file, row.

    There is one delivery for each run and node, so the path's end says which one a row came by.
    With spaces, which sort before all that a name can hold, ``pi-1`` comes before ``pi-1-a``.
    """
    delivery = f.substring_index("_metadata.file_path", "/", -4)
    order = f.struct(f.translate(delivery, "/", " "), "_metadata.row_index")
    return delivered.withColumn(_ORDER, order)


def with_labels(
    delivered: DataFrame, columns: Sequence[str], labels: Mapping[str, Mapping[str, str]]
) -> DataFrame:
    """Fill columns of what nodes delivered with each node's label; null where it has none.

    The node is in the file's path: ``<run>/<node>/<attempt>/<file>``.
    """
    node = f.element_at(f.split("_metadata.file_path", "/"), -3)
    for column in columns:
        known = {name: of[column] for name, of in labels.items() if column in of}
        value = (
            f.create_map(*(f.lit(part) for pair in sorted(known.items()) for part in pair))[node]
            if known
            else f.lit(None).cast("string")
        )
        delivered = delivered.withColumn(column, value)
    return delivered


def split_duplicates(
    ordered: DataFrame, known: DataFrame | None, key: Sequence[str]
) -> tuple[DataFrame, DataFrame]:
    """Split delivered rows into those that are new to the table, and the duplicates.

    Of rows with the same key the first in delivery order is kept, unless ``known`` (rows that are
    in the table already) holds the key. Nulls in a key are equal to one another.
    """
    first = Window.partitionBy(*key).orderBy(_ORDER)
    numbered = ordered.withColumn(_NUMBER, f.row_number().over(first)).drop(_ORDER)
    kept = numbered.where(f.col(_NUMBER) == 1).drop(_NUMBER)
    repeated = numbered.where(f.col(_NUMBER) > 1).drop(_NUMBER)
    if known is None:
        return kept, repeated
    return (
        matching(kept, known, key, "left_anti"),
        repeated.unionByName(matching(kept, known, key, "left_semi")),
    )


def matching(left: DataFrame, right: DataFrame, columns: Sequence[str], how: str) -> DataFrame:
    """Join ``left_semi`` or ``left_anti`` on ``columns``, where null equals null.

    The right side's columns get other names first: both sides may come from the same files, and
    Spark could not tell their columns apart.
    """
    other = right.select(*(f.col(name).alias(f"@{name}") for name in columns))
    conditions = (f.col(name).eqNullSafe(f.col(f"@{name}")) for name in columns)
    return left.join(other, reduce(Column.__and__, conditions), how)
