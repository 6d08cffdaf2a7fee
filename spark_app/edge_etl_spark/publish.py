"""Publish a version of the table: readers see the old one whole, then the new one whole.

A version is built in ``staging/``, made durable, and renamed to ``versions/vNNNNNN``: that rename
is the commit, and it fails if the version exists, so two publishers cannot both make it. Then the
link ``current`` is replaced. A kill between the two leaves a version that `recover` points to.
"""

import errno
import fcntl
import itertools
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from edge_etl_spark.documents import VersionManifest
from edge_etl_spark.errors import TABLE_BUSY, AggregationError
from edge_etl_spark.logs import log
from edge_etl_spark.versions import version_name, version_numbers

_NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV, errno.EMLINK}
_NO_LOCKS: Final = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


@contextmanager
def exclusive(table: Path, wait_seconds: float = 60) -> Iterator[None]:
    """Hold the table, so that two aggregations of a job never work at once.

    Waits for a driver that is just ending. Raises AggregationError (TableBusy) afterwards. On a
    volume without locks the work goes on: the rename of `publish` still lets only one win.
    """
    table.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + wait_seconds
    with (table / "lock").open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise AggregationError(
                        TABLE_BUSY,
                        f"another aggregation has held {table} for {wait_seconds:.0f} s; wait for "
                        "it, or end its pod or process",
                    ) from None
                time.sleep(0.2)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
                log.warning("the volume has no locks", extra={"event": "no-locks"})
                break
        yield


def recover(table: Path) -> None:
    """Finish or clear away what an aggregation left that died; the caller holds the table."""
    shutil.rmtree(table / "staging", ignore_errors=True)
    for link in table.glob(".current-*"):
        link.unlink(missing_ok=True)
    numbers = version_numbers(table)
    if numbers:
        _point_to(table, numbers[-1])


def new_staging(table: Path, run: str) -> Path:
    """Make an empty directory in which a version can be built."""
    staging = table / "staging" / f"{run}-{uuid.uuid4().hex[:12]}"
    staging.mkdir(parents=True)
    return staging


def carry_over(source: Path, staging: Path, path: str) -> None:
    """Let the new version share an unchanged file of the version in ``source``."""
    share(source / path, staging / path)


def share(source: Path, target: Path) -> None:
    """Give a file that never changes a second name.

    A hard link costs nothing; where the volume has none, the file is copied.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.hardlink_to(source)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(source, target)


def publish(table: Path, staging: Path, manifest: VersionManifest) -> Path:
    """Make the content of ``staging`` the current version, and return its directory.

    Raises AggregationError (TableBusy) when another publisher made this version first.
    """
    content = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    (staging / "version.json").write_bytes(content + b"\n")
    _sync_tree(staging)
    version = table / "versions" / version_name(manifest.version)
    version.parent.mkdir(exist_ok=True)
    try:
        # Onto a directory that is not empty, rename(2) fails; a version is never empty.
        staging.rename(version)
    except OSError as error:
        if error.errno not in {errno.EEXIST, errno.ENOTEMPTY}:
            raise
        raise AggregationError(
            TABLE_BUSY, f"another aggregation published {version} first; run again"
        ) from None
    _sync(version.parent)
    _point_to(table, manifest.version)
    return version


def prune(table: Path, keep: int, grace_seconds: float) -> tuple[int, ...]:
    """Remove old versions, and return their numbers; the caller holds the table.

    The newest ``keep`` stay, and all that were replaced less than ``grace_seconds`` ago: somebody
    may still be reading them. A version was replaced when the next one was published. Each leaves
    ``versions/`` by a rename first, so that no half of it is ever taken for one.
    """
    numbers = version_numbers(table)
    replaced_by = dict(itertools.pairwise(numbers))
    old = [number for number in numbers[:-keep] if _age(table, replaced_by[number]) > grace_seconds]
    for number in old:
        trash = new_staging(table, "pruned")
        (table / "versions" / version_name(number)).rename(trash / "version")
    shutil.rmtree(table / "staging", ignore_errors=True)
    return tuple(old)


def _age(table: Path, number: int) -> float:
    """Return how many seconds ago a version was published."""
    return time.time() - (table / "versions" / version_name(number)).stat().st_mtime


def _point_to(table: Path, number: int) -> None:
    current, target = table / "current", f"versions/{version_name(number)}"
    if current.is_symlink() and str(current.readlink()) == target:
        return
    link = table / f".current-{uuid.uuid4().hex[:12]}"
    link.symlink_to(target)
    link.replace(current)
    _sync(table)


def _sync_tree(directory: Path) -> None:
    for parent, _, files in os.walk(directory, topdown=False):
        for name in files:
            path = Path(parent, name)
            if path.stat().st_nlink == 1:  # a carried-over file is durable already
                _sync(path)
        _sync(Path(parent))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
