"""Statistics of windows in a form that can be merged: count, mean, m2, min, max.

``m2`` is the sum of squared deviations from the mean; two states merge without loss (Chan, Golub
and LeVeque, 1979), and the sample variance is ``m2 / (count - 1)``.
"""

import math
from array import array
from collections.abc import Iterator, Sequence

from edge_etl_job.documents import JobDocument
from edge_etl_job.durations import seconds
from edge_etl_job.engine_python.values import Value

Feature = tuple[Value, ...]
"""window_start in microseconds, the group's values, field, count, mean, m2, min, max."""


class Windows:
    """Collects the values of one window at a time; the rows must come in the order of time.

    The values of the open window are in memory, 8 bytes each, so that mean and m2 are exact to
    the last digit and do not depend on the order of the rows.
    """

    def __init__(self, job: JobDocument) -> None:
        self._width = seconds(job.features.window) * 1_000_000
        position = {field.name: at for at, field in enumerate(job.schema.fields, start=1)}
        self._group = [position[name] for name in job.features.group_by]
        self._fields = [
            (field.name, position[field.name])
            for field in job.schema.fields
            if field.type in ("double", "long")
        ]
        self._end: int | None = None
        self._values: dict[tuple[Value, ...], list[array[float]]] = {}

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
        for values, (_, at) in zip(arrays, self._fields, strict=True):
            if (value := row[at]) is not None:
                values.append(value)  # type: ignore[arg-type]  # the column is numeric
        return closed

    def close(self) -> list[Feature]:
        """Return the features of the open window, and close it."""
        closed = list(self._features())
        self._values.clear()
        self._end = None
        return closed

    def _features(self) -> Iterator[Feature]:
        if self._end is None:
            return
        start = self._end - self._width
        # None sorts before every value of its column.
        for group in sorted(self._values, key=lambda each: [(v is not None, v) for v in each]):
            for values, (field, _) in zip(self._values[group], self._fields, strict=True):
                if values:
                    yield (start, *group, field, *state(values))


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
