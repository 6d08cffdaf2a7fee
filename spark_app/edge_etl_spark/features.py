"""Features: the state of windows, merged or computed, as functions from DataFrames to DataFrames.

A state is count, mean, m2 (sum of squared deviations from the mean), min, max, and what else the
job's statistics need (``statistics.py``). Two states merge exactly (up to rounding) by the formula
of Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for computing sample
variances" (1979).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as f

from edge_etl_spark.columns import WINDOW_START
from edge_etl_spark.document import TIMESTAMP
from edge_etl_spark.documents import Field
from edge_etl_spark.rows import matching
from edge_etl_spark.statistics import FIELD, Statistics

_IS_EXACT = "@exact"


@dataclass(frozen=True)
class Windows:
    """The features of a table: how long its windows are (seconds), and what is told of them."""

    seconds: int
    group_by: tuple[str, ...]
    fields: tuple[Field, ...]
    """All fields; features are of those that are numbers."""
    statistics: Statistics

    @property
    def place(self) -> tuple[str, ...]:
        """The columns that name a window and a group."""
        return (WINDOW_START, *self.group_by)

    @property
    def numeric(self) -> list[Field]:
        """The fields that have features."""
        return [field for field in self.fields if field.type in {"double", "long"}]


def window_start(seconds: int, time: str = TIMESTAMP) -> Column:
    """Return the beginning of the window of ``seconds`` that holds the row's timestamp."""
    micros = f.unix_micros(time)
    return f.timestamp_micros(micros - f.pmod(micros, f.lit(seconds * 1_000_000)))


def windows_of(rows: DataFrame, seconds: int, group_by: Sequence[str]) -> DataFrame:
    """Return the windows and groups in which ``rows`` lie, each once."""
    return rows.select(window_start(seconds).alias(WINDOW_START), *group_by).distinct()


def from_rows(rows: DataFrame, windows: Windows) -> DataFrame:
    """Compute the state of every window, group and numeric field that has a value."""
    placed = rows.withColumn(WINDOW_START, window_start(windows.seconds))
    statistics = windows.statistics
    states = placed.groupBy(*windows.place).agg(
        *(
            statistics.of_values(field.name, field.circular).alias(f"@{field.name}")
            for field in windows.numeric
        )
    )
    listed = f.array(
        *(
            f.struct(
                f.lit(field.name).alias(FIELD),
                *(
                    f.col(f"@{field.name}")[part.name].alias(part.name)
                    for part in statistics.columns()
                ),
            )
            for field in windows.numeric
        )
    )
    return states.select(*windows.place, f.inline(listed)).where(f.col("count") > 0)


def merge(states: DataFrame, windows: Windows) -> DataFrame:
    """Merge the states of the same window, group and field into one.

    There are as many as deliveries touched the window, so that a list of them is short.
    """
    merged = states.groupBy(*windows.place, FIELD).agg(
        *(column.alias(name) for name, column in windows.statistics.merged().items())
    )
    exact = merged.withColumn(_IS_EXACT, windows.statistics.is_exact())
    return exact.withColumns(windows.statistics.estimated())


def unmerged(states: DataFrame, windows: Windows) -> bool:
    """Tell whether `merge` would change nothing: no two states are of the same, and none lacks any.

    So it is where each node has its own groups. To look reads few columns and no sketch.
    """
    numbers = states.groupBy(*windows.place, FIELD).agg(
        f.count(f.lit(1)).alias("@pieces"), f.min(windows.statistics.says_all()).alias("@all")
    )
    return numbers.where((f.col("@pieces") > 1) | ~f.col("@all")).isEmpty()


def coarser(states: DataFrame, windows: Windows) -> DataFrame:
    """Return states under longer windows and fewer groups, in which `merge` makes them one."""
    placed = states.withColumn(WINDOW_START, window_start(windows.seconds, WINDOW_START))
    own = (column.name for column in windows.statistics.columns())
    return placed.select(*windows.place, FIELD, *own)


def inexact(merged: DataFrame, windows: Windows) -> DataFrame:
    """Return the windows and groups of which a merged state holds an estimate, each once."""
    return merged.where(~f.col(_IS_EXACT)).select(*windows.place).distinct()


def recompute(merged: DataFrame, rows: DataFrame, places: DataFrame, windows: Windows) -> DataFrame:
    """Replace the merged states of ``places`` by what the table's ``rows`` in them give."""
    placed = rows.withColumn(WINDOW_START, window_start(windows.seconds))
    inside = matching(placed, places, windows.place, "left_semi").drop(WINDOW_START)
    kept = matching(merged.drop(_IS_EXACT), places, windows.place, "left_anti")
    return kept.unionByName(from_rows(inside, windows))


def finished(states: DataFrame, windows: Windows) -> DataFrame:
    """Return the features of the table: the states, and what follows from them."""
    columns = windows.statistics.finished(windows.fields)
    return states.select(*windows.place, FIELD, *columns)
