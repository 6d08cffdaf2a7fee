"""The same work in plain PySpark, as one writes it without this project.

``python -m tests.benchmarks.spark.plain first | clean RAW OUT | rewrite TABLE NEW OUT``
"""

import sys
from collections.abc import Callable, Sequence

from pyspark.sql import Column, DataFrame, SparkSession, Window
from pyspark.sql import functions as f

from tests.benchmarks.edge import LIMITS, NOT_BEFORE

KEY = ["sensor_id", "timestamp"]
QUANTILES = (50, 95)


def first(spark: SparkSession) -> None:
    """Run one task."""
    spark.range(1).count()


def clean(spark: SparkSession, raw: str, out: str) -> None:
    """Clean raw CSV, keep the first row of each key, and write rows and features by day."""
    read = spark.read.option("header", "true").option("sep", ";").csv(f"{raw}/*/*.csv")
    place = ("_metadata.file_path", "_metadata.file_block_start", f.monotonically_increasing_id())
    text = read.withColumn("place", f.struct(*place))
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
    first = f.row_number().over(Window.partitionBy(*KEY).orderBy("place"))
    rows = rows.select("timestamp", "sensor_id", *LIMITS, first.alias("number"))
    _table(spark, rows.where(f.col("number") == 1).drop("number"), out, QUANTILES)


def rewrite(spark: SparkSession, table: str, new: str, out: str) -> None:
    """Merge new rows into a table by writing it all again."""
    old = spark.read.parquet(table).drop("day")
    _table(spark, old.unionByName(spark.read.parquet(new)).dropDuplicates(KEY), out)


def _table(spark: SparkSession, rows: DataFrame, out: str, percents: Sequence[int] = ()) -> None:
    """Write rows and their hourly features by day."""
    _write(rows, "timestamp", f"{out}/rows")
    saved = spark.read.parquet(f"{out}/rows")
    parts = [
        saved.groupBy(f.date_trunc("hour", "timestamp").alias("window_start"), "sensor_id")
        .agg(
            f.count(name).alias("count"),
            f.avg(name).alias("mean"),
            f.stddev(name).alias("stddev"),
            f.min(name).alias("min"),
            f.max(name).alias("max"),
            *(_quantile(name, percent).alias(f"p{percent}") for percent in percents),
        )
        .where("count > 0")
        .withColumn("field", f.lit(name))
        for name in LIMITS
    ]
    features = parts[0]
    for part in parts[1:]:
        features = features.unionByName(part)
    _write(features, "window_start", f"{out}/features")


def _quantile(name: str, percent: int) -> Column:
    return f.expr(f"percentile_disc({percent / 100}) within group (order by {name})")


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
