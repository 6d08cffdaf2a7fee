"""Divide the rows of an aggregation into parts, each of which is merged by itself.

Where the timestamp belongs to the key, rows of one key are of one day: a part is then some days,
and one task merges it without a shuffle. Otherwise all rows are one part.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SMALL_BYTES: Final = 2 * 1024 * 1024
"""Compressed Parquet that one task does sooner than several: about 300,000 readings."""
PART_BYTES: Final = 4 * 1024 * 1024
"""Compressed Parquet up to which neighbouring days share a part: some 500,000 readings."""
_FEW_FILES: Final = 8
"""So many files of a day serve a reader as well as one."""
_LARGE_BYTES: Final = 1024 * 1024
"""So do files of this size, however many there are."""


@dataclass(frozen=True)
class RowFile:
    """A file of rows that are merged: a node's, or one of the table."""

    day: str
    path: Path
    rows: int
    bytes: int
    sha256: str


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


def days_of(parts: Sequence[RowPart]) -> dict[str, tuple[list[RowFile], list[RowFile]]]:
    """Return for each day the files that are new, and those of the table."""
    found: dict[str, tuple[list[RowFile], list[RowFile]]] = {}
    for part in parts:
        for place, files in enumerate((part.new, part.old)):
            for file in files:
                found.setdefault(file.day, ([], []))[place].append(file)
    return found


def without(parts: Sequence[RowPart], days: Collection[str]) -> tuple[RowPart, ...]:
    """Return the parts of the other days."""
    if not days:
        return tuple(parts)
    rest = [files for day, files in days_of(parts).items() if day not in days]
    return parts_of_days(
        [file for new, _ in rest for file in new], [file for _, old in rest for file in old]
    )


def serve_readers(files: Sequence[RowFile]) -> bool:
    """Tell whether those who read a day need not care that it has so many files."""
    return (
        len(files) <= _FEW_FILES or sum(file.bytes for file in files) >= len(files) * _LARGE_BYTES
    )
