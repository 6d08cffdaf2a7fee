"""pandas, in chunks."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from tests.benchmarks.edge import FIELDS, LIMITS
from tests.benchmarks.peers.common import (
    COLUMNS,
    NOT_BEFORE,
    PERCENT,
    TIME,
    days_done,
    main,
    quantiles,
    rejections,
)

KEY = ["timestamp", "sensor_id"]
CHUNK = 100_000


def checked(raw: pd.DataFrame) -> tuple[pd.DataFrame, "np.ndarray[tuple[int], np.dtype[np.int64]]"]:
    """Return typed rows, and for each the number of the reason that rejects it, 0 for none."""
    time = pd.to_datetime(raw["timestamp"], format=TIME, errors="coerce").dt.as_unit("us")
    typed = pd.DataFrame({"timestamp": time, "sensor_id": raw["sensor_id"]})
    tests = [
        raw["timestamp"].eq(""),
        time.isna(),
        time < pd.Timestamp(NOT_BEFORE),
        raw["sensor_id"].eq(""),
    ]
    for name, (column, least, most) in LIMITS.items():
        number = pd.to_numeric(raw[column], errors="coerce")
        typed[name] = number
        tests += [number.isna() & raw[column].ne(""), (number < least) | (number > most)]
    first = np.select(
        [test.to_numpy(dtype=bool) for test in tests], list(range(1, len(tests) + 1)), 0
    )
    return typed, first


def finish(rows: pd.DataFrame, day: str, out: Path) -> int:
    """Write a day; return how many duplicates it had."""
    kept = rows.drop_duplicates(KEY).sort_values(KEY)
    kept.to_parquet(
        out / f"rows-{day}.parquet", index=False, compression="zstd", compression_level=1
    )
    hours = kept["timestamp"].dt.floor("h").rename("window_start")
    grouped = kept.groupby([hours, "sensor_id"])[list(FIELDS)]
    features = grouped.agg(["count", "mean", "std", "min", "max"])
    labels = ["count", "mean", "stddev", "min", "max"]
    features.columns = pd.Index([f"{name}_{label}" for name in FIELDS for label in labels])
    groups = grouped.ngroup().to_numpy()
    for name in FIELDS:
        found = quantiles(groups, kept[name].to_numpy(), len(features))
        for percent, values in zip(PERCENT, found, strict=True):
            features[f"{name}_p{percent}"] = values
    features.reset_index().to_parquet(
        out / f"features-{day}.parquet", index=False, compression="zstd", compression_level=1
    )
    return len(rows) - len(kept)


def clean(source: Path, out: Path) -> Counter[str]:
    """Clean the files of a folder."""
    counts: Counter[str] = Counter()
    reasons = ["missing_timestamp", "invalid_timestamp", "timestamp_too_old", "missing_key"]
    reasons += [reason for name in FIELDS for reason in rejections(name)]
    open_days: dict[str, list[pd.DataFrame]] = {}
    for path, _, done in days_done(source.iterdir()):
        chunks = pd.read_csv(
            path,
            sep=";",
            dtype=str,
            keep_default_na=False,
            chunksize=CHUNK,
            names=COLUMNS,
            header=0,
        )
        for raw in chunks:
            typed, found = checked(raw)
            counts["read"] += len(raw)
            for reason, count in zip(reasons, np.bincount(found, minlength=13)[1:], strict=True):
                counts[reason] += int(count)
            rows = typed[found == 0]
            for day, part in rows.groupby(rows["timestamp"].dt.floor("D")):
                open_days.setdefault(str(day)[:10], []).append(part)
        for day in [day for day in open_days if day <= done]:
            counts["duplicate"] += finish(pd.concat(open_days.pop(day)), day, out)
    return counts


if __name__ == "__main__":
    main(clean)
