"""What the air-quality sample must give, computed from the raw files with pandas alone.

Written from the rules in words, sharing no code with the project: the published table of a local
run and of a cluster is compared with it row for row.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

TEXTS = ("sensor_id", "sensor_type")
# The field, its column in the CSV files, and the range of its valid values.
NUMBERS = {
    "pm10": ("P1", 0, 999.8),
    "pm25": ("P2", 0, 999.8),
    "temperature": ("temperature", -40, 80),
    "humidity": ("humidity", 0, 99.8),
    "pressure": ("pressure", 80_000, 110_000),
}
NO_VALUE = ("", "NA", "nan")
KEY = ["sensor_id", "timestamp"]
COLUMNS = ["timestamp", *TEXTS, *NUMBERS]
FEATURE_KEY = ["window_start", "sensor_id", "field"]
STATISTICS = ["count", "mean", "m2", "min", "max", "p50", "p95", "stddev"]


@dataclass(frozen=True)
class Table:
    """Rows and hourly features, each sorted by its key."""

    rows: pd.DataFrame
    features: pd.DataFrame


@dataclass(frozen=True)
class Counts:
    """What became of a node's rows; the duplicates are those that the node itself can see."""

    read: int
    clean: int
    rejected: int
    duplicate: int


def expected(nodes: Mapping[str, Path], *patterns: str) -> Table:
    """Compute the table of all nodes' directories."""
    cleaned = pd.concat(_clean(nodes[name], patterns)[0] for name in sorted(nodes))
    rows = cleaned.drop_duplicates(KEY).sort_values(KEY, ignore_index=True)
    parts = pd.concat(_statistics(rows, name) for name in NUMBERS)
    return Table(rows[COLUMNS], parts.sort_values(FEATURE_KEY, ignore_index=True))


def counts(nodes: Mapping[str, Path], *patterns: str) -> dict[str, Counts]:
    """Compute what must have become of each node's rows."""
    return {name: _clean(source, patterns)[1] for name, source in nodes.items()}


def published(job: Path) -> Table:
    """Read the table of a job's directory (``<results>/<namespace>/<job>``) as any reader would."""
    return published_version(job / "table" / "current")


def published_version(version: Path) -> Table:
    """Read one version of a published table."""
    rows, features = _read_days(version / "rows"), _read_days(version / "features")
    return Table(
        rows[COLUMNS].sort_values(KEY, ignore_index=True),
        features[[*FEATURE_KEY, *STATISTICS]].sort_values(FEATURE_KEY, ignore_index=True),
    )


def assert_equal(found: Table, right: Table) -> None:
    """Fail unless two tables are the same: rows exactly, features but for the order of sums."""
    assert_equal_rows(found.rows, right.rows)
    columns = [*FEATURE_KEY, *STATISTICS]
    pd.testing.assert_frame_equal(
        _plain(found.features[columns]), _plain(right.features[columns]), rtol=1e-9, atol=1e-9
    )


def assert_equal_rows(found: pd.DataFrame, right: pd.DataFrame) -> None:
    """Fail unless rows are exactly the same."""
    pd.testing.assert_frame_equal(_plain(found), _plain(right), check_exact=True)


def _clean(source: Path, patterns: Sequence[str]) -> tuple[pd.DataFrame, Counts]:
    """Return the clean rows of a directory, of rows with the same key the first."""
    files = {file for pattern in patterns or ("**/*.csv",) for file in source.glob(pattern)}
    raw = pd.concat(_read_csv(file) for file in sorted(files))
    good = raw[raw.pop("valid")]
    kept = good.drop_duplicates(KEY)
    return kept, Counts(len(raw), len(kept), len(raw) - len(good), len(good) - len(kept))


def _read_csv(file: Path) -> pd.DataFrame:
    """Read a file as text, and convert it column by column."""
    text = pd.read_csv(file, sep=";", dtype=str, keep_default_na=False, encoding="utf-8")
    # A cut line has no value where an empty field has "".
    valid = ~text.isna().any(axis="columns")
    text = text.fillna("")
    result = pd.DataFrame(index=text.index)
    time = pd.to_datetime(text["timestamp"], format="%Y-%m-%dT%H:%M:%S", utc=True, errors="coerce")
    latest = pd.Timestamp(datetime.now(UTC)) + pd.Timedelta(hours=1)
    valid &= (time >= pd.Timestamp("2015-01-01", tz="UTC")) & (time <= latest)
    result["timestamp"] = time
    for name in TEXTS:
        result[name] = text[name].where(~text[name].isin(NO_VALUE), None)
    valid &= result["sensor_id"].notna()
    for name, (column, low, high) in NUMBERS.items():
        result[name] = float("nan")
        if column not in text:
            continue
        given = ~text[column].isin(NO_VALUE)
        # float() rounds exactly, pandas' own parser does not.
        result[name] = text[column].where(given, "nan").map(_number)
        valid &= ~given | result[name].between(low, high)
    result["valid"] = valid
    return result


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _statistics(rows: pd.DataFrame, name: str) -> pd.DataFrame:
    values = rows[[*KEY, name]].dropna()
    values = values.assign(window_start=values["timestamp"].dt.floor("h"), field=name)
    groups = values.groupby(FEATURE_KEY, observed=True)[name]
    result = groups.agg(["count", "mean", "min", "max", "std"])
    result["m2"] = groups.agg(lambda each: ((each - each.mean()) ** 2).sum())
    for percent in (50, 95):
        result[f"p{percent}"] = groups.agg(_by_rank(percent))
    return result.rename(columns={"std": "stddev"}).reset_index()


def _by_rank(percent: int) -> Callable[["pd.Series[float]"], float]:
    """Return the least value at or below which so many of 100 lie."""
    return lambda each: sorted(each)[math.ceil(len(each) * percent / 100) - 1]


def _read_days(directory: Path) -> pd.DataFrame:
    """Read all files of a published directory, each of the day that its own directory names."""
    files = sorted(directory.rglob("*.parquet"))
    assert files, f"no Parquet files in {directory}"
    return pa.concat_tables(_read_day(file) for file in files).to_pandas()


def _read_day(file: Path) -> pa.Table:
    table = pq.ParquetFile(file).read()
    time = "timestamp" if "timestamp" in table.column_names else "window_start"
    found = set(table[time].to_pandas().dt.strftime("%Y-%m-%d"))
    assert {f"day={day}" for day in found} == {file.parent.name}, file
    return table


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Give times one resolution and texts one type: how they are held is no difference."""
    result = frame.copy()
    for name in result:
        if isinstance(result[name].dtype, pd.DatetimeTZDtype):
            result[name] = result[name].astype("datetime64[us, UTC]")
        elif not pd.api.types.is_numeric_dtype(result[name]):
            result[name] = result[name].astype(object)
    return result
