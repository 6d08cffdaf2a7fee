"""The figures of a report: the charts of each field, and the same in words and numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from statistics import fmean
from typing import Final

from edge_etl_spark.run_report import chart as charts
from edge_etl_spark.run_report.facts import Features, FieldSeries, Point, Series
from edge_etl_spark.run_report.wording import cut, duration, value

_NAME: Final = 80
"""Characters of a group's name."""


@dataclass(frozen=True)
class Day:
    """A group's windows of one day, for the table that says what a chart shows."""

    day: str
    windows: int
    low: float
    mean: float
    high: float


@dataclass(frozen=True)
class Group:
    """The days of one group."""

    name: str
    days: tuple[Day, ...]


@dataclass(frozen=True)
class Figure:
    """A chart, and what it shows in words."""

    group: str
    words: str
    chart: charts.Chart


@dataclass(frozen=True)
class FieldCharts:
    """The charts of one field, and their numbers."""

    field: str
    unit: str
    figures: tuple[Figure, ...]
    groups: tuple[Group, ...]


def field_charts(features: Features | None) -> tuple[FieldCharts, ...]:
    """Return the charts of all fields, over the same time."""
    if features is None or not features.fields:
        return ()
    points = [
        point for shown in features.fields for series in shown.series for point in series.points
    ]
    window = timedelta(seconds=features.window_seconds)
    since = min(point.window for point in points)
    until = max(point.window for point in points) + window
    return tuple(_of_field(each, since, until, window) for each in features.fields)


def _of_field(
    shown: FieldSeries, since: datetime, until: datetime, window: timedelta
) -> FieldCharts:
    points = [point for series in shown.series for point in series.points]
    frame = charts.frame(points, since, until, window)
    return FieldCharts(
        field=shown.field,
        unit=shown.unit,
        figures=tuple(
            Figure(
                cut(series.group, _NAME), _words(series, frame), charts.chart(series.points, frame)
            )
            for series in shown.series
        ),
        groups=tuple(
            Group(cut(series.group, _NAME), tuple(_days(series))) for series in shown.series
        ),
    )


def _words(series: Series, frame: charts.Frame) -> str:
    """Say what a chart shows."""
    points = series.points
    expected = round((frame.until - frame.since) / frame.window)
    missing = list(charts.gaps(points, frame))
    longest = max((until - since for since, until in missing), default=timedelta())
    low, high = min(point.low for point in points), max(point.high for point in points)
    said = (
        f"mean {value(_mean(points))}, from {value(low)} to {value(high)}; "
        f"{len(points):,} of {expected:,} windows"
    )
    return f"{said}, longest gap {duration(longest.total_seconds())}" if missing else said


def _days(series: Series) -> list[Day]:
    return [
        Day(
            day=day,
            windows=len(points),
            low=min(point.low for point in points),
            mean=_mean(points),
            high=max(point.high for point in points),
        )
        for day, points in (
            (day, list(points))
            for day, points in groupby(series.points, key=lambda point: f"{point.window:%Y-%m-%d}")
        )
    ]


def _mean(points: Sequence[Point]) -> float:
    """Return the mean of all readings, not of the windows."""
    readings = sum(point.count for point in points)
    if not readings:
        return fmean(point.mean for point in points)
    return sum(point.mean * point.count for point in points) / readings
