"""Which segments every job that reads them has delivered: the ledgers on the same Pi say so."""

import errno
import fcntl
import os
import re
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

_QUERY: Final = (
    "SELECT name, identity, quarantine IS NULL AND offset = size FROM entries "
    "WHERE name IS NOT NULL"
)
_SEGMENT: Final = re.compile(r"(?:.*/)?\d{10}\.csv")

Names = set[tuple[str, str]]
"""Files by their name in the source and their device and inode."""


class Busy(Exception):  # noqa: N818 - it is asked again later
    """An attempt has a ledger now, or left one that its next attempt must repair."""


def delivered(source: Path, segments: Iterable[Path], state: Path) -> list[Path]:
    """Return the segments that were delivered in whole by every job that reads the source.

    A job reads the source if its ledger knows a segment, also one that is gone. Without such a job
    nothing was delivered. Raise Busy when that cannot be told now.
    """
    readers = [
        names for folder in sorted(state.glob("*/*/")) if (names := _delivered(folder)) is not None
    ]
    return [path for path in segments if _in_all(path, source, readers)] if readers else []


def _in_all(path: Path, source: Path, readers: Iterable[Names]) -> bool:
    status = path.stat()
    known = (str(path.relative_to(source)), f"{status.st_dev}:{status.st_ino}")
    return all(known in names for names in readers)


def _delivered(folder: Path) -> Names | None:
    """Return what a job has delivered, None when it does not read segments."""
    ledger = folder / "ledger.db"
    with _at_rest(folder):
        if not ledger.exists():
            return None
        if (folder / "ledger.db-wal").exists():
            raise Busy
        try:
            # Nobody writes it now, and this directory is mounted read-only.
            with closing(sqlite3.connect(f"{ledger.as_uri()}?immutable=1", uri=True)) as db:
                rows = db.execute(_QUERY).fetchall()
        except sqlite3.DatabaseError as error:
            raise Busy from error
    segments = [row for row in rows if _SEGMENT.fullmatch(row[0])]
    return {(name, identity) for name, identity, whole in segments if whole} if segments else None


@contextmanager
def _at_rest(folder: Path) -> Iterator[None]:
    """Hold the lock of the state directory, which every attempt takes."""
    try:
        lock = os.open(folder / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        yield
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise Busy from error
        raise
    finally:
        os.close(lock)
