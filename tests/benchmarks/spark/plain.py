"""The same work in plain PySpark, as one writes it without this project.

``python -m tests.benchmarks.spark.plain first | clean RAW OUT | rewrite TABLE NEW OUT``
"""

import sys
from collections.abc import Callable

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

from tests.benchmarks.edge import LIMITS, NOT_BEFORE

KEY = ["sensor_id", "timestamp"]


def first(spark: SparkSession) -> None:
    """Run one task."""
    spark.range(1).count()


def clean(spark: SparkSession, raw: str, out: str) -> None:
    """Clean raw CSV, drop duplicates, and write rows and hourly features by day."""
    text = spark.read.option("header", "true").option("sep", ";").csv(f"{raw}/*/*.csv")
    time = f.try_to_timestamp("timestamp")
    rows = text.withColumn("timestamp", time).where(
        f.col("timestamp").isNotNull()
        & (f.col("timestamp") >= f.lit(NOT_BEFORE).cast("timestamp"))
        & f.col("sensor_id").isNotNull()
    )
    for name, (column, least, most) in LIMITS.items():
        value = f.expr(f"try_cast({column} as double)")
        wrong = f.col(column).isNotNull() & (value.isNull() | ~value.between(least, most))
        rows = rows.where(~wrong).withColumn(name, value)
    rows = rows.select("timestamp", "sensor_id", *LIMITS).dropDuplicates(KEY)
    _table(spark, rows, out)


def rewrite(spark: SparkSession, table: str, new: str, out: str) -> None:
    """Merge new rows into a table by writing it all again."""
    old = spark.read.parquet(table).drop("day")
    _table(spark, old.unionByName(spark.read.parquet(new)).dropDuplicates(KEY), out)


def _table(spark: SparkSession, rows: DataFrame, out: str) -> None:
    """Write rows and their hourly features by day."""
    _write(rows, "timestamp", f"{out}/rows")
    saved = spark.read.parquet(f"{out}/rows")
    parts = [
        saved.groupBy(f.date_trunc("hour", "timestamp").alias("hour"), "sensor_id")
        .agg(f.count(name), f.avg(name), f.stddev(name), f.min(name), f.max(name))
        .toDF("hour", "sensor_id", "count", "mean", "stddev", "min", "max")
        .withColumn("field", f.lit(name))
        for name in LIMITS
    ]
    features = parts[0]
    for part in parts[1:]:
        features = features.unionByName(part)
    _write(features, "hour", f"{out}/features")


def _write(rows: DataFrame, time: str, out: str) -> None:
    dated = rows.withColumn("day", f.to_date(time))
    dated.repartition("day").write.partitionBy("day").parquet(out)


def main(arguments: list[str]) -> None:
    """Run one task of this module in a stock session."""
    task, *paths = arguments
    builder = SparkSession.builder.master("local[2]").config("spark.driver.memory", "2g")
    tasks: dict[str, Callable[..., None]] = {"first": first, "clean": clean, "rewrite": rewrite}
    with builder.config("spark.sql.session.timeZone", "UTC").getOrCreate() as spark:
        tasks[task](spark, *paths)


if __name__ == "__main__":
    main(sys.argv[1:])
