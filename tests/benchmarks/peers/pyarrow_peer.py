"""pyarrow, day by day."""

from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

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
NUMBER = r"^[+-]?[0-9]+(\.[0-9]*)?$"


def number(cells: Any) -> Any:
    """Return the doubles of a column of texts, null where one is none."""
    # A cast fails as a whole, so what is no number is taken out before; few texts are distinct.
    encoded = pc.dictionary_encode(cells).combine_chunks()
    texts = encoded.dictionary
    values = pc.cast(pc.if_else(pc.match_substring_regex(texts, NUMBER), texts, None), pa.float64())
    return pc.take(values, encoded.indices)


def read(path: Path) -> Any:
    """Return the rows of a file with the reason for which each is rejected, null for clean ones."""
    raw = pc_csv.read_csv(
        path,
        read_options=pc_csv.ReadOptions(use_threads=False, block_size=1 << 22),
        parse_options=pc_csv.ParseOptions(delimiter=";", quote_char=False),
        convert_options=pc_csv.ConvertOptions(column_types=dict.fromkeys(COLUMNS, pa.string())),
    )
    time = pc.strptime(raw["timestamp"], format=TIME, unit="us", error_is_null=True)
    oldest = pa.scalar(datetime.fromisoformat(NOT_BEFORE), pa.timestamp("us"))
    tests = [
        ("missing_timestamp", pc.equal(raw["timestamp"], "")),
        ("invalid_timestamp", pc.is_null(time)),
        ("timestamp_too_old", pc.less(time, oldest)),
        ("missing_key", pc.equal(raw["sensor_id"], "")),
    ]
    columns = {"timestamp": time, "sensor_id": raw["sensor_id"]}
    for name, (column, least, most) in LIMITS.items():
        invalid, outside = rejections(name)
        columns[name] = number(raw[column])
        none = pc.and_(pc.is_null(columns[name]), pc.not_equal(raw[column], ""))
        beyond = pc.or_(pc.less(columns[name], least), pc.greater(columns[name], most))
        tests += [(invalid, none), (outside, beyond)]
    masks = pa.StructArray.from_arrays(
        [_array(pc.fill_null(test, False)) for _, test in tests],
        [reason for reason, _ in tests],
    )
    columns["reason"] = pc.case_when(masks, *(reason for reason, _ in tests))
    return pa.table(columns)


def _array(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _group(times: Any, sensors: Any, names: Any) -> Any:
    """Return a number for the hour of the day and the sensor of each row."""
    hours = pc.hour(times).to_numpy(zero_copy_only=False)
    return hours * len(names) + pc.index_in(sensors, value_set=names).to_numpy(zero_copy_only=False)


def finish(rows: Any, day: str, out: Path) -> int:
    """Write a day; return how many duplicates it had."""
    numbered = rows.append_column("row", pa.array(np.arange(len(rows))))
    firsts = numbered.group_by(KEY, use_threads=False).aggregate([("row", "min")])["row_min"]
    kept = rows.take(firsts)
    kept = kept.take(pc.sort_indices(kept, [(name, "ascending") for name in KEY]))
    pq.write_table(kept, out / f"rows-{day}.parquet", compression="zstd", compression_level=1)
    hours = pc.floor_temporal(kept["timestamp"], unit="hour")
    grouped = kept.append_column("window_start", hours).group_by(
        ["window_start", "sensor_id"], use_threads=False
    )
    sample = pc.VarianceOptions(ddof=1)
    wanted = [
        (name, label, sample if label == "stddev" else None)
        for name in FIELDS
        for label in ("count", "mean", "stddev", "min", "max")
    ]
    features = grouped.aggregate(wanted)
    names = pc.unique(kept["sensor_id"])
    groups = _group(kept["timestamp"], kept["sensor_id"], names)
    own = _group(features["window_start"], features["sensor_id"], names)
    for name in FIELDS:
        values = kept[name].to_numpy(zero_copy_only=False)
        for percent, found in zip(PERCENT, quantiles(groups, values, 24 * len(names)), strict=True):
            features = features.append_column(f"{name}_p{percent}", pa.array(found[own]))
    pq.write_table(
        features, out / f"features-{day}.parquet", compression="zstd", compression_level=1
    )
    return len(rows) - len(kept)


def clean(source: Path, out: Path) -> Counter[str]:
    """Clean the files of a folder."""
    counts: Counter[str] = Counter()
    open_days: dict[str, list[Any]] = {}
    for path, _, done in days_done(source.iterdir()):
        rows = read(path)
        counts["read"] += len(rows)
        for each in pc.value_counts(rows["reason"].drop_null()).to_pylist():
            counts[each["values"]] += each["counts"]
        rows = rows.filter(pc.is_null(rows["reason"])).drop_columns(["reason"])
        days = pc.cast(rows["timestamp"], pa.date32())
        for day in pc.unique(days).to_pylist():
            part = rows.filter(pc.equal(days, pa.scalar(day, pa.date32())))
            open_days.setdefault(str(day), []).append(part)
        for day in [day for day in open_days if day <= done]:
            counts["duplicate"] += finish(pa.concat_tables(open_days.pop(day)), day, out)
    return counts


if __name__ == "__main__":
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    main(clean)
