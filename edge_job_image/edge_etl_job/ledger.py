"""The ledger: what of which file has been delivered, in SQLite in the node's state directory.

It moves forward in two steps, so that a kill at any moment neither loses nor doubles a row: before
an attempt commits, what the ledger would become is stored beside it (``prepare``); when it is
certain that the attempt's manifest stands, that becomes the ledger (``advance``); when it is
certain that it does not, it is forgotten (``forget``).
"""

import _sqlite3 as sqlite3
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

import msgspec
from msgspec.structs import asdict, astuple

from edge_etl_job.ledger_file import explained, locked, look_through, opened, set_aside
from edge_etl_job.logs import log

if TYPE_CHECKING:
    from edge_etl_job.engine import Range


class Entry(msgspec.Struct, frozen=True):
    """A file as a run left it."""

    name: str
    identity: str
    size: int
    modified: int
    changed: int
    length: int
    """Bytes that it holds: more than its size where it is compressed."""
    offset: int
    """Bytes of these, from its start, that have been delivered."""
    lines: int
    """Line ends in them."""
    dialect: bytes
    """How it is written (``dialect.Dialect`` as JSON); empty when nothing was delivered."""
    content: bytes
    """Their digests (``content.digests``)."""
    head_length: int
    head: bytes
    quarantine: str | None
    """Why what follows ``offset`` is left where it is, None when it is not."""
    schema_version: str
    """The rules by which it was read last."""
    whole: bool
    """Whether all of the delivered bytes were read by them."""
    refused: bytes
    """Where among them the rejected rows are (``increments.ranges``)."""
    continues: bool
    """Whether the delivered bytes of an older entry of this name are the beginning of these."""

    @property
    def stamp(self) -> tuple[str, int, int, int]:
        """What differs when the file does: identity, size and times."""
        return self.identity, self.size, self.modified, self.changed


class Pending(msgspec.Struct, frozen=True):
    """An attempt that prepared the ledger, and maybe died before or behind its commit."""

    run: str
    attempt: str
    replay: str | None = None
    """The request that it hears."""


class Wanted(msgspec.Struct, frozen=True):
    """What a run reads beside what is new."""

    schema_version: str
    """The rules that hold now."""
    replay: bool = False
    """What was rejected or quarantined."""
    changed: bool = False
    """Files that were read by other rules."""
    exact: bool = False
    """Nothing but what was rejected is replayed: without rows no one can tell what was delivered
    before, and rules that look back can judge no row twice."""

    @property
    def rules(self) -> str:
        """The rules, if files that were read by others are wanted."""
        return self.schema_version if self.changed else ""

    def replays(self, *refused: "Range") -> bool:
        """Tell whether some of these rejected rows are to be read again."""
        return self.replay and any(not (self.exact and each.mixed) for each in refused)


class History(msgspec.Struct, frozen=True):
    """What is known of series of readings, for rules that look back."""

    schema_version: str
    """The rules of the run that knew it."""
    series: str
    """See ``EngineResult.history``."""


_TYPES: Final[dict[object, str]] = {
    int: "INTEGER NOT NULL DEFAULT 0",
    bool: "INTEGER NOT NULL DEFAULT 0",
    bytes: "BLOB NOT NULL DEFAULT x''",
}
_ENTRY: Final = {name: _TYPES.get(kind, "TEXT") for name, kind in Entry.__annotations__.items()}
_HISTORY: Final = {"schema_version": "TEXT", "series": "TEXT"}
_TABLES: Final = {
    "ledger": {"dataset": "TEXT"},
    "entries": _ENTRY,
    "prepared": _ENTRY,
    "pending": {"run": "TEXT", "attempt": "TEXT", "replay": "TEXT"},
    "replayed": {"id": "TEXT"},
    "settled": {"listing": "BLOB", "rules": "TEXT"},
    "history": _HISTORY,
    "prepared_history": _HISTORY,
}
_OF_FILES: Final = ("entries", "prepared")
"""The tables that grow with the number of files."""
_COLUMNS: Final = ", ".join(_ENTRY)
_PLACES: Final = ", ".join("?" for _ in _ENTRY)


