"""Which columns the features have: the state of each statistic, how it merges, what it says.

Every statistic but ``stddev`` and ``circular_mean`` is a part of the state itself. What a column
means, and how nodes compute it, is in ``docs/cleaning.md``.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

from pyspark.sql import Column
from pyspark.sql import functions as f
from pyspark.sql import types as t

from edge_etl_spark.document import TIMESTAMP
from edge_etl_spark.documents import Field

FIELD: Final = "field"
COUNT: Final = "count"
MOMENTS: Final = (COUNT, "mean", "m2")
STDDEV: Final = "stddev"
CIRCULAR_MEAN: Final = "circular_mean"
SKETCH: Final = "quantiles"
"""A KLL sketch of Apache DataSketches for doubles; Spark's ``kll_*_double`` functions read it."""
SKETCH_SIZE: Final = 200
"""The sketch's parameter k: of up to so many values it loses none."""
RANK_ERROR: Final = 0.0133 + 1 / (SKETCH_SIZE + 1)
"""How far the rank of a quantile of a merged sketch is off at most, as a share of the values.

The first part is DataSketches' bound for k = 200 (99 of 100 times), the second that of the node,
which makes a sketch of more than k values.
"""
_ENDS: Final = (("first", f.min), ("last", f.max))
_ANGLES: Final = (("sin", f.sin), ("cos", f.cos))


