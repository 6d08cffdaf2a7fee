"""A person's own rules: a Python file whose function ``clean(frame)`` is given batches of rows.

pandas is imported here and nowhere else: only jobs with such rules pay for it.
"""

import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from datetime import UTC
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

import pandas as pd

from edge_etl_job.documents import Field, JobDocument
from edge_etl_job.errors import EdgeError
from edge_etl_job.job import TIMESTAMP
from edge_etl_job.reasons import MISSING_KEY, MISSING_REQUIRED, OUT_OF_MEMORY, TRANSFORM_FAILED

Value = str | float | int | bool | None
Row = tuple[Value, ...]
"""A timestamp in microseconds since 1970, then the fields; more behind them is left as it is."""

_TYPES: Final[dict[str, Any]] = {
    "double": "float64",
    "long": "Int64",
    "boolean": "boolean",
    "string": "object",
}
_FUNCTION: Final = "clean"
_LINE: Final = "line"


class Transform:
    """The function of a file; calling it gives the rows that it keeps, by their lines."""

    def __init__(self, path: Path, job: JobDocument) -> None:
        """Load the file; raise EdgeError that names the line at which it cannot be."""
        self._path = path
        self._fields = job.schema.fields
        self._missing = {
            field.name: MISSING_KEY if field.name in job.key else MISSING_REQUIRED
            for field in job.schema.fields
            if field.required or field.name in job.key
        }
        self._clean = self._loaded()

    def _loaded(self) -> Callable[[pd.DataFrame], object]:
        module = ModuleType("edge_transform")
        module.__file__ = str(self._path)
        # Where classes of the file look for themselves.
        sys.modules[module.__name__] = module
        with self._explained("loading it"):
            exec(compile(self._path.read_bytes(), self._path, "exec"), module.__dict__)  # noqa: S102
        function = getattr(module, _FUNCTION, None)
        if not callable(function):
            raise self._failed(f"it has no function {_FUNCTION}(frame)")
        return cast("Callable[[pd.DataFrame], object]", function)

    def __call__(
        self, rows: Sequence[Row], lines: Sequence[int], file: str
    ) -> tuple[dict[int, Row], dict[int, str]]:
        """Return the rows that are kept, by line, and why those are rejected that lack a value.

        ``lines`` are those of the rows in ``file``. A row in neither was dropped by the function.
        """
        where = f"lines {lines[0]} to {lines[-1]} of {file}"
        with self._explained(where):
            # The function may change what it is given; it keeps a row by keeping its index.
            result = self._clean(self._frame(rows, lines))
        if not isinstance(result, pd.DataFrame):
            raise self._failed(f"{_FUNCTION}() gave {type(result).__name__}, not a DataFrame")
        known = dict(zip(lines, rows, strict=True))
        if not result.index.is_unique or not known.keys() >= set(result.index):
            raise self._failed(
                f"{_FUNCTION}() gave rows that it was not given, or one twice: "
                "it may change and drop rows, and leaves their index as it is"
            )
        names = [TIMESTAMP, *(field.name for field in self._fields)]
        if absent := [name for name in names if name not in result.columns]:
            raise self._failed(f"{_FUNCTION}() gave a frame without {', '.join(absent)}")
        with self._explained(where):
            columns = [_microseconds(result[TIMESTAMP])]
            columns += [_values(result[field.name], field) for field in self._fields]
        kept: dict[int, Row] = {}
        rejected: dict[int, str] = {}
        width = len(columns)
        for line, *values in zip(result.index, *columns, strict=True):
            if reason := self._lacks(values):
                rejected[line] = reason
            else:
                kept[line] = (*values, *known[line][width:])
        return kept, rejected

    def _frame(self, rows: Sequence[Row], lines: Sequence[int]) -> pd.DataFrame:
        times, *columns = list(zip(*rows, strict=True))[: len(self._fields) + 1]
        data: dict[str, Any] = {TIMESTAMP: pd.to_datetime(list(times), unit="us", utc=True)}
        for field, values in zip(self._fields, columns, strict=True):
            data[field.name] = pd.array(list(values), dtype=_TYPES[field.type])
        return pd.DataFrame(data, index=pd.Index(lines, name=_LINE))

    def _lacks(self, values: Sequence[Value]) -> str | None:
        """Return the reason of a row that lacks what a row must have."""
        for field, value in zip(self._fields, values[1:], strict=True):
            if value is None and field.name in self._missing:
                return self._missing[field.name]
        return None

    @contextmanager
    def _explained(self, where: str) -> Iterator[None]:
        """Say on which line of the file an exception came; what is printed goes to the log."""
        try:
            with redirect_stdout(sys.stderr):
                yield
        except MemoryError as error:
            message = (
                f"{self._at(error)}: the memory is used up ({where}): hold less between batches, "
                "or raise spec.edge.resources.limits.memory"
            )
            raise EdgeError(OUT_OF_MEMORY, message) from error
        except (Exception, SystemExit) as error:
            said = f"{type(error).__name__}: {error}"
            raise EdgeError(TRANSFORM_FAILED, f"{self._at(error)}: {said} ({where})") from error

    def _at(self, error: BaseException) -> str:
        """Return the file's name, and the line in it that is nearest to an error."""
        lines = [
            frame.lineno
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == str(self._path)
        ]
        if isinstance(error, SyntaxError) and error.filename == str(self._path):
            lines.append(error.lineno)
        return f"{self._path.name}, line {lines[-1]}" if lines else self._path.name

    def _failed(self, message: str) -> EdgeError:
        return EdgeError(TRANSFORM_FAILED, f"{self._path.name}: {message}")


def _microseconds(column: "pd.Series[Any]") -> list[Value]:
    times = pd.to_datetime(column)
    if times.dt.tz is None:
        raise TypeError(f"{TIMESTAMP} lost its zone")
    if times.isna().any():
        raise TypeError(f"{TIMESTAMP} has no value in a row")
    return cast(
        "list[Value]",
        times.dt.tz_convert(UTC).astype("datetime64[us, UTC]").astype("int64").tolist(),
    )


def _values(column: "pd.Series[Any]", field: Field) -> list[Value]:
    if field.type == "string":
        return [
            None if missing else str(value)
            for value, missing in zip(column, column.isna(), strict=True)
        ]
    try:
        typed = column.astype(_TYPES[field.type])
    except (TypeError, ValueError) as error:
        raise TypeError(f"{field.name} is not a {field.type}: {error}") from error
    if field.type == "double" and typed.isin([float("inf"), float("-inf")]).any():
        raise TypeError(f"{field.name} is infinite in a row")
    return [
        None if missing else value
        for value, missing in zip(typed.tolist(), typed.isna(), strict=True)
    ]
