"""What a report shows of the Parquet files: rejected lines, and the latest windows of the table.

Both are bounded before anything is brought to the driver, however many nodes and groups there are.
"""

import math
import operator
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import reduce
from pathlib import Path
from typing import Any, Final

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as f

from edge_etl_spark.columns import WINDOW_START, feature_schema
from edge_etl_spark.documents import TableFile
from edge_etl_spark.files import names
from edge_etl_spark.parts import SMALL_BYTES
from edge_etl_spark.plan import FEATURES, day_of
from edge_etl_spark.results import Results
from edge_etl_spark.run_report.facts import Example, Features, FieldSeries, Point, Series
from edge_etl_spark.statistics import FIELD, Statistics
from edge_etl_spark.versions import Version
from edge_etl_spark.windows import window_seconds

CHARTS: Final = 24
WINDOWS: Final = 336
"""Two weeks of hours; with `CHARTS` what keeps a report below a megabyte."""
_RAW: Final = 1000
"""Characters of a line that are brought to the driver."""
_REJECTED: Final = "file string, line long, reason string, detail string, raw string"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY: Final = 86_400


def examples(spark: SparkSession, results: Results, files: Sequence[Path]) -> tuple[Example, ...]:
    """Return rejected lines of the files, of each file up to three for each reason."""
    if not files:
        return ()
    rejected = spark.read.schema(_REJECTED).parquet(*names(results, files)).coalesce(1)
    line = f.struct("file", "line", "detail", f.substring("raw", 1, _RAW).alias("raw"))
    place = f.struct("file", "line")
    found = (
        rejected.groupBy("reason", f.col("_metadata.file_path").alias("path"))
        .agg(f.array(f.min_by(line, place), f.max_by(line, place), f.first(line)).alias("lines"))
        .collect()
    )
    return tuple(
        Example(
            node=each.path.split("/")[-3],
            file=own.file or "",
            line=own.line or 0,
            reason=each.reason,
            detail=own.detail or "",
            raw=own.raw or "",
        )
        for each in sorted(found, key=lambda row: (row.reason, row.path))
        for own in sorted(set(each.lines), key=lambda row: (row.file or "", row.line or 0))
    )


def features(spark: SparkSession, results: Results, version: Version) -> Features | None:
    """Return the latest windows of a version, of the first groups by name."""
    manifest = version.manifest
    seconds = window_seconds(manifest.window)
    files = _latest([file for file in manifest.files if file.path.startswith(FEATURES)], seconds)
    if not files:
        return None
    statistics = Statistics(manifest.statistics)
    schema = feature_schema(manifest.fields, manifest.group_by, statistics)
    paths = [version.directory / file.path for file in files]
    results.fetch(paths)
    table = spark.read.schema(schema).parquet(*names(results, paths))
    if sum(file.bytes for file in files) <= SMALL_BYTES:
        table = table.coalesce(1)  # nothing is shuffled then
    pairs = (
        table.groupBy(*manifest.group_by, FIELD)
        .agg(f.unix_seconds(f.max(WINDOW_START)).alias("last"))
        .collect()
    )
    known = [field.name for field in manifest.fields if any(field.name == p.field for p in pairs)]
    every = sorted({tuple(pair[: len(manifest.group_by)]) for pair in pairs}, key=_by_name)
    fields = known[:CHARTS]
    groups = _fitting(every, [tuple(pair[:-1]) for pair in pairs if pair.field in fields])
    since = max(pair.last for pair in pairs) - (WINDOWS - 1) * seconds
    found = _windows(table, manifest.group_by, groups, since)
    units = {field.name: field.unit or "" for field in manifest.fields}
    shown = [
        FieldSeries(name, units[name], series)
        for name in fields
        if (series := _series(found, name, manifest.group_by, groups))
    ]
    return Features(
        window_seconds=seconds,
        fields=tuple(shown),
        groups=len(every),
        groups_shown=len(groups),
        fields_left_out=tuple(known[CHARTS:]),
    )


def _latest(files: Sequence[TableFile], seconds: int) -> list[TableFile]:
    """Return the files of the last days, which hold as many windows as are shown."""
    if not files:
        return []
    days = math.ceil(WINDOWS * seconds / _DAY) + 1
    last = max(map(day_of, files))
    first = f"{datetime.fromisoformat(last) - timedelta(days=days):%Y-%m-%d}"
    return [file for file in files if day_of(file) >= first]


def _fitting(
    every: Sequence[tuple[Any, ...]], pairs: Sequence[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """Return the first groups whose fields have room; a group is shown whole, one at least."""
    groups: list[tuple[Any, ...]] = []
    charts = 0
    for group in every:
        charts += sum(pair[:-1] == group for pair in pairs)
        if charts > CHARTS and groups:
            break
        groups.append(group)
    return groups


def _windows(
    table: DataFrame, group_by: Sequence[str], groups: Sequence[tuple[Any, ...]], since: int
) -> list[Any]:
    wanted = f.unix_seconds(WINDOW_START) >= since
    if group_by:
        wanted &= reduce(operator.or_, (_is(group_by, group) for group in groups))
    window = f.unix_seconds(WINDOW_START).alias("window")
    columns = map(f.col, (*group_by, FIELD, "count", "mean", "min", "max"))
    return list(table.where(wanted).select(*columns, window).collect())


def _is(group_by: Sequence[str], group: Sequence[Any]) -> Column:
    same = (
        f.col(name).eqNullSafe(f.lit(value)) for name, value in zip(group_by, group, strict=True)
    )
    return reduce(operator.and_, same)


def _series(
    found: Sequence[Any], field: str, group_by: Sequence[str], groups: Sequence[tuple[Any, ...]]
) -> tuple[Series, ...]:
    points: Mapping[tuple[Any, ...], list[Point]] = {group: [] for group in groups}
    for row in found:
        if row[FIELD] == field and all(map(math.isfinite, (row["mean"], row["min"], row["max"]))):
            window = _EPOCH + timedelta(seconds=row["window"])
            points[tuple(row[: len(group_by)])].append(
                Point(window, row["count"], row["mean"], row["min"], row["max"])
            )
    return tuple(
        Series(_name(group_by, group), tuple(sorted(own, key=lambda point: point.window)))
        for group, own in points.items()
        if own
    )


def _name(group_by: Sequence[str], group: Sequence[Any]) -> str:
    if not group_by:
        return "all Pis"
    return ", ".join(
        f"{name} {'(none)' if value is None else value}"
        for name, value in zip(group_by, group, strict=True)
    )


def _by_name(group: Sequence[Any]) -> list[tuple[bool, str]]:
    return [(value is None, str(value)) for value in group]