@dataclass(frozen=True)
class Statistics:
    """The statistics of a job."""

    names: tuple[str, ...]

    @property
    def percents(self) -> list[int]:
        """The quantiles that are asked for, ascending."""
        return sorted(int(name[1:]) for name in self.names if name[1:].isdecimal())

    @property
    def quantiles(self) -> list[str]:
        """The columns of the quantiles."""
        return [f"p{percent}" for percent in self.percents]

    def columns(self) -> list[t.StructField]:
        """Return the columns of the state."""
        columns = [_double(name) for name in ("mean", "m2", "min", "max", *self.quantiles)]
        columns.insert(0, t.StructField(COUNT, t.LongType()))
        if self.percents:
            columns.append(t.StructField(SKETCH, t.BinaryType()))
        for name, _ in self._ends():
            columns += [t.StructField(f"{name}_time", t.TimestampType()), _double(name)]
        columns += [_double(name) for name, _ in self._angles()]
        return columns

    def derived(self) -> list[t.StructField]:
        """Return the columns of the table that follow from the state."""
        return [_double(STDDEV), *([_double(CIRCULAR_MEAN)] if self._angles() else [])]

    def of_values(self, name: str, circular: float | None) -> Column:
        """Return a struct of the state of a field's values, computed from rows."""
        value = f.col(name).cast("double")
        count = f.count(value)
        parts = {
            COUNT: count,
            "mean": f.avg(value),
            "m2": f.var_pop(value) * count,
            "min": f.min(value),
            "max": f.max(value),
        }
        if self.percents:
            ordered = f.array_sort(f.collect_list(value))
            for percent, column in zip(self.percents, self.quantiles, strict=True):
                rank = ((count * percent + 99) / 100).cast("int")
                parts[column] = f.when(count > 0, f.element_at(ordered, rank))
            parts[SKETCH] = f.kll_sketch_agg_double(value, SKETCH_SIZE)
        for end, of in self._ends():
            at = of(f.when(value.isNotNull(), f.struct(TIMESTAMP, value.alias("value"))))
            parts |= {f"{end}_time": at[TIMESTAMP], end: at["value"]}
        for part, of_angle in self._angles():
            angle = value / f.lit(circular) * math.tau
            parts[part] = f.lit(None).cast("double") if circular is None else f.sum(of_angle(angle))
        return f.struct(*(column.alias(part) for part, column in parts.items()))

    def merged(self) -> dict[str, Column]:
        """Return the aggregates that merge states of one window, group and field, by their names.

        What a state lacks that was made for other statistics is unknown of all of them: null.
        """
        pieces = f.count(f.lit(1))

        def if_all(name: str, merged: Column) -> Column:
            return f.when(f.count(name) == pieces, merged)

        moments = _fold(f.array_sort(f.collect_list(f.struct(*MOMENTS))))
        parts = {name: moments[name] for name in MOMENTS}
        parts |= {"min": f.min("min"), "max": f.max("max")}
        for column in self.quantiles:
            # Only one that is alone is known exactly; ``estimated`` asks the sketch for others.
            parts[column] = f.when(pieces == 1, f.max(column))
        if self.percents:
            sketch = f.when(pieces == 1, f.first(SKETCH))
            parts[SKETCH] = if_all(SKETCH, sketch.otherwise(f.kll_merge_agg_double(SKETCH)))
        for end, of in self._ends():
            at = of(f.struct(f"{end}_time", end))
            parts |= {f"{end}_time": if_all(end, at[f"{end}_time"]), end: if_all(end, at[end])}
        parts |= {part: if_all(part, f.sum(part)) for part, _ in self._angles()}
        return parts

    def estimated(self) -> dict[str, Column]:
        """Return the quantiles that only the merged sketch knows, by their names."""
        size = f.kll_sketch_get_n_double(SKETCH)
        is_whole = f.col(SKETCH).isNotNull() & (size == f.col(COUNT)) & (size > 0)
        return {
            column: f.coalesce(
                column,
                f.when(is_whole, f.kll_sketch_get_quantile_double(SKETCH, f.lit(percent / 100))),
            )
            for percent, column in zip(self.percents, self.quantiles, strict=True)
        }

    def says_all(self) -> Column:
        """Tell whether a state knows all statistics but the sketch, as of all its rows."""
        ends = (name for name, _ in self._ends())
        known = (f.col(name).isNotNull() for name in (*self.quantiles, *ends))
        return reduce(Column.__and__, known, f.lit(True))

    def is_exact(self) -> Column:
        """Tell whether nothing of a merged state, before ``estimated``, is an estimate or unknown.

        The sketch of up to k values holds them all.
        """
        exact = f.lit(True)
        if self.percents:
            few = (f.col(COUNT) <= SKETCH_SIZE) & f.col(SKETCH).isNotNull()
            for column in self.quantiles:
                exact &= f.col(column).isNotNull() | few
        for end, _ in self._ends():
            exact &= f.col(end).isNotNull()
        return exact

    def finished(self, fields: Sequence[Field]) -> list[Column]:
        """Return the columns of the table: the state, and what follows from it."""
        notes: Mapping[str, Mapping[str, Any]] = {
            f"p{percent}": {"comment": _note(percent), "rankError": round(RANK_ERROR, 4)}
            for percent in self.percents
        }
        columns = [
            f.col(column.name).alias(column.name, metadata=dict(notes.get(column.name, {})))
            for column in self.columns()
        ]
        deviation = f.when(f.col(COUNT) > 1, f.sqrt(f.col("m2") / (f.col(COUNT) - 1)))
        columns.append(deviation.alias(STDDEV))
        if self._angles():
            columns.append(_circular_mean(fields).alias(CIRCULAR_MEAN))
        return columns

    def _ends(self) -> list[tuple[str, Any]]:
        return [(name, of) for name, of in _ENDS if name in self.names]

    def _angles(self) -> Sequence[tuple[str, Any]]:
        return _ANGLES if CIRCULAR_MEAN in self.names else ()


def _double(name: str) -> t.StructField:
    return t.StructField(name, t.DoubleType())


def _note(percent: int) -> str:
    return (
        f"the least value at or below which {percent} % of the values lie; exact of up to "
        f"{SKETCH_SIZE} values, where one delivery holds them all, and where rows are shipped; "
        f"otherwise its rank is off by at most {RANK_ERROR:.4f} of the values"
    )


def _circular_mean(fields: Sequence[Field]) -> Column:
    period = f.coalesce(
        f.lit(None).cast("double"),
        *(f.when(f.col(FIELD) == each.name, f.lit(each.circular)) for each in fields
          if each.circular is not None),
    )  # fmt: skip
    return f.pmod(f.atan2("sin", "cos") / math.tau, f.lit(1.0)) * period


def _fold(states: Column) -> Column:
    """Merge moments, which sorted give the same rounding in whatever order Spark read them."""
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
