"""Rows on their way from the order of the files to the order of time.

A SQLite file in the working directory takes them as they come and gives them back sorted: SQLite's
sorter merges from disk, so memory stays the same for any number of rows in any order. A file's
rows are one transaction, so a file that turns out to be unreadable leaves nothing behind.
"""

import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self

from edge_etl_job.engine_python.values import Value

Row = tuple[Value, ...]
"""A clean row: its timestamp in microseconds, its fields, the index of its input."""
Rejected = tuple[int, int, int, str, str, str]
"""Index of the input, line, offset, reason, detail, raw."""

_CACHE_KIB: Final = 8_192
BATCH: Final = 8_192
"""Rows that are held as Python objects at once."""


class Sink(Protocol):
    """What takes rows as they are read."""

    def add(self, rows: Sequence[Row], rejected: Sequence[Rejected]) -> None:
        """Take clean rows, and rejected ones."""


class Spool:
    """The temporary database of one call of the engine.

    ``key`` are the positions in a row of what identifies a reading.
    """

    def __init__(self, work_dir: Path, fields: int, key: Sequence[int]) -> None:
        self._path = work_dir / "spool.db"
        # The sorter's own temporary files: /tmp does not exist on a read-only root file system.
        os.environ["SQLITE_TMPDIR"] = os.fspath(work_dir)
        self._db = sqlite3.connect(self._path, isolation_level=None)
        for pragma in (
            "journal_mode=MEMORY",
            "synchronous=OFF",
            "locking_mode=EXCLUSIVE",
            "temp_store=FILE",
            f"cache_size=-{_CACHE_KIB}",
        ):
            self._db.execute(f"PRAGMA {pragma}").close()
        # No column has a type: SQLite would store 1.0 as 1, and -0.0 as 0, in a REAL column.
        columns = ", ".join(f"c{position}" for position in range(fields + 2))
        self._db.execute(f"CREATE TABLE rows ({columns})")
        self._db.execute("CREATE TABLE rejected (input, line, at, reason, detail, raw)")
        self._insert = f"INSERT INTO rows VALUES ({', '.join('?' * (fields + 2))})"  # noqa: S608
        self._input = f"c{fields + 1}"
        self._key = [f"c{position}" for position in key]
        self._by_time = 0 in key

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._db.close()
        self._path.unlink(missing_ok=True)

    def begin(self) -> None:
        """Begin an input; what follows belongs to it until it is kept or dropped."""
        self._db.execute("BEGIN")

    def add(self, rows: Sequence[Row], rejected: Sequence[Rejected]) -> None:
        """Take clean and rejected rows, in the order in which they were read."""
        self._db.executemany(self._insert, rows)
        self._db.executemany("INSERT INTO rejected VALUES (?, ?, ?, ?, ?, ?)", rejected)

    def keep(self) -> None:
        """End an input."""
        self._db.execute("COMMIT")

    def drop(self) -> None:
        """End an input as if it had never begun."""
        self._db.execute("ROLLBACK")

    def remove_distant_duplicates(self) -> dict[int, int]:
        """Remove duplicates that sorting by time does not bring together; count them by input.

        They exist only where the key does not hold the timestamp.
        """
        if self._by_time:
            return {}
        firsts = f"SELECT min(rowid) FROM rows GROUP BY {', '.join(self._key)}"  # noqa: S608
        duplicate = f"FROM rows WHERE rowid NOT IN ({firsts})"
        count = f"SELECT {self._input}, count(*) {duplicate} GROUP BY 1"
        counts = dict(self._db.execute(count).fetchall())
        self._db.execute(f"DELETE {duplicate}")
        return counts

    def rows(self) -> Iterator[list[Row]]:
        """Yield batches of all rows by timestamp, then key, then the order of reading."""
        order = ", ".join(["c0", *(name for name in self._key if name != "c0"), "rowid"])
        yield from self._batches(f"SELECT * FROM rows ORDER BY {order}")  # noqa: S608

    def rejected(self) -> Iterator[list[Rejected]]:
        """Yield batches of rejected rows in the order of reading."""
        yield from self._batches("SELECT * FROM rejected ORDER BY rowid")

    def _batches(self, query: str) -> Iterator[list[Any]]:
        cursor = self._db.execute(query)
        while batch := cursor.fetchmany(BATCH):
            yield batch
