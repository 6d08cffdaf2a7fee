"""What Parquet files say of themselves at their end, read without a Spark job."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from pyspark.sql import SparkSession

from edge_etl_spark.document import TIMESTAMP
from edge_etl_spark.documents import Field

_TYPES: Final = {
    "string": "binary {} (STRING)",
    "double": "double {}",
    "long": "int64 {}",
    "boolean": "boolean {}",
}


def count(spark: SparkSession, name: str) -> int:
    """Return how many rows are in a file, which has this name for Spark."""
    with _opened(spark, name) as reader:
        return int(reader.getRecordCount())


def has_columns(spark: SparkSession, name: str, fields: Sequence[Field]) -> bool:
    """Tell whether a file has a table's columns of rows: these, of these types, in this order.

    Whether one may hold nulls makes no difference to a reader.
    """
    with _opened(spark, name) as reader:
        text = str(reader.getFileMetaData().getSchema().toString())
    # message spark_schema {
    #   optional int64 timestamp (TIMESTAMP(MICROS,true));
    # }
    found = [line.split(maxsplit=1)[1].rstrip(";") for line in text.splitlines()[1:-1]]
    time = f"int64 {TIMESTAMP} (TIMESTAMP(MICROS,true))"
    return found == [time, *(_TYPES[field.type].format(field.name) for field in fields)]


@contextmanager
def _opened(spark: SparkSession, name: str) -> Iterator[Any]:
    java: Any = spark._jvm
    packages = java.org.apache
    conf = spark._jsc.hadoopConfiguration()
    source = packages.parquet.hadoop.util.HadoopInputFile.fromPath(
        packages.hadoop.fs.Path(name), conf
    )
    reader = packages.parquet.hadoop.ParquetFileReader.open(source)
    try:
        yield reader
    finally:
        reader.close()
