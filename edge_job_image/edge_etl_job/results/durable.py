"""Files that appear under their name whole and durable, or not at all.

A file is written under another name in the folder where it shall appear, fsynced, and given its
name by link(2), which never replaces what stands; then the folder is fsynced.
"""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Self

from edge_etl_job.results.errors import RESULTS_FULL, RESULTS_UNAVAILABLE, ResultError
from edge_etl_job.results.layout import INCOMING

if TYPE_CHECKING:
    import hashlib

_CHUNK = 1 << 20
_GROUP_MAY_WRITE = 0o020
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


def _sha256() -> "hashlib._Hash":
    import hashlib  # it loads OpenSSL, which takes long

    return hashlib.sha256()


class Incoming:
    """A file on its way into a folder; without `publish` it leaves nothing behind."""

    def __init__(self, folder: Path, *, digested: bool = True) -> None:
        """Begin a file; only of one that is ``digested`` the SHA-256 is known."""
        self.folder = folder
        self.path = folder / f"{INCOMING}{os.urandom(16).hex()}"
        self.size = 0
        self._digest = _sha256() if digested else None
        self._file = self.path.open("xb")

    def write(self, chunk: bytes) -> None:
        """Append some bytes."""
        self._file.write(chunk)
        if self._digest is not None:
            self._digest.update(chunk)
        self.size += len(chunk)

    def copy(self, file: Path) -> None:
        """Append what a file holds."""
        with file.open("rb") as source:
            while chunk := source.read(_CHUNK):
                self.write(chunk)

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written so far, in hexadecimal digits."""
        return self._digest.hexdigest() if self._digest is not None else ""

    def publish(self, name: str, *, durably: bool = True) -> bool:
        """Give the file its name; return False when another file has that name.

        Its content is durable on return; its name only if it is given ``durably``, or else when
        ``sync_way`` has been there.
        """
        self._file.flush()
        os.fsync(self._file.fileno())
        created = _named(self.path, self.folder / name)
        if durably:
            sync_folder(self.folder)
        return created

    def read(self) -> bytes:
        """Return what was written."""
        self._file.flush()
        return self.path.read_bytes()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._file.close()  # flushes, which a full volume refuses
        except OSError:
            if kind is None:
                raise
        finally:
            self.path.unlink(missing_ok=True)


def _named(file: Path, target: Path) -> bool:
    """Give a file another name; return False when another file has that name."""
    try:
        os.link(file, target)
    except FileExistsError:
        # NFS says so also when a repeated request finds its own first one done.
        return target.samefile(file)
    return True


def linked(file: Path, target: Path) -> bool | None:
    """Give a file that nobody writes to any more another name, unless only a copy can have it.

    Return False when another file has that name, None where it takes a copy. The file's content is
    durable on return, its name when ``sync_way`` has been there.
    """
    if file.stat().st_dev != target.parent.stat().st_dev:
        return None
    _sync(file)
    try:
        return _named(file, target)
    except OSError:  # what else is wrong the copy will show
        return None


def make_folder(root: Path, relative: PurePosixPath, *, durably: bool = True) -> Path:
    """Create the folders below an existing root.

    Those that are new are durable on return, or else when ``sync_way`` has been there.
    """
    folder = root / relative
    if not relative.parts or folder.is_dir():
        return folder
    parent = make_folder(root, relative.parent, durably=durably)
    with suppress(FileExistsError):
        folder.mkdir()
        # Edge pods, the service and Spark share a volume through a common group (fsGroup).
        folder.chmod(folder.stat().st_mode | _GROUP_MAY_WRITE)
        if durably:
            sync_folder(parent)
    return folder


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    _sync(folder, os.O_DIRECTORY)


def _sync(path: Path, flags: int = 0) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_way(root: Path, relative: PurePosixPath) -> None:
    """Make all names on the way from the root to a folder durable, whoever made them."""
    folder = root
    sync_folder(folder)
    for part in relative.parts:
        folder /= part
        sync_folder(folder)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def remove_stale(root: Path, seconds: float) -> int:
    """Remove incoming files that nobody has written to for so long; return how many."""
    removed = 0
    oldest = time.time() - seconds
    # Datasets, nodes of a run, their attempts: nowhere else does a file come in.
    for folders in ("*/*", "*/*/runs/*/*", "*/*/runs/*/*/*"):
        for path in root.glob(f"{folders}/{INCOMING}*"):
            try:
                if path.stat().st_mtime < oldest:
                    path.unlink()
                    removed += 1
            except FileNotFoundError:
                continue
    return removed


@contextmanager
def explained(root: Path) -> Iterator[None]:
    """Turn what the operating system says into a ResultError that names the results' root."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ResultError(RESULTS_FULL, f"no room is left in the results {root}") from error
        if error.errno in _NO_LINKS:
            message = f"the volume of the results {root} must offer hard links: {error.strerror}"
            raise ResultError(RESULTS_UNAVAILABLE, message) from error
        raise ResultError(RESULTS_UNAVAILABLE, f"the results {root}: {error}") from error
