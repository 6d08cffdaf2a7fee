"""Compare what two programs delivered: every cell of rows and statistics, and every count."""

import math
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tests.benchmarks.edge import FIELDS
from tests.benchmarks.peers.common import STATISTICS

_CLOSE: Final = 1e-9
"""The relative difference that statistics may have; not all peers sum exactly."""


def main() -> int:
    """Compare the edge program's delivery with the folder of each peer; say what differs."""
    ours, *peers = map(Path, sys.argv[1:])
    manifest = msgspec.json.decode((ours / "manifest.json").read_bytes())
    counts = _counts(manifest)
    ours /= manifest["attempt"]
    days = [path.stem.removeprefix("rows-") for path in sorted(ours.glob("rows-*.parquet"))]
    faults: list[str] = []
    for peer in peers:
        theirs = msgspec.json.decode(peer.with_suffix(".json").read_bytes(), type=dict[str, int])
        faults += _unlike(peer.name, counts, _grouped(theirs))
        found = [path.stem.removeprefix("rows-") for path in sorted(peer.glob("rows-*.parquet"))]
        if found != days:
            faults.append(f"{peer.name} has the days {found}, not {days}")
            continue
        for day in days:
            faults += [f"{peer.name}: {day}: {fault}" for fault in _day(ours, peer, day)]
    print("\n".join(faults) or f"{counts['read']} rows, {len(days)} days: all agree in every cell")
    return 1 if faults else 0


def _counts(manifest: dict[str, Any]) -> Counter[str]:
    counts = Counter(manifest["rejectedByReason"])
    counts["read"] = manifest["rowsRead"]
    counts["duplicate"] = manifest["rowsDuplicate"]
    return counts


def _grouped(counts: dict[str, int]) -> Counter[str]:
    """Return a peer's counts; a manifest counts a reason for all fields together."""
    grouped: Counter[str] = Counter()
    for reason, count in counts.items():
        grouped[reason.partition(":")[0]] += count
    return grouped


def _unlike(peer: str, ours: Counter[str], theirs: Counter[str]) -> Iterator[str]:
    for reason in sorted(ours.keys() | theirs.keys()):
        if ours[reason] != theirs[reason]:
            yield f"{peer} counts {theirs[reason]} {reason}, not {ours[reason]}"


def _day(ours: Path, peer: Path, day: str) -> Iterator[str]:
    mine, other = (pq.read_table(folder / f"rows-{day}.parquet") for folder in (ours, peer))
    if len(mine) != len(other):
        yield f"{len(other)} rows, not {len(mine)}"
        return
    for name in ("timestamp", "sensor_id", *FIELDS):
        if not _values(mine[name]).equals(_values(other[name])):
            yield f"the rows differ in {name}"
    expected = _statistics(pq.read_table(ours / f"features-{day}.parquet").to_pylist())
    found = pq.read_table(peer / f"features-{day}.parquet").to_pylist()
    if len(found) * len(FIELDS) < len(expected):
        yield f"{len(found)} windows, too few"
    for window in found:
        at = window["window_start"].replace(tzinfo=None), window["sensor_id"]
        for name in FIELDS:
            cells = [window[f"{name}_{label}"] for label in STATISTICS]
            wanted = expected.get((*at, name), [0, *[None] * (len(STATISTICS) - 1)])
            if not all(map(_same, cells, wanted)):
                yield f"{at} {name}: {cells}, not {wanted}"


def _values(column: Any) -> Any:
    """Return a column as one type for all: pandas and others name theirs differently."""
    if pa.types.is_timestamp(column.type):
        return pc.cast(column, pa.timestamp("us")).combine_chunks()
    if pa.types.is_floating(column.type):
        return pa.array(column.to_numpy(zero_copy_only=False), from_pandas=True)
    return pc.cast(column, pa.large_string()).combine_chunks()


def _statistics(rows: list[dict[str, Any]]) -> dict[tuple[Any, ...], list[float | None]]:
    found: dict[tuple[Any, ...], list[float | None]] = {}
    for row in rows:
        count = row["count"]
        deviation = math.sqrt(row["m2"] / (count - 1)) if count > 1 else None
        at = (row["window_start"].replace(tzinfo=None), row["sensor_id"], row["field"])
        rest = [row[name] for name in ("min", "max", "p50", "p95")]
        found[at] = [count, row["mean"], deviation, *rest]
    return found


def _same(one: float | None, other: float | None) -> bool:
    missing = [each is None or np.isnan(each) for each in (one, other)]
    if any(missing):
        return all(missing)
    return math.isclose(one or 0.0, other or 0.0, rel_tol=_CLOSE, abs_tol=_CLOSE)


if __name__ == "__main__":
    sys.exit(main())
