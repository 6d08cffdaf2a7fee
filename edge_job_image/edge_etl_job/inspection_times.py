"""Find the columns of a file that say when a reading was taken, and the format of these times."""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

from edge_etl_job.engine_python.formats import reader
from edge_etl_job.errors import EdgeError
from edge_etl_job.inspection_document import InspectedTime
from edge_etl_job.job import ISO8601
from edge_etl_job.reasons import MISSING_COLUMN
from edge_etl_job.report import rfc3339
from edge_etl_job.times import EPOCH, EPOCHS, micros

_DATES: Final = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d",
    "%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "%d-%m-%Y", "%m-%d-%Y",
    "%d/%m/%y", "%m/%d/%y", "%d.%m.%y", "%d %b %Y", "%d-%b-%Y", "%b %d %Y",
)  # fmt: skip
_CLOCKS: Final = (
    "%H:%M:%S", "%H:%M", "%H.%M.%S", "%H:%M:%S.%f", "%I:%M:%S %p", "%I:%M %p", "%H%M%S",
)  # fmt: skip
_PATTERNS: Final = tuple(
    f"{date}{between}{clock}" for date in _DATES for clock in _CLOCKS for between in (" ", "T")
)
_FORMATS: Final = (ISO8601, *_PATTERNS)
_LATEST: Final = datetime(2100, 1, 1)
_EARLIEST: Final = datetime(1990, 1, 1)
_NAMES: Final = ("time", "date", "datum", "zeit", "stamp", "when", "moment")
_NEARLY_ALL: Final = 0.98
_SOME: Final = 400
"""Cells by which a format is chosen."""

Cells = Callable[[str], list[str]]


def time_of(columns: Sequence[str], cells: Cells, path: Path) -> InspectedTime:
    """Return the time of a file's rows; raise EdgeError when no column is one."""
    # A day alone is a time only where there is no better: its readings would be one moment.
    for wanted in (_FORMATS, _DATES):
        for names in _candidates(columns):
            some = _joined(names, cells)
            if found := _fitting(some, (*wanted, *(EPOCHS if _named(names) else ()))):
                return _described(names, some, found)
    raise EdgeError(
        MISSING_COLUMN,
        f"{path}: no column holds times that say day and time; columns seen: {', '.join(columns)}",
    )


def _candidates(columns: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield columns, and pairs of neighbours, those first whose names speak of time."""
    known = [name for name in columns if name and columns.count(name) == 1]
    single = [(name,) for name in known]
    pairs = [pair for pair in pairwise(known) if _named(pair[:1]) or _named(pair[1:])]
    yield from sorted([*single, *pairs], key=lambda names: (not _named(names), len(names)))


def _named(names: Sequence[str]) -> bool:
    return any(word in name.lower() for name in names for word in _NAMES)


def _joined(names: tuple[str, ...], cells: Cells) -> list[str]:
    rows = zip(*map(cells, names), strict=True)
    return [" ".join(row) for row in rows if all(row)]


def _fitting(some: Sequence[str], wanted: Sequence[str]) -> list[str]:
    """Return the formats that read nearly all cells."""
    few = some[:: max(1, len(some) // _SOME)]
    least = max(1, _NEARLY_ALL * len(few))
    return [form for form in wanted if len(_read(form, few)) >= least]


def _read(form: str, cells: Sequence[str]) -> list[datetime]:
    read = reader(form)
    found = []
    for cell in cells:
        said = read(cell)
        if isinstance(said, int):
            said = EPOCH + timedelta(microseconds=said)
        if said is not None and _EARLIEST <= said < _LATEST:
            found.append(said)
    return found


def _described(names: tuple[str, ...], some: Sequence[str], found: list[str]) -> InspectedTime:
    # The order of day and month by which the readings lie closest is meant.
    spans = {form: _span(_read(form, some)) for form in found}
    form = min(found, key=lambda each: spans[each])
    times = _read(form, some)
    zoned = form in EPOCHS or all(isinstance(reader(form)(cell), int) for cell in some[:_SOME])
    return InspectedTime(
        columns=names,
        formats=(form,),
        zoned=zoned,
        ambiguous=len(set(spans.values())) > 1,
        earliest=rfc3339(min(times).replace(tzinfo=UTC)),
        latest=rfc3339(max(times).replace(tzinfo=UTC)),
    )


def _span(times: Sequence[datetime]) -> int:
    return micros(max(times)) - micros(min(times))
