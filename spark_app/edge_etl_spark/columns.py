"""The columns of the rows and of the features, as Spark reads and writes them."""

from collections.abc import Sequence
from typing import Final

from pyspark.sql import types as t

from edge_etl_spark.document import TIMESTAMP
from edge_etl_spark.documents import Field
from edge_etl_spark.statistics import FIELD, Statistics

WINDOW_START: Final = "window_start"
DAY: Final = "day"
"""The partition of the table; only in paths, never in a file."""

_TYPES: Final[dict[str, t.DataType]] = {
    "string": t.StringType(),
    "double": t.DoubleType(),
    "long": t.LongType(),
    "boolean": t.BooleanType(),
}


def row_schema(fields: Sequence[Field]) -> t.StructType:
    """Return the columns of the rows: the timestamp, then the fields in their order."""
    columns = [t.StructField(field.name, _TYPES[field.type]) for field in fields]
    return t.StructType([t.StructField(TIMESTAMP, t.TimestampType()), *columns])


def feature_schema(
    fields: Sequence[Field], group_by: Sequence[str], statistics: Statistics
) -> t.StructType:
    """Return the columns of the features that nodes deliver: window, groups, field, state."""
    types = {field.name: _TYPES[field.type] for field in fields}
    return t.StructType(
        [
            t.StructField(WINDOW_START, t.TimestampType()),
            *(t.StructField(name, types[name]) for name in group_by),
            t.StructField(FIELD, t.StringType()),
            *statistics.columns(),
        ]
    )


def table_feature_schema(
    fields: Sequence[Field], group_by: Sequence[str], statistics: Statistics
) -> t.StructType:
    """Return the columns of the table's features."""
    states = feature_schema(fields, group_by, statistics)
    return t.StructType([*states.fields, *statistics.derived()])