class Ledger:
    """The ledger of one job on this node. Only one process has it at a time."""

    def __init__(self, state: Path) -> None:
        """Open or make the ledger; raise EdgeError when the state directory does not allow it."""
        self._state = state
        self._file = state / "ledger.db"
        with explained(state):
            self._lock = locked(state)
            self._db = opened(self._file, _TABLES, _OF_FILES)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._db.close()
        os.close(self._lock)

    def is_sound(self) -> bool:
        """Tell whether the ledger is as it was written; if it is not, another one is begun.

        When it is opened, only what tells that nothing is new is looked through: with what is known
        of ten thousand files that takes as long as to look at half of them.
        """
        with explained(self._state):
            try:
                look_through(self._db)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                self._db.close()
                set_aside(self._file, error)
                self._db = opened(self._file, _TABLES, _OF_FILES)
                return False
        return True

    def belongs_to(self, dataset: str) -> bool:
        """Tell whether the ledger is of these results; if it is not, it knows nothing any more."""
        row = self._db.execute("SELECT dataset FROM ledger").fetchone()
        if row is not None and row[0] != dataset and self.is_sound():
            log.warning("the results are others than before")
            with self._transaction():
                for table in _TABLES:
                    self._db.execute(f"DELETE FROM {table}")  # noqa: S608
        return row is not None and row[0] == dataset

    def begin(self, dataset: str, entries: Iterable[Entry]) -> None:
        """Belong to these results from now on, of which so much is known."""
        with self._transaction():
            for entry in entries:
                self._prepare([entry])
                self._advance()
            self._db.execute("INSERT INTO ledger VALUES (?)", (dataset,))

    def entry(self, name: str) -> Entry | None:
        """Return the entry of a name."""
        return next(self._entries("name = ?", name), None)

    def delivered(self, wanted: "Wanted") -> dict[str, tuple[str, int, int, int]]:
        """Return the stamps of all files of which nothing is wanted.

        To ask for the entry of each file takes longer than all else in a run without news.
        """
        query = (
            "SELECT name, identity, size, modified, changed FROM entries "
            "WHERE name IS NOT NULL AND quarantine IS NULL AND offset = length"
            " AND NOT (:replay AND refused <> x'')"
            " AND (NOT :changed OR (whole AND schema_version = :schema_version))"
        )
        return {row[0]: row[1:] for row in self._db.execute(query, asdict(wanted))}

    def is_settled(self, listing: bytes, wanted: "Wanted") -> bool:
        """Tell whether nothing was wanted of the files of a listing, when it was last compared."""
        if not listing or wanted.replay:
            return False
        row = self._db.execute("SELECT listing, rules FROM settled").fetchone()
        return row is not None and tuple(row) == (listing, wanted.rules)

    def settle(self, listing: bytes, wanted: "Wanted") -> None:
        """Note that nothing is wanted of the files of a listing."""
        with self._transaction():
            self._db.execute("DELETE FROM settled")
            self._db.execute("INSERT INTO settled VALUES (?, ?)", (listing, wanted.rules))

    def replayed(self) -> str | None:
        """Return the request to read again that was heard last."""
        row = self._db.execute("SELECT id FROM replayed").fetchone()
        return row[0] if row else None

    def same_head(self, head: bytes) -> list[Entry]:
        """Return the entries of files that began with the same bytes, the longest first."""
        return list(self._entries("head = ? AND offset > 0 ORDER BY offset DESC", head))

    def head_lengths(self) -> list[int]:
        """Return the lengths of all heads."""
        return [row[0] for row in self._db.execute("SELECT DISTINCT head_length FROM entries")]

    def _entries(self, condition: str, *values: object) -> Iterator[Entry]:
        query = f"SELECT {_COLUMNS} FROM entries WHERE {condition}"  # noqa: S608
        for row in self._db.execute(query, values).fetchall():
            yield Entry(*row)

    def pending(self) -> Pending | None:
        """Return the attempt that is neither forgotten nor in the ledger."""
        row = self._db.execute("SELECT run, attempt, replay FROM pending").fetchone()
        return Pending(*row) if row else None

    def history(self) -> History | None:
        """Return what is known of series of readings."""
        row = self._db.execute("SELECT schema_version, series FROM history").fetchone()
        return History(*row) if row else None

    def prepare(
        self, pending: Pending, entries: Iterable[Entry], history: History | None = None
    ) -> None:
        """Store durably what the ledger becomes when the attempt's manifest stands."""
        with self._transaction():
            self._clear()
            if history is not None:
                self._db.execute("INSERT INTO prepared_history VALUES (?, ?)", astuple(history))
            self._db.execute("INSERT INTO pending VALUES (?, ?, ?)", astuple(pending))
            self._prepare(entries)

    def _prepare(self, entries: Iterable[Entry]) -> None:
        insert = f"INSERT INTO prepared ({_COLUMNS}) VALUES ({_PLACES})"  # noqa: S608
        self._db.executemany(insert, [astuple(entry) for entry in entries])

    def _advance(self) -> None:
        # A file that took another's name does not make the other unknown: it may come back.
        self._db.execute(
            "UPDATE entries SET name = NULL WHERE offset > 0 AND name IN "
            "(SELECT name FROM prepared WHERE NOT continues)"
        )
        self._db.execute(
            f"INSERT OR REPLACE INTO entries ({_COLUMNS}) SELECT {_COLUMNS} FROM prepared"  # noqa: S608
        )
        self._db.execute("DELETE FROM prepared")

    def advance(self) -> None:
        """Make what is prepared the ledger."""
        with self._transaction():
            self._advance()
            if self._db.execute("SELECT 1 FROM prepared_history").fetchone():
                self._db.execute("DELETE FROM history")
                self._db.execute("INSERT INTO history SELECT * FROM prepared_history")
            if self._db.execute("SELECT 1 FROM pending WHERE replay IS NOT NULL").fetchone():
                self._db.execute("DELETE FROM replayed")
                self._db.execute("INSERT INTO replayed SELECT replay FROM pending")
            self._clear()

    def forget(self) -> None:
        """Forget what is prepared."""
        with self._transaction():
            self._clear()

    def _clear(self) -> None:
        self._db.execute("DELETE FROM prepared")
        self._db.execute("DELETE FROM pending")
        self._db.execute("DELETE FROM prepared_history")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with explained(self._state):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                if self._db.in_transaction:  # SQLite itself rolls back when the disk is full
                    self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
