"""Find out what CSV files hold of which there is no schema yet.

How a file is written is decided by the same detector that a run uses: it is given a schema of what
the file's own header names.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from edge_etl_job.cells import split, text_of
from edge_etl_job.compression import kind, opened_content
from edge_etl_job.detection import DELIMITERS, Detector
from edge_etl_job.dialect import Dialect, DialectError, decoded
from edge_etl_job.documents import API_VERSION, JobDocument
from edge_etl_job.engine_python.records import lines
from edge_etl_job.errors import EdgeError
from edge_etl_job.evidence import encoding_of
from edge_etl_job.inspection_columns import columns_of, is_number
from edge_etl_job.inspection_document import InspectedFile, InspectedTime, Inspection
from edge_etl_job.inspection_times import time_of
from edge_etl_job.reasons import UNREADABLE
from edge_etl_job.rejection import RejectionError
from edge_etl_job.sources import open_regular, why_unreadable

_SAMPLE: Final = 1 << 20
"""Bytes of a file that are looked at."""
_LINES: Final = 60
"""Lines by which the separator and the header are found."""
_LEAST_SHARE: Final = 0.6
_IDENTITY: Final = (
    "id",
    "sensor",
    "device",
    "station",
    "node",
    "serial",
    "mac",
    "probe",
    "channel",
)
"""Parts of the names of columns that tell who measured."""


@dataclass(frozen=True)
class Table:
    """The first rows of a file."""

    path: Path
    columns: tuple[str, ...]
    rows: list[list[str]]
    dialect: Dialect
    header: bool
    note: str

    def cells(self, column: str) -> list[str]:
        """Return the cells of a column."""
        at = self.columns.index(column)
        return [row[at] for row in self.rows]


def inspect(paths: Sequence[Path]) -> Inspection:
    """Return what files hold; raise EdgeError, which names the file that cannot be read."""
    tables = [_read(path) for path in paths]
    times = [time_of(table.columns, table.cells, table.path) for table in tables]
    spent = {name for time in times for name in time.columns}
    key = _identity(tables, spent)
    columns = columns_of(
        [(table.columns, table.cells, table.dialect.decimal or ".") for table in tables],
        spent,
        key,
    )
    return Inspection(
        files=tuple(
            InspectedFile(
                path=str(table.path), rows=len(table.rows), header=table.header, note=table.note
            )
            for table in tables
        ),
        times=tuple(_merged(times)),
        columns=tuple(columns),
        key=key,
        unique=all(
            _unique(table, (*time.columns, *key)) for table, time in zip(tables, times, strict=True)
        ),
    )


def _merged(times: Sequence[InspectedTime]) -> Iterator[InspectedTime]:
    """Yield each way of writing times once."""
    for columns, formats in dict.fromkeys((time.columns, time.formats) for time in times):
        alike = [each for each in times if (each.columns, each.formats) == (columns, formats)]
        yield InspectedTime(
            columns=columns,
            formats=formats,
            zoned=all(each.zoned for each in alike),
            # What one file shows holds for the others.
            ambiguous=all(each.ambiguous for each in alike),
            earliest=min(each.earliest for each in alike),
            latest=max(each.latest for each in alike),
        )


def _read(path: Path) -> Table:
    try:
        with open_regular(path) as opened, opened_content(opened, kind(opened)) as content:
            sample = content.read(_SAMPLE)
            whole = len(sample) < _SAMPLE
            names, header = _names(path, sample, whole=whole)
            decision = Detector(_schema(names, sample, header=header)).decide(sample, whole=whole)
            if decision is None:
                raise EdgeError(UNREADABLE, f"{path}: it has no rows")
            dialect = decision.dialect
            rows = []
            for line, _, ended in lines(content, dialect.start, len(sample), dialect):
                if ended or whole:
                    rows += _row(line, dialect)
    except DialectError as error:
        raise EdgeError(UNREADABLE, f"{path}: {error.message}") from None
    except OSError as error:
        raise EdgeError(UNREADABLE, f"{path}: {why_unreadable(error)}") from None
    if not rows:
        raise EdgeError(UNREADABLE, f"{path}: it has a header and no rows")
    return Table(path, dialect.columns, rows, dialect, header, decision.note or "")


def _row(line: bytes, dialect: Dialect) -> list[list[str]]:
    try:
        cells = split(text_of(line), dialect.delimiter)
    except RejectionError:
        return []
    return [cells] if len(cells) == len(dialect.columns) and any(cells) else []


def _names(path: Path, sample: bytes, *, whole: bool) -> tuple[list[str], bool]:
    """Return the columns that the file's own header names, or names for them without one."""
    encoding, bom, _ = encoding_of(sample, "auto", whole=whole)
    text = decoded(sample[bom : len(sample) - (len(sample) - bom) % 2], encoding)
    mark = "\n" if "\n" in text else "\r"
    some = [line.removesuffix("\r") for line in text.split(mark) if line.strip()][:_LINES]
    if not some:
        raise EdgeError(UNREADABLE, f"{path}: it is empty")
    delimiter, width = _separator(some)
    if width < 2:
        raise EdgeError(UNREADABLE, f"{path}: no separator gives its lines two fields or more")
    for line in some:
        cells = _cells(line, delimiter)
        if len(cells) >= width:
            named = [cell.lstrip("# ") for cell in cells]
            if not any(is_number(cell) or _is_time(cell) for cell in named):
                return named, True
            return [f"column_{at + 1}" for at in range(width)], False
    raise EdgeError(UNREADABLE, f"{path}: no line has {width} fields")


