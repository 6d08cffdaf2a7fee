"""The file of the ledger: opened by one process at a time, made, looked through, set aside."""

import _sqlite3 as sqlite3  # without what turns dates into text
import errno
import fcntl
import os
from collections.abc import Container, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from edge_etl_job.errors import EdgeError
from edge_etl_job.logs import log
from edge_etl_job.reasons import DISK_FULL, STATE_UNWRITABLE

_VERSION: Final = 3
"""Of the tables: one more whenever they change."""
_LEAST_ROOM: Final = 1 << 16  # bytes: SQLite's write-ahead log and its index begin with as many

Tables = Mapping[str, Mapping[str, str]]
"""The tables, each with its columns and their types."""


def opened(path: Path, tables: Tables, large: Container[str]) -> sqlite3.Connection:
    """Open the file of these tables; make another one when it is damaged.

    Whether those of them that are ``large`` are damaged is left to ``look_through``.
    """
    try:
        return _connected(path, tables, large)
    except sqlite3.OperationalError:
        raise
    except sqlite3.DatabaseError as error:
        set_aside(path, error)
        return _connected(path, tables, large)


def _connected(path: Path, tables: Tables, large: Container[str]) -> sqlite3.Connection:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute("PRAGMA journal_mode=WAL").close()
        # With WAL only FULL makes a commit survive a power cut (sqlite.org/pragma.html).
        db.execute("PRAGMA synchronous=FULL").close()
        with closing(db.execute("PRAGMA user_version")) as version:
            is_known = version.fetchone()[0] == _VERSION
        if is_known:
            look_through(db, *(table for table in tables if table not in large))
        else:
            look_through(db)
            _make(db, tables)
    except BaseException:
        db.close()
        raise
    return db


def look_through(db: sqlite3.Connection, *tables: str) -> None:
    """Look whether some tables, or all of them, are as they were written; raise DatabaseError."""
    for table in tables or ("1",):  # a number is that of the mistakes which are of interest
        with closing(db.execute(f"PRAGMA quick_check({table})")) as check:
            if (answer := check.fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(answer)


def set_aside(path: Path, error: sqlite3.DatabaseError) -> None:
    """Make room for another file where a damaged one is.

    A power cut can take a file system's promise back. What has been delivered is known from the
    results, too; a Pi that never delivers again costs data.
    """
    log.warning("the ledger is damaged, another one is begun: %s", error)
    path.replace(path.with_suffix(".db.damaged"))
    for journal in (f"{path.name}-wal", f"{path.name}-shm"):
        (path.parent / journal).unlink(missing_ok=True)


def _make(db: sqlite3.Connection, tables: Tables) -> None:
    """Make the tables, or take over those of an older version of this program.

    Columns that it did not know begin with nothing: a file of which less is known is looked at
    again.
    """
    db.execute("BEGIN IMMEDIATE")
    for table, columns in tables.items():
        typed = ", ".join(f"{name} {kind}" for name, kind in columns.items())
        db.execute(f"CREATE TABLE IF NOT EXISTS {table} ({typed})")
        known = {row[1] for row in db.execute(f"PRAGMA table_info({table})")}
        for name, kind in columns.items():
            if name not in known:
                db.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
    db.execute("CREATE UNIQUE INDEX IF NOT EXISTS by_name ON entries (name)")
    db.execute("CREATE INDEX IF NOT EXISTS by_head ON entries (head)")
    db.execute("CREATE INDEX IF NOT EXISTS by_head_length ON entries (head_length)")
    db.execute(f"PRAGMA user_version={_VERSION}").close()
    db.execute("COMMIT")


def locked(state: Path) -> int:
    """Take the state directory for this process; the kernel gives it back when it dies."""
    state.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(state / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.info("waiting for another attempt on this node to end")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


@contextmanager
def explained(state: Path) -> Iterator[None]:
    """Turn what the disk refuses into an error that says what to do."""
    try:
        yield
    except (OSError, sqlite3.OperationalError) as error:
        raise refusal(error, state, STATE_UNWRITABLE) from error


def refusal(error: OSError | sqlite3.Error, folder: Path, otherwise: str) -> EdgeError:
    """Return the EdgeError of a disk's refusal: DiskFull, or the reason for everything else."""
    if isinstance(error, OSError):
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    else:
        # SQLite says "disk is full" of its main file, and only "I/O error" of its helpers.
        code = getattr(error, "sqlite_errorcode", None)
        full = code == sqlite3.SQLITE_FULL or _without_room(folder)
    if full:
        return EdgeError(DISK_FULL, f"no space is left in {folder}: make room on the node's disk")
    text = error.strerror if isinstance(error, OSError) else str(error)
    return EdgeError(
        otherwise, f"{folder} cannot be written by uid {os.getuid()}, gid {os.getgid()}: {text}"
    )


def _without_room(folder: Path) -> bool:
    room = os.statvfs(folder)
    return room.f_bavail * room.f_frsize < _LEAST_ROOM or (room.f_files > 0 and room.f_favail == 0)
