"""Which fields of a node have values of other types than the schema says, from its rejected rows.

The manifest counts such rows but does not name the fields; each rejected row does in its detail,
such as ``pm10: '12,5' is not a double``.
"""

from collections.abc import Sequence
from typing import Final

from pyspark.sql import SparkSession
from pyspark.sql import functions as f

from edge_etl_spark import manifests
from edge_etl_spark.drift import INVALID
from edge_etl_spark.files import names
from edge_etl_spark.manifests import Delivery
from edge_etl_spark.results import Results

_DETAIL: Final = r"(?s)^([a-z_][a-z0-9_]*): (.*) is not a (string|double|long|boolean)$"
_SHOWN: Final = 3
_LONGEST: Final = 40


def named(spark: SparkSession, results: Results, deliveries: Sequence[Delivery]) -> str:
    """Name the fields of a node's deliveries, the most frequent first, each with an example."""
    for delivery in deliveries:
        results.fetch(delivery.paths)
        manifests.verify(delivery, results.measured)
    paths = [path for delivery in deliveries for _, path in delivery.files("rejected")]
    if not paths:
        return ""
    field, example, kind = (f.regexp_extract("detail", _DETAIL, group) for group in (1, 2, 3))
    found = (
        spark.read.parquet(*names(results, paths))
        .where((f.col("reason") == INVALID) & (field != ""))
        .groupBy(field.alias("field"), kind.alias("kind"))
        .agg(f.count("*").alias("rows"), f.min(example).alias("example"))
        .orderBy(f.desc("rows"), "field")
        .limit(_SHOWN)
        .collect()
    )
    return "; ".join(
        f"{row['field']} is no {row['kind']} in {row['rows']} of them, "
        f"such as {_short(row['example'])}"
        for row in found
    )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
