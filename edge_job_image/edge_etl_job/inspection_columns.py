"""Find out what is in the columns of files: types, ranges, what stands for no value."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from edge_etl_job.inspection_document import InspectedColumn

_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?")
_NULLS: Final = frozenset(
    {"na", "n/a", "nan", "null", "none", "nil", "-", "--", "?", "missing", "error", "inf"}
)
_BOOLEANS: Final = frozenset({"true", "false"})
_SENTINELS: Final = frozenset(
    {-127.0, -200.0, -999.0, -999.9, -9999.0, -99.0, -99.9, 999.0, 9999.0, 99999.0, 65535.0}
)
_DISTINCT: Final = 100

Cells = Callable[[str], list[str]]


def is_number(cell: str) -> bool:
    """Tell whether a cell is a number, whatever its decimal mark is."""
    return _NUMBER.fullmatch(cell) is not None


def columns_of(
    tables: Sequence[tuple[Sequence[str], Cells, str]],
    times: set[str],
    key: Sequence[str],
) -> Iterator[InspectedColumn]:
    """Yield the columns of all files in the order in which they come first.

    Each table is its columns, their cells, and its decimal mark.
    """
    names = dict.fromkeys(name for columns, _, _ in tables for name in columns if name)
    for name in names:
        if name in times:
            continue
        cells = [
            (cell, decimal)
            for columns, cells_of, decimal in tables
            if columns.count(name) == 1
            for cell in cells_of(name)
        ]
        yield _column(name, cells, text=name in key)


def _column(name: str, cells: Sequence[tuple[str, str]], *, text: bool) -> InspectedColumn:
    filled = [(cell, mark) for cell, mark in cells if cell]
    nulls = Counter(cell for cell, _ in filled if cell.lower() in _NULLS)
    values = [(cell, mark) for cell, mark in filled if cell.lower() not in _NULLS]
    distinct = min(_DISTINCT, len({cell for cell, _ in values}))
    example = values[0][0] if values else ""
    if not values:
        return InspectedColumn(name=name, kind="empty", distinct=0, nulls=tuple(sorted(nulls)))
    if not text and all(is_number(cell) for cell, _ in values):
        written = {float(cell.replace(mark, ".")): cell for cell, mark in values}
        sentinels = [number for number in written if _is_sentinel(number, written)]
        numbers = [number for number in written if number not in sentinels]
        return InspectedColumn(
            name=name,
            kind="double",
            distinct=distinct,
            min=min(numbers),
            max=max(numbers),
            nulls=tuple(sorted(nulls)),
            sentinels=tuple(written[number] for number in sorted(sentinels)),
            example=example,
        )
    boolean = not text and all(cell.lower() in _BOOLEANS for cell, _ in values)
    return InspectedColumn(
        name=name,
        kind="boolean" if boolean else "string",
        distinct=distinct,
        nulls=tuple(sorted(nulls)),
        example=example,
    )


def _is_sentinel(number: float, written: dict[float, str]) -> bool:
    """Tell whether a number usually means that there is no value, and is far beside all others."""
    others = [each for each in written if each != number and each not in _SENTINELS]
    if number not in _SENTINELS or not others:
        return False
    if number < 0 <= min(others):
        return True
    span = max(others) - min(others)
    return number < min(others) - span or number > max(others) + span