def _separator(some: Sequence[str]) -> tuple[str, int]:
    """Return the separator by which most lines have the same number of fields, and that number."""
    best = (0.0, 0, "")
    for delimiter in DELIMITERS:
        widths = Counter(len(_cells(line, delimiter)) for line in some)
        width, count = max(widths.items(), key=lambda item: (item[1] * (item[0] > 1), item[0]))
        share = count / len(some)
        if width > 1 and share >= _LEAST_SHARE:
            best = max(best, (share, width, delimiter))
    return best[2], best[1]


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        return split(line, delimiter)
    except RejectionError:
        return []


def _is_time(cell: str) -> bool:
    return len(cell) >= 5 and cell[:1].isdigit() and sum(map(str.isdigit, cell)) >= len(cell) / 2


def _schema(names: Sequence[str], sample: bytes, *, header: bool) -> JobDocument:
    """Return a schema of all that the file names, by which the detector finds its dialect.

    Only numbers show a decimal mark: every column may be one.
    """
    named = [name for name in dict.fromkeys(names) if name]
    fields = [{"name": f"f{at}", "from": [name], "type": "double"} for at, name in enumerate(named)]
    csv: dict[str, Any] = {} if header else {"header": "absent", "columns": list(names)}
    return msgspec.convert(
        {
            "apiVersion": API_VERSION,
            "kind": "EdgeJob",
            "namespace": "default",
            "job": "draft",
            "run": "20000101-000000",
            "source": {"name": "draft", "csv": csv},
            "schema": {"timestamp": {"from": [named[0]]}, "fields": fields},
            "key": ["timestamp"],
        },
        JobDocument,
    )


def _identity(tables: Sequence[Table], times: Iterable[str]) -> tuple[str, ...]:
    """Return columns that tell who measured: by their name, in every file, and few values."""
    common = set.intersection(*(set(table.columns) for table in tables)) - set(times) - {""}
    found = []
    for name in tables[0].columns:
        words = name.lower().replace("-", "_").split("_")
        if name in common and any(word in _IDENTITY for word in words):
            cells = {cell for table in tables for cell in table.cells(name)}
            rows = sum(len(table.rows) for table in tables)
            if "" not in cells and len(cells) <= max(1, rows // 2):
                found.append(name)
    return _least(tables, tuple(found))


def _least(tables: Sequence[Table], found: tuple[str, ...]) -> tuple[str, ...]:
    """Return one column where it tells apart as much as all of them."""
    together = _values(tables, found)
    return next(((name,) for name in found if _values(tables, (name,)) == together), found)


def _values(tables: Sequence[Table], names: tuple[str, ...]) -> int:
    return len({each for table in tables for each in zip(*map(table.cells, names), strict=True)})


def _unique(table: Table, names: Sequence[str]) -> bool:
    seen = Counter(zip(*map(table.cells, names), strict=True))
    return all(count == 1 for count in seen.values())
