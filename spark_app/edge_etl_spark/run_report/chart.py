"""The geometry of a small chart: numbers in, the coordinates of an SVG out.

Nothing here draws; `report.html.jinja` puts the paths into elements, so that a style sheet can give
them the colours of a light or dark screen, or of paper.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise
from typing import Final

from edge_etl_spark.run_report.facts import Point

WIDTH: Final = 320.0
HEIGHT: Final = 112.0
LEFT: Final = 46.0
"""Room for the numbers of the axis."""
BOTTOM: Final = 18.0
TOP: Final = 6.0
RIGHT: Final = 4.0
_LABEL: Final = 34.0
"""Room for a day's name."""
_STEPS: Final = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Tick:
    """A mark of an axis: its place, and what stands beside it."""

    at: float
    label: str


@dataclass(frozen=True)
class Chart:
    """Paths: the mean as a line, the smallest to the largest value as a band, gaps as columns."""

    line: str
    """A window between two gaps is a line of no length, which round caps make a dot."""
    band: str
    gaps: str
    across: tuple[Tick, ...]
    up: tuple[Tick, ...]


@dataclass(frozen=True)
class Frame:
    """What the charts of a field have in common, so that they can be compared."""

    since: datetime
    until: datetime
    """The end of the last window."""
    window: timedelta
    low: float
    high: float

    def across(self, time: datetime) -> float:
        """Return where a time lies, from left to right."""
        share = (time - self.since) / (self.until - self.since)
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def up(self, value: float) -> float:
        """Return where a value lies, from the top; what is beyond the frame lies on its edge."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(HEIGHT - BOTTOM - share * (HEIGHT - BOTTOM - TOP), 1)

    def middle(self, point: Point) -> float:
        """Return where the middle of a point's window lies."""
        return self.across(point.window + self.window / 2)


def frame(
    all_points: Sequence[Point], since: datetime, until: datetime, window: timedelta
) -> Frame:
    """Return the frame of a field's charts, from the round number below to that above.

    Every mean lies in it; of the bands the few that reach far beyond all others are cut off, which
    would press everything else into a flat line.
    """
    low = min(min(p.mean for p in all_points), _inner([p.low for p in all_points], upper=False))
    high = max(max(p.mean for p in all_points), _inner([p.high for p in all_points], upper=True))
    if low == high:
        low, high = low - 1, high + 1
    step = _step(high - low)
    return Frame(since, until, window, math.floor(low / step) * step, math.ceil(high / step) * step)


def _inner(values: list[float], *, upper: bool) -> float:
    """Return the value beyond which only every fiftieth lies."""
    ordered = sorted(values)
    beyond = len(ordered) // 50
    return ordered[-1 - beyond] if upper else ordered[beyond]


def chart(points: Sequence[Point], frame: Frame) -> Chart:
    """Return the chart of one group's points, which are in the order of time."""
    line, band = [], []
    for run in _runs(points, frame.window):
        line.append("M" + "L".join(f"{frame.middle(p)} {frame.up(p.mean)}" for p in run))
        if len(run) == 1:
            line.append("h0")
        upper = [f"{frame.middle(p)} {frame.up(p.high)}" for p in run]
        lower = [f"{frame.middle(p)} {frame.up(p.low)}" for p in reversed(run)]
        band.append("M" + "L".join(upper + lower) + "Z")
    return Chart(
        line="".join(line),
        band="".join(band),
        gaps="".join(_column(frame, *gap) for gap in gaps(points, frame)),
        across=tuple(_days(frame)),
        up=tuple(_levels(frame)),
    )


def gaps(points: Sequence[Point], frame: Frame) -> Iterator[tuple[datetime, datetime]]:
    """Yield the times of the frame in which there is no window: since, until."""
    ends = [frame.since, *(point.window + frame.window for point in points)]
    starts = [*(point.window for point in points), frame.until]
    for since, until in zip(ends, starts, strict=True):
        if until > since:
            yield since, until


def _column(frame: Frame, since: datetime, until: datetime) -> str:
    left = frame.across(since)
    width, height = round(frame.across(until) - left, 1), HEIGHT - BOTTOM - TOP
    return f"M{left} {TOP}h{width}v{height}h-{width}z"


def _runs(points: Sequence[Point], window: timedelta) -> Iterator[list[Point]]:
    """Yield the points that follow one another without a gap."""
    number = 0
    numbers = [0]
    for before, after in pairwise(points):
        number += after.window - before.window > window
        numbers.append(number)
    for _, run in groupby(zip(numbers, points, strict=False), key=lambda pair: pair[0]):
        yield [point for _, point in run]


def _step(length: float, most: int = 3) -> float:
    """Return the round distance of which at most so many cover a length."""
    power = 10.0 ** math.floor(math.log10(length / most))
    return next(power * step for step in _STEPS if power * step * most >= length * 0.999)


def _levels(frame: Frame) -> Iterator[Tick]:
    step = _step(frame.high - frame.low)
    for number in range(math.ceil(frame.low / step), math.floor(frame.high / step) + 1):
        yield Tick(frame.up(number * step), f"{number * step:.6g}")


def _days(frame: Frame) -> Iterator[Tick]:
    """Yield ticks at midnights, at most five; where the frame has none, its two ends."""
    first = frame.since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = [first + timedelta(days=n) for n in range((frame.until - first).days + 1)]
    last = frame.until - _LABEL / (WIDTH - LEFT - RIGHT) * (frame.until - frame.since)
    inside = [day for day in days if frame.since <= day <= last]
    every = -(-len(inside) // 5) if inside else 1
    if len(inside) > 1:
        yield from (Tick(frame.across(day), f"{day:%d %b}") for day in inside[::every])
    else:
        yield from (
            Tick(frame.across(time), f"{time:%H:%M}") for time in (frame.since, frame.until)
        )
