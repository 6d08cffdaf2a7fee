"""Divide the rows of an aggregation into parts, each of which is merged by itself.

Where the timestamp belongs to the key, rows of one key are of one day: a part is then some days,
and one task merges it without a shuffle. Otherwise all rows are one part.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PART_BYTES: Final = 4 * 1024 * 1024
"""Compressed Parquet up to which neighbouring days share a part: some 500,000 readings."""


@dataclass(frozen=True)
class RowFile:
    """A file of rows that are merged: a node's, or one of the table."""

    day: str
    path: Path
    rows: int
    bytes: int


@dataclass(frozen=True)
class RowPart:
    """Rows that are merged by themselves: no key of theirs can stand anywhere else."""

    days: frozenset[str]
    """The days that are written."""
    new: tuple[RowFile, ...]
    old: tuple[RowFile, ...]
    """Files of the table on these days."""
    known: tuple[RowFile, ...] = ()
    """Files of the table on other days, in which a key of a new row can stand already."""

    @property
    def rows(self) -> int:
        """How many rows there are before duplicates are left out."""
        return sum(file.rows for file in (*self.new, *self.old))

    @property
    def bytes(self) -> int:
        """Compressed size of what is read."""
        return sum(file.bytes for file in (*self.new, *self.old, *self.known))


def parts_of_days(new: Sequence[RowFile], old: Sequence[RowFile]) -> tuple[RowPart, ...]:
    """Return parts of neighbouring days; a day is never divided."""
    bytes_of: Counter[str] = Counter()
    for file in (*new, *old):
        bytes_of[file.day] += file.bytes
    groups: list[Counter[str]] = []
    for day, size in sorted(bytes_of.items()):
        if not groups or groups[-1].total() + size > PART_BYTES:
            groups.append(Counter())
        groups[-1][day] = size
    return tuple(
        RowPart(
            frozenset(days),
            tuple(file for file in new if file.day in days),
            tuple(file for file in old if file.day in days),
        )
        for days in groups
    )


def whole(
    new: Sequence[RowFile], old: Sequence[RowFile], known: Sequence[RowFile]
) -> tuple[RowPart, ...]:
    """Return one part of all rows, or none where there are no rows to write."""
    days = frozenset(file.day for file in (*new, *old))
    return (RowPart(days, tuple(new), tuple(old), tuple(known)),) if days else ()
