"""Statistics of windows in a form that can be merged: count, mean, m2, min, max, and more.

``m2`` is the sum of squared deviations from the mean; two states merge without loss (Chan, Golub
and LeVeque, 1979), and the sample variance is ``m2 / (count - 1)``. ``quantiles`` is a sketch; a
circular mean is the angle of the sums ``sin`` and ``cos``.
"""

import math
from array import array
from collections.abc import Iterator, Sequence

from edge_etl_job.documents import Features, Field, JobDocument
from edge_etl_job.durations import seconds
from edge_etl_job.engine_python.kll import sketch
from edge_etl_job.engine_python.values import Value

Feature = tuple[Value | bytes, ...]
"""window_start in microseconds, the group's values, and the columns of ``feature_columns``."""


class Windows:
    """Collects the values of one window at a time; the rows must come in the order of time.

    The values of the open window are in memory, 8 bytes each, so that mean and m2 are exact to
    the last digit and do not depend on the order of the rows.
    """

    def __init__(self, job: JobDocument) -> None:
        self._width = seconds(job.features.window) * 1_000_000
        self._features = job.features
        position = {field.name: at for at, field in enumerate(job.schema.fields, start=1)}
        self._group = [position[name] for name in job.features.group_by]
        self._fields = [
            (field, position[field.name]) for field in job.schema.fields if field.is_number
        ]
        self._has_times = not {"first", "last"}.isdisjoint(job.features.statistics)
        self._end: int | None = None
        self._values: dict[tuple[Value, ...], list[array[float]]] = {}
        self._times: dict[tuple[Value, ...], list[array[int]]] = {}

    def add(self, time: int, row: Sequence[Value]) -> list[Feature]:
        """Take a row; return the features of the window that it closes."""
        closed: list[Feature] = []
        if self._end is None or time >= self._end:
            closed = self.close()
            self._end = (time // self._width + 1) * self._width
        group = tuple([row[at] for at in self._group])
        arrays = self._values.get(group)
        if arrays is None:
            arrays = self._values[group] = [array("d") for _ in self._fields]
            self._times[group] = [array("q") for _ in self._fields]
        for values, times, (_, at) in zip(arrays, self._times[group], self._fields, strict=True):
            if (value := row[at]) is not None:
                values.append(value)  # type: ignore[arg-type]  # the column is numeric
                if self._has_times:
                    times.append(time)
        return closed

    def close(self) -> list[Feature]:
        """Return the features of the open window, and close it."""
        closed = list(self._summaries())
        self._values.clear()
        self._times.clear()
        self._end = None
        return closed

    def _summaries(self) -> Iterator[Feature]:
        if self._end is None:
            return
        start = self._end - self._width
        # None sorts before every value of its column.
        for group in sorted(self._values, key=lambda each: [(v is not None, v) for v in each]):
            for values, times, (field, _) in zip(
                self._values[group], self._times[group], self._fields, strict=True
            ):
                if values:
                    summary = summarized(self._features, field, values, times)
                    yield (start, *group, field.name, *summary)


def summarized(
    features: Features, field: Field, values: Sequence[float], times: Sequence[int]
) -> Iterator[Value | bytes]:
    """Yield what is behind the field's name, in the order of ``feature_columns``."""
    yield from state(values)
    if features.quantiles:
        # Of the two zeros the negative one is the less.
        order = sorted(values, key=lambda value: (value, math.copysign(1, value)))
        for percent in features.quantiles:
            yield order[-(-len(order) * percent // 100) - 1]
        yield sketch(order)
    # Of values of the same time the least is the first and the greatest the last one.
    for name, end in (("first", min), ("last", max)):
        if name in features.statistics:
            yield from end(zip(times, values, strict=True))
    if "circular_mean" in features.statistics:
        for of_angle in (math.sin, math.cos):
            period = field.circular
            yield (
                None
                if period is None
                else math.fsum(of_angle(value / period * math.tau) for value in values)
            )


def state(values: Sequence[float]) -> tuple[int, float, float, float, float]:
    """Return count, mean, m2, min and max; the sums are exactly rounded."""
    count = len(values)
    try:
        mean = math.fsum(values) / count
    except OverflowError:  # the sum is beyond a double where the mean is not
        mean = math.fsum(value / count for value in values)
    try:
        m2 = math.fsum((value - mean) * (value - mean) for value in values)
    except OverflowError:
        m2 = math.inf
    return count, mean, m2, min(values), max(values)
