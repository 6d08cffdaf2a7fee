"""Remove what dead attempts left in the results: files that no manifest will ever list."""

import shutil
import time
from pathlib import Path

import msgspec

from edge_etl_job.results.layout import MANIFEST


class _Committed(msgspec.Struct, frozen=True):
    attempt: str


def remove_dead_attempts(root: Path, lost_seconds: float, open_seconds: float) -> int:
    """Remove the folders of attempts that cannot commit any more; return how many.

    Once a node's manifest stands in a run, no other attempt can commit there: the others go when
    nobody has written to them for ``lost_seconds``. Where none stands, a pod may still be at work,
    so that only what was not touched for ``open_seconds`` is taken for dead. Should one of these
    commit after all, its manifest is refused, because files that it lists are not there.
    """
    removed = 0
    now = time.time()
    for node in root.glob("*/*/runs/*/*"):
        try:
            standing = _standing(node / MANIFEST)
        except msgspec.DecodeError:
            continue  # nobody knows what it lists
        patience = open_seconds if standing is None else lost_seconds
        for attempt in _folders(node):
            if attempt.name != standing and now - _last_change(attempt) > patience:
                shutil.rmtree(attempt, ignore_errors=True)
                removed += 1
        if standing is None:
            _remove_if_empty(node)
    return removed


def _standing(manifest: Path) -> str | None:
    """Return the attempt that has committed, None when none has."""
    try:
        return msgspec.json.decode(manifest.read_bytes(), type=_Committed).attempt
    except FileNotFoundError:
        return None


def _folders(node: Path) -> list[Path]:
    return [path for path in node.iterdir() if path.is_dir()] if node.is_dir() else []


def _last_change(attempt: Path) -> float:
    """Return when a file came in, or was written to, last."""
    times = [attempt.stat().st_mtime]
    for path in attempt.iterdir():
        try:
            times.append(path.stat().st_mtime)
        except FileNotFoundError:
            continue
    return max(times)


def _remove_if_empty(node: Path) -> None:
    """Remove a node's folder without anything in it, and its run's."""
    try:
        node.rmdir()
        node.parent.rmdir()
    except OSError:
        return
