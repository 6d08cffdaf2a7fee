"""Polars, day by day."""

from collections import Counter
from pathlib import Path

import polars as pl

from tests.benchmarks.edge import FIELDS, LIMITS
from tests.benchmarks.peers.common import (
    COLUMNS,
    NOT_BEFORE,
    PERCENT,
    TIME,
    days_done,
    main,
    rejections,
)

KEY = ["timestamp", "sensor_id"]


def read(path: Path) -> pl.DataFrame:
    """Return the rows of a file with the reason for which each is rejected, null for clean ones."""
    raw = pl.read_csv(
        path,
        separator=";",
        schema=dict.fromkeys(COLUMNS, pl.String),
        empty_string_is_null=False,
        quote_char=None,
    )
    time = pl.col("timestamp").str.to_datetime(TIME, time_unit="us", strict=False)
    numbers = [
        pl.col(column).cast(pl.Float64, strict=False).alias(name)
        for name, (column, _, _) in LIMITS.items()
    ]
    typed = raw.lazy().select(
        time.alias("time"),
        pl.col("sensor_id"),
        *numbers,
        (pl.col("timestamp") == "").alias("no_time"),
        *((pl.col(LIMITS[name][0]) != "").alias(f"has_{name}") for name in FIELDS),
    )
    reason = (
        pl.when(pl.col("no_time"))
        .then(pl.lit("missing_timestamp"))
        .when(pl.col("time").is_null())
        .then(pl.lit("invalid_timestamp"))
        .when(pl.col("time") < pl.lit(NOT_BEFORE).str.to_datetime(time_unit="us"))
        .then(pl.lit("timestamp_too_old"))
        .when(pl.col("sensor_id") == "")
        .then(pl.lit("missing_key"))
    )
    for name, (_, least, most) in LIMITS.items():
        invalid, outside = rejections(name)
        reason = (
            reason.when(pl.col(f"has_{name}") & pl.col(name).is_null())
            .then(pl.lit(invalid))
            .when(~pl.col(name).is_between(least, most))
            .then(pl.lit(outside))
        )
    return typed.select(
        pl.col("time").alias("timestamp"), "sensor_id", *FIELDS, reason.alias("reason")
    ).collect()


def quantile(name: str, percent: int) -> pl.Expr:
    """Return the value of that rank among the sorted ones."""
    return pl.col(name).quantile(percent / 100, interpolation="equiprobable")


def finish(rows: pl.DataFrame, day: str, out: Path) -> int:
    """Write a day; return how many duplicates it had."""
    kept = rows.unique(KEY, keep="first", maintain_order=True).sort(KEY)
    kept.write_parquet(out / f"rows-{day}.parquet", compression="zstd", compression_level=1)
    statistics = [
        statistic.alias(f"{name}_{label}")
        for name in FIELDS
        for label, statistic in (
            ("count", pl.col(name).count()),
            ("mean", pl.col(name).mean()),
            ("stddev", pl.col(name).std()),
            ("min", pl.col(name).min()),
            ("max", pl.col(name).max()),
            *((f"p{percent}", quantile(name, percent)) for percent in PERCENT),
        )
    ]
    hours = pl.col("timestamp").dt.truncate("1h").alias("window_start")
    features = kept.lazy().group_by(hours, "sensor_id").agg(statistics).collect()
    features.sort("window_start", "sensor_id").write_parquet(
        out / f"features-{day}.parquet", compression="zstd", compression_level=1
    )
    return rows.height - kept.height


def clean(source: Path, out: Path) -> Counter[str]:
    """Clean the files of a folder."""
    counts: Counter[str] = Counter()
    open_days: dict[str, list[pl.DataFrame]] = {}
    for path, _, done in days_done(source.iterdir()):
        rows = read(path)
        counts["read"] += rows.height
        for reason, count in rows["reason"].drop_nulls().value_counts().iter_rows():
            counts[reason] += count
        rows = rows.filter(pl.col("reason").is_null()).drop("reason")
        for (day,), part in rows.group_by(pl.col("timestamp").dt.date(), maintain_order=True):
            open_days.setdefault(str(day), []).append(part)
        for day in [day for day in open_days if day <= done]:
            counts["duplicate"] += finish(pl.concat(open_days.pop(day)), day, out)
    return counts


if __name__ == "__main__":
    main(clean)
