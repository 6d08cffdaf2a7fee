"""Where slow things are kept between runs, outside the repository.

Everything here is keyed by a hash of what it was made from: a changed input is a
new entry, an unchanged one is never made again, and nothing has to be cleaned.
"""

import fcntl
import hashlib
import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_GRACE = 3600.0
REPOSITORY = Path(__file__).resolve().parents[3]


def cache_dir() -> Path:
    """Return the cache's root: `$PI_EDGE_SPARK_CACHE`, or one folder in the user's cache."""
    named = os.environ.get("PI_EDGE_SPARK_CACHE")
    if named:
        root = Path(named).absolute()
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        root = Path(base) / "pi-edge-spark"
    root.mkdir(parents=True, exist_ok=True)
    return root


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a lock that other processes of this user respect, and say so when waiting for it."""
    folder = cache_dir() / "locks"
    folder.mkdir(exist_ok=True)
    with (folder / f"{name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that is making {name}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def digest(*parts: str | bytes) -> str:
    """Return a short hash of the parts; ('a', 'b') and ('ab',) differ."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.hexdigest()[:16]


@contextmanager
def replaced(target: Path) -> Iterator[Path]:
    """Give a fresh folder that becomes `target` only if the block ends well."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f"{target.name}.draft-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        yield draft
        shutil.rmtree(target, ignore_errors=True)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def forget_older(current: Path, pattern: str) -> None:
    """Remove entries that `current` has replaced, but none that another process may be reading."""
    for other in current.parent.glob(pattern):
        if other != current and time.time() - other.stat().st_mtime > _GRACE:
            shutil.rmtree(other, ignore_errors=True)


def say(message: str) -> None:
    """Tell a person what is going on, without mixing it into a command's output."""
    print(f"[cluster] {message}", file=sys.stderr, flush=True)
