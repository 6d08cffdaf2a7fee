"""Features: the state of windows, merged or computed, as functions from DataFrames to DataFrames.

A state is count, mean, m2 (sum of squared deviations from the mean), min and max. Two states merge
exactly (up to rounding) by the formula of Chan, Golub and LeVeque, "Updating formulae and a
pairwise algorithm for computing sample variances" (1979).
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f

from edge_etl_spark.columns import FIELD, STATE, STDDEV, WINDOW_START
from edge_etl_spark.document import TIMESTAMP
from edge_etl_spark.rows import matching


def window_start(seconds: int, time: str = TIMESTAMP) -> Column:
    """Return the beginning of the window of ``seconds`` that holds the row's timestamp."""
    micros = f.unix_micros(time)
    return f.timestamp_micros(micros - f.pmod(micros, f.lit(seconds * 1_000_000)))


def windows_of(rows: DataFrame, seconds: int, group_by: Sequence[str]) -> DataFrame:
    """Return the windows and groups in which ``rows`` lie, each once."""
    return rows.select(window_start(seconds).alias(WINDOW_START), *group_by).distinct()


def from_rows(
    rows: DataFrame, seconds: int, group_by: Sequence[str], numeric: Sequence[str]
) -> DataFrame:
    """Compute the state of every window, group and numeric field that has a value."""
    placed = rows.withColumn(WINDOW_START, window_start(seconds))
    states = placed.groupBy(WINDOW_START, *group_by).agg(
        *(_state_of(name).alias(f"@{name}") for name in numeric)
    )
    listed = f.array(
        *(
            f.struct(
                f.lit(name).alias(FIELD), *(f.col(f"@{name}")[part].alias(part) for part in STATE)
            )
            for name in numeric
        )
    )
    return states.select(WINDOW_START, *group_by, f.inline(listed)).where(f.col("count") > 0)


def _state_of(name: str) -> Column:
    value = f.col(name).cast("double")
    count = f.count(value)
    return f.struct(
        count.alias("count"),
        f.avg(value).alias("mean"),
        (f.var_pop(value) * count).alias("m2"),
        f.min(value).alias("min"),
        f.max(value).alias("max"),
    )


def merge(states: DataFrame, group_by: Sequence[str]) -> DataFrame:
    """Merge the states of the same window, group and field into one.

    There are as many as deliveries touched the window, so that a list of them is short; sorted, it
    gives the same rounding whatever the order in which Spark read it.
    """
    moments = f.struct("count", "mean", "m2")
    merged = states.groupBy(WINDOW_START, *group_by, FIELD).agg(
        _fold(f.array_sort(f.collect_list(moments))).alias("@moments"),
        f.min("min").alias("min"),
        f.max("max").alias("max"),
    )
    return merged.select(WINDOW_START, *group_by, FIELD, "@moments.*", "min", "max")


def coarser(states: DataFrame, seconds: int, group_by: Sequence[str]) -> DataFrame:
    """Return states under longer windows and fewer groups, in which `merge` makes them one."""
    placed = states.withColumn(WINDOW_START, window_start(seconds, WINDOW_START))
    return placed.select(WINDOW_START, *group_by, FIELD, *STATE)


def _fold(states: Column) -> Column:
    empty = f.struct(
        f.lit(0).cast("long").alias("count"), f.lit(0.0).alias("mean"), f.lit(0.0).alias("m2")
    )
    return f.aggregate(states, empty, _chan)


def _chan(a: Column, b: Column) -> Column:
    count = a["count"] + b["count"]
    delta = b["mean"] - a["mean"]
    return f.struct(
        count.alias("count"),
        (a["mean"] + delta * (b["count"] / count)).alias("mean"),
        (a["m2"] + b["m2"] + delta * delta * (a["count"] * (b["count"] / count))).alias("m2"),
    )


def recompute(
    merged: DataFrame,
    rows: DataFrame,
    windows: DataFrame,
    seconds: int,
    group_by: Sequence[str],
    numeric: Sequence[str],
) -> DataFrame:
    """Replace the merged states of ``windows`` by what the table's ``rows`` in them give."""
    place = [WINDOW_START, *group_by]
    placed = rows.withColumn(WINDOW_START, window_start(seconds))
    inside = matching(placed, windows, place, "left_semi").drop(WINDOW_START)
    kept = matching(merged, windows, place, "left_anti")
    return kept.unionByName(from_rows(inside, seconds, group_by, numeric))


def with_stddev(states: DataFrame, group_by: Sequence[str]) -> DataFrame:
    """Return the features of the table: the states and the sample standard deviation."""
    deviation = f.when(f.col("count") > 1, f.sqrt(f.col("m2") / (f.col("count") - 1)))
    return states.select(WINDOW_START, *group_by, FIELD, *STATE, deviation.alias(STDDEV))
