"""The first rows of a published table, to see what is in it."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from rich import box
from rich.table import Table


def first(table: Path, count: int) -> list[dict[str, Any]]:
    """Return the first rows of the first days."""
    found: list[dict[str, Any]] = []
    for file in sorted((table / "rows").rglob("*.parquet")):
        if len(found) >= count:
            break
        found += pq.ParquetFile(file).read().slice(0, count - len(found)).to_pylist()
    return found


def as_table(rows: list[dict[str, Any]]) -> Table:
    """Lay rows out for a terminal."""
    table = Table(box=box.SIMPLE_HEAD)
    columns = list(rows[0]) if rows else []
    for name in columns:
        table.add_column(name)
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in columns))
    return table


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value.strftime("%Y-%m-%d %H:%M:%S") if hasattr(value, "strftime") else str(value)
