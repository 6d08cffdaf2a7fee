"""Node results as the edge program commits them, written with pandas and pyarrow."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from edge_etl_spark.results import Results, open_results

FIELDS = ({"name": "sensor_id", "type": "string"}, {"name": "pm10", "type": "double"})
_ARROW: dict[str, pa.DataType] = {
    "string": pa.string(),
    "double": pa.float64(),
    "long": pa.int64(),
    "boolean": pa.bool_(),
}
_TIME = pa.timestamp("us", tz="UTC")


def frame(rows: Sequence[tuple[Any, ...]], columns: Sequence[str] = ("sensor_id", "pm10")) -> Any:
    """Return a data frame of (timestamp, value, …) rows."""
    table = pd.DataFrame(rows, columns=["timestamp", *columns])
    table["timestamp"] = pd.to_datetime(table["timestamp"], utc=True, format="ISO8601")
    return table


def states(rows: Any, window: str, group_by: Sequence[str], numeric: Sequence[str]) -> Any:
    """Compute the mergeable state of each window, group and numeric field with pandas alone."""
    placed = rows.assign(window_start=rows["timestamp"].dt.floor(window))
    place = ["window_start", *group_by]
    parts = []
    for name in numeric:
        valued = placed[placed[name].notna()]
        part = (
            valued.groupby(place, dropna=False)[name]
            .agg(
                count="count",
                mean="mean",
                m2=lambda values: ((values - values.mean()) ** 2).sum(),
                min="min",
                max="max",
            )
            .reset_index()
        )
        part.insert(len(place), "field", name)
        parts.append(part)
    result = pd.concat(parts, ignore_index=True)
    return result.sort_values([*place, "field"], ignore_index=True)


@dataclass(frozen=True)
class Job:
    """A job whose nodes deliver below ``root``, and whose documents the tests need."""

    root: Path
    fields: Sequence[Mapping[str, str]] = FIELDS
    key: Sequence[str] = ("sensor_id", "timestamp")
    window: str = "1h"
    group_by: Sequence[str] = ("sensor_id",)
    ship: Sequence[str] = ("rows", "features")
    namespace: str = "garden"
    name: str = "air-quality"
    conf: Mapping[str, str] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        """The job's directory in the results."""
        return self.root / self.namespace / self.name

    @property
    def results(self) -> Results:
        """The job's results as the aggregation sees them."""
        return open_results(self.location, self.namespace, self.name, self.credentials)

    @property
    def location(self) -> str | Path:
        """The root of the results, as the programs are told of it."""
        return self.root

    @property
    def credentials(self) -> Path | None:
        """The file with the key to the results, where they have one."""
        return None

    def read(self, kind: str) -> Any:
        """Read the table's rows or features as any user of pandas does."""
        return pd.read_parquet(self.table / "current" / kind)

    @property
    def table(self) -> Path:
        """The job's table."""
        return self.directory / "table"

    @property
    def numeric(self) -> list[str]:
        """The fields that have features."""
        return [item["name"] for item in self.fields if item["type"] in {"double", "long"}]

    def deliver(
        self,
        run: str,
        node: str,
        rows: Any,
        attempt: str = "a1",
        lacks: Sequence[str] = (),
        invalid: Sequence[str] = (),
    ) -> Path:
        """Commit ``rows`` as the result of a node in a run; return the manifest's path.

        ``invalid`` are the details of rows that are rejected for values of other types.
        """
        directory = self.directory / "runs" / run / node / attempt
        directory.mkdir(parents=True)
        files = []
        if "rows" in self.ship:
            files += self._write(directory, "rows", rows, "timestamp", self._row_types())
        if "features" in self.ship and self.numeric:
            state = states(rows, self.window, self.group_by, self.numeric)
            files += self._write(
                directory, "features", state, "window_start", self._feature_types()
            )
        if invalid:
            files.append(_refused(directory / "rejected.parquet", invalid))
        watermark = rows["timestamp"].max().isoformat() if len(rows) else None
        return self._commit(run, node, attempt, files, len(rows), watermark, lacks, len(invalid))

    def commit(self, run: str, node: str, attempt: str = "a1") -> Path:
        """Commit what lies in the attempt's folder: rows alone, a file for each day."""
        folder = self.directory / "runs" / run / node / attempt
        files = [
            listed(path, "rows", path.stem.removeprefix("rows-"), pq.read_metadata(path).num_rows)
            for path in sorted(folder.glob("rows-*.parquet"))
        ]
        return self._commit(run, node, attempt, files, sum(item["rows"] for item in files), None)

    def _commit(
        self,
        run: str,
        node: str,
        attempt: str,
        files: list[dict[str, Any]],
        count: int,
        watermark: str | None,
        lacks: Sequence[str] = (),
        invalid: int = 0,
    ) -> Path:
        manifest = {
            "apiVersion": "pi-edge-spark.io/v1alpha1",
            "kind": "NodeManifest",
            "namespace": self.namespace,
            "job": self.name,
            "run": run,
            "node": node,
            "attempt": attempt,
            "schemaVersion": "0123456789ab",
            "window": self.window,
            "groupBy": list(self.group_by),
            "createdAt": "2026-01-01T00:00:00Z",
            "rowsRead": count + invalid,
            "rowsClean": count,
            "rowsRejected": invalid,
            "rowsDuplicate": 0,
            "rejectedByReason": {"invalid_value": invalid} if invalid else {},
            "bytesRead": 100,
            "bytesWritten": sum(item["bytes"] for item in files),
            "watermark": watermark,
            "columnsMissing": list(lacks),
            "columnsSeen": [],
            "inputs": [],
            "files": files,
        }
        path = self.directory / "runs" / run / node / "manifest.json"
        path.write_text(json.dumps(manifest))
        return path

    def document(self, run: str, *nodes: str, master: str = "local[2]") -> dict[str, Any]:
        """Return the aggregation document of a run in which ``nodes`` delivered."""
        return {
            "apiVersion": "pi-edge-spark.io/v1alpha1",
            "kind": "Aggregation",
            "namespace": self.namespace,
            "job": self.name,
            "run": run,
            "nodes": [{"node": node, "attempt": "a1"} for node in nodes],
            "fields": list(self.fields),
            "key": list(self.key),
            "window": self.window,
            "groupBy": list(self.group_by),
            "statistics": ["count", "mean", "stddev", "min", "max"],
            "ship": list(self.ship),
            "spark": {"master": master, "conf": dict(self.conf)},
        }

    def _row_types(self) -> list["pa.Field[Any]"]:
        return [
            pa.field("timestamp", _TIME, nullable=False),
            *(pa.field(item["name"], _ARROW[item["type"]]) for item in self.fields),
        ]

    def _feature_types(self) -> list["pa.Field[Any]"]:
        types = {item["name"]: _ARROW[item["type"]] for item in self.fields}
        return [
            pa.field("window_start", _TIME, nullable=False),
            *(pa.field(name, types[name]) for name in self.group_by),
            pa.field("field", pa.string()),
            pa.field("count", pa.int64()),
            *(pa.field(name, pa.float64()) for name in ("mean", "m2", "min", "max")),
        ]

    def _write(
        self, directory: Path, kind: str, rows: Any, time: str, types: list["pa.Field[Any]"]
    ) -> list[dict[str, Any]]:
        files = []
        for day, part in rows.groupby(rows[time].dt.strftime("%Y-%m-%d")):
            path = directory / f"{kind}-{day}.parquet"
            table = pa.Table.from_pandas(part, schema=pa.schema(types), preserve_index=False)
            pq.write_table(table.replace_schema_metadata(None), path)
            files.append(listed(path, kind, str(day), len(part)))
        return files


def _refused(path: Path, details: Sequence[str]) -> dict[str, Any]:
    """Write rows that are rejected, a detail of each, and return the file as it is listed."""
    columns = {"reason": ["invalid_value"] * len(details), "detail": list(details)}
    pq.write_table(pa.table(columns), path)
    return listed(path, "rejected", None, len(details))


def listed(path: Path, kind: str, day: str | None, rows: int) -> dict[str, Any]:
    """Return a file as a manifest lists it."""
    content = path.read_bytes()
    return {
        "name": path.name,
        "kind": kind,
        "day": day,
        "rows": rows,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
