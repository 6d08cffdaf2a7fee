"""The Parquet files of a result, written batch by batch."""

import os
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import pyarrow as pa
import pyarrow.parquet as pq

from edge_etl_job.documents import Features, Field, JobDocument
from edge_etl_job.engine import OutputFile

DAY: Final = 86_400_000_000
"""Microseconds."""
_EPOCH: Final = date(1970, 1, 1)
_TIMESTAMP: Final[pa.DataType] = pa.timestamp("us", tz="UTC")
_TYPES: Final[dict[str, pa.DataType]] = {
    "string": pa.string(),
    "double": pa.float64(),
    "long": pa.int64(),
    "boolean": pa.bool_(),
}
_REJECTED: Final[dict[str, pa.DataType]] = {
    "file": pa.string(),
    "line": pa.int64(),
    "offset": pa.int64(),
    "reason": pa.string(),
    "detail": pa.string(),
    "raw": pa.string(),
}


def rows_schema(job: JobDocument) -> pa.Schema:
    """Return the columns of clean rows."""
    columns: list[tuple[str, pa.DataType]] = [("timestamp", _TIMESTAMP)]
    columns += [_column(field) for field in job.schema.fields]
    return pa.schema(columns)


def features_schema(job: JobDocument) -> pa.Schema:
    """Return the columns of a node's features."""
    fields = {field.name: field for field in job.schema.fields}
    groups = [_column(fields[name]) for name in job.features.group_by]
    columns = feature_columns(job.features)
    return pa.schema([("window_start", _TIMESTAMP), *groups, ("field", pa.string()), *columns])


def feature_columns(features: Features) -> list[tuple[str, pa.DataType]]:
    """Return the columns behind the field: its state, and what else is asked for."""
    columns: list[tuple[str, pa.DataType]] = [("count", pa.int64())]
    columns += [(name, pa.float64()) for name in ("mean", "m2", "min", "max")]
    if features.quantiles:
        columns += [(f"p{percent}", pa.float64()) for percent in features.quantiles]
        columns.append(("quantiles", pa.binary()))
    for name in ("first", "last"):
        if name in features.statistics:
            columns += [(f"{name}_time", _TIMESTAMP), (name, pa.float64())]
    if "circular_mean" in features.statistics:
        columns += [("sin", pa.float64()), ("cos", pa.float64())]
    return columns


def _column(field: Field) -> tuple[str, pa.DataType]:
    return field.name, _TYPES[field.type]


def day_of(time: int) -> str:
    """Return the UTC day of a time in microseconds since 1970."""
    return (_EPOCH + timedelta(days=time // DAY)).isoformat()


class ParquetFile:
    """One file that grows by batches; it is durable when it is closed."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path = path
        self._schema = schema
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")
        self.rows = 0

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        """Append rows, each with the schema's columns and maybe more behind them."""
        # The schema ends the columns: what a row carries for the engine alone is left out.
        columns = [
            _array(column, field.type)
            for column, field in zip(zip(*rows, strict=True), self._schema, strict=False)
        ]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=self._schema))
        self.rows += len(rows)

    def close(self) -> None:
        """Write the footer and wait until the disk has everything."""
        self._writer.close()
        with self._path.open("rb") as file:
            os.fsync(file.fileno())


def _array(values: Iterable[Any], kind: pa.DataType) -> "pa.Array[Any]":
    if pa.types.is_boolean(kind):
        # SQLite has no boolean and gives 0 and 1 back.
        values = [None if value is None else bool(value) for value in values]
    return pa.array(values, type=kind)


class DailyFiles:
    """Files of one kind, one for each day; the days must come in their order."""

    def __init__(
        self, work_dir: Path, kind: Literal["rows", "features"], schema: pa.Schema
    ) -> None:
        self._work_dir = work_dir
        self._kind: Literal["rows", "features"] = kind
        self._schema = schema
        self._open: ParquetFile | None = None
        self._day = ""
        self.written: list[OutputFile] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._finish()

    def write(self, rows: Sequence[Sequence[Any]]) -> None:
        """Append rows whose first column is their time."""
        begin = 0
        while begin < len(rows):
            next_day = (rows[begin][0] // DAY + 1) * DAY
            end = _first_at(rows, next_day, begin)
            self._file(day_of(rows[begin][0])).write(rows[begin:end])
            begin = end

    def _file(self, day: str) -> ParquetFile:
        if self._open is None or day != self._day:
            self._finish()
            self._day = day
            self._open = ParquetFile(self._path, self._schema)
        return self._open

    @property
    def _path(self) -> Path:
        return self._work_dir / f"{self._kind}-{self._day}.parquet"

    def _finish(self) -> None:
        if self._open is not None:
            self._open.close()
            self.written.append(OutputFile(self._path, self._kind, self._day, self._open.rows))
            self._open = None


def _first_at(rows: Sequence[Sequence[Any]], time: int, begin: int) -> int:
    """Return the index of the first row at or after a time."""
    low, high = begin, len(rows)
    while low < high:
        middle = (low + high) // 2
        if rows[middle][0] < time:
            low = middle + 1
        else:
            high = middle
    return low


def write_rejected(work_dir: Path, batches: Iterable[Sequence[Sequence[Any]]]) -> list[OutputFile]:
    """Write the rejected rows; return no file when there is none."""
    path, file = work_dir / "rejected.parquet", None
    for batch in batches:
        file = file or ParquetFile(path, pa.schema(_REJECTED))
        file.write(batch)
    if file is None:
        return []
    file.close()
    return [OutputFile(path, "rejected", None, file.rows)]
