"""Publish many small versions of a table without Spark, while others read it.

``python -m tests.support.publish_many TABLE COUNT``. In version N: a day that is written again
each time (its rows hold N), a day for each of the last versions (a row that holds its number), and
features with one row. So any mixture of two versions contradicts itself.
"""

import sys
import uuid
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
from edge_etl_spark.documents import TableFile
from edge_etl_spark.manifests import measure
from edge_etl_spark.results import Results, latest, open_results

from tests.support.publish_and_die import manifest

REWRITTEN = "2026-01-01"
KEPT_DAYS = 5


def rewritten_rows(number: int) -> int:
    """Return how many rows the day that is always rewritten has in a version."""
    return 1 + number % 7


def row_values(number: int) -> list[int]:
    """Return what the rows of a version hold."""
    return [number] * rewritten_rows(number) + list(
        range(max(1, number - KEPT_DAYS + 1), number + 1)
    )


def publish_next(table: Path) -> int:
    """Publish the next version in a job's directory, and return its number."""
    return publish_version(results_of(table))


def results_of(table: Path) -> Results:
    """Return the results that a table in a directory is of."""
    directory = table.parent
    return open_results(directory.parents[1], directory.parent.name, directory.name)


def publish_version(results: Results, grace_seconds: float = 600) -> int:
    """Publish the next version as the aggregation does, and return its number."""
    with results.exclusive(wait_seconds=0):
        results.recover()
        current = latest(results)
        number = current.manifest.version + 1 if current else 1
        staging = results.new_staging(f"20260101-{number:06d}")
        again = (f"rows/day={REWRITTEN}", f"features/day={REWRITTEN}")
        oldest = f"rows/day={2101 + number - KEPT_DAYS}"
        files = [
            file
            for file in (current.manifest.files if current else ())
            if not file.path.startswith(again) and file.path >= oldest
        ]
        if current:
            kept = [file.path for file in files]
            results.carry_over(current, staging, kept, readable=False)
        written = {
            again[0]: [number] * rewritten_rows(number),
            again[1]: [number],
            f"rows/day={2100 + number}-01-01": [number],
        }
        files += [_write(staging, place, values) for place, values in written.items()]
        rows = sum(file.rows for file in files if file.path.startswith("rows/"))
        made = msgspec.structs.replace(manifest(number), rows=rows, files=tuple(files))
        results.publish(staging, made)
        results.prune(keep=3, grace_seconds=grace_seconds)
        return number


def _write(staging: Path, place: str, values: list[int]) -> TableFile:
    path = staging / place / f"part-{uuid.uuid4()}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"version": pa.array(values, pa.int64())}), path)
    size, sha256 = measure(path)
    relative = path.relative_to(staging).as_posix()
    return TableFile(path=relative, rows=len(values), bytes=size, sha256=sha256)


if __name__ == "__main__":
    for _ in range(int(sys.argv[2])):
        publish_next(Path(sys.argv[1]))
