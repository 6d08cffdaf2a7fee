"""A segment: one CSV file of a stream, append-only, of which every acknowledged byte stays.

While it is written its name begins with a dot, so that no job reads it; then it gets its name and
never changes again. Beside it lies its log of commits. Each line there states how long the CSV
file is and its CRC-32, and the keys of what was written last. What a kill or a power cut left
behind the last line that is true was never acknowledged, and is cut off (``recover``). The log
stays after the segment is closed, since a sender may repeat a key later.
"""

import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from edge_etl_job.results.durable import sync_folder

_NUMBER: Final = 10
_SUFFIX: Final = ".csv"
_COMMITS: Final = ".commits"


@dataclass(frozen=True)
class Commit:
    """A state of the CSV file that was durable."""

    end: int
    crc: int
    keys: tuple[str, ...]

    def line(self) -> bytes:
        """Return the commit as a line of the log, which tells whether it is whole."""
        text = f"{self.end} {self.crc:08x} {','.join(self.keys)}".encode()
        return b"%s %08x\n" % (text, zlib.crc32(text))

    @classmethod
    def parse(cls, line: bytes) -> Self | None:
        """Return what a line states, None when it is torn."""
        text, _, check = line.rpartition(b" ")
        if check != b"%08x" % zlib.crc32(text):
            return None
        end, crc, keys = text.decode().split(" ")
        return cls(int(end), int(crc, 16), tuple(keys.split(",")) if keys else ())


class Segment:
    """The segment that a stream writes now."""

    def __init__(self, folder: Path, number: int, columns: Sequence[str]) -> None:
        """Create the files; the first `commit` makes them durable."""
        self.folder = folder
        self.columns = tuple(columns)
        self.number = number
        self.size = 0
        self._crc = 0
        self._log_size = 0
        self._named = False
        self._data = os.open(_hidden(folder, number, _SUFFIX), _FLAGS, 0o640)
        self._log = os.open(_hidden(folder, number, _COMMITS), _FLAGS, 0o640)

    def commit(self, rows: bytes, keys: Sequence[str]) -> None:
        """Append whole lines; on return they and their keys are durable.

        After an OSError the segment is as it was, or, if even that fails, must not be used again.
        """
        header = b"" if self.size else ",".join(self.columns).encode() + b"\n"
        content = header + rows
        crc = zlib.crc32(content, self._crc)
        commit = Commit(self.size + len(content), crc, tuple(keys))
        line = commit.line()
        try:
            _write(self._data, content)
            _write(self._log, line)
            os.fdatasync(self._data)
            os.fdatasync(self._log)
            if not self._named:
                sync_folder(self.folder)
                self._named = True
        except OSError:
            os.ftruncate(self._data, self.size)
            os.ftruncate(self._log, self._log_size)
            raise
        self.size, self._crc = commit.end, crc
        self._log_size += len(line)

    def abandon(self) -> None:
        """Leave the segment to `recover`."""
        os.close(self._data)
        os.close(self._log)

    def close(self) -> None:
        """Give the segment its name, where jobs see it; one without rows leaves nothing."""
        self.abandon()
        _publish(self.folder, self.number, self.size)


def recover(folder: Path) -> list[Path]:
    """Repair and close what a process that died was writing; return the segments that appeared."""
    found = []
    for path in sorted(folder.glob(f".{'[0-9]' * _NUMBER}{_SUFFIX}")):
        number = int(path.stem[1:])
        end = _durable(path, _hidden(folder, number, _COMMITS))
        with path.open("r+b") as data:
            data.truncate(end)
            os.fsync(data.fileno())
        if published := _publish(folder, number, end):
            found.append(published)
    return found


def closed(folder: Path) -> list[Path]:
    """Return the segments that jobs see, the oldest first."""
    return sorted(folder.glob(f"{'[0-9]' * _NUMBER}{_SUFFIX}"))


def next_number(folder: Path) -> int:
    """Return a number that no segment had, as long as one log of commits is kept."""
    names = [path.stem.lstrip(".") for path in folder.iterdir() if path.suffix in _SUFFIXES]
    return 1 + max((int(name) for name in names if name.isdecimal()), default=0)


def columns_of(path: Path) -> tuple[str, ...]:
    """Return the columns of a segment."""
    with path.open("rb") as data:
        return tuple(data.readline().decode().rstrip("\n").split(","))


def remembered(folder: Path, limit: int) -> list[str]:
    """Return the last keys, the oldest first, and remove the logs of older ones.

    The newest log stays in any case, so that numbers go on.
    """
    keys: list[str] = []
    logs = sorted(folder.glob(f".{'[0-9]' * _NUMBER}{_COMMITS}"), reverse=True)
    for position, path in enumerate(logs):
        if position and len(keys) >= limit:
            path.unlink()
            continue
        keys[:0] = _keys(path)
    return keys[-limit:]


def keys_of(path: Path) -> list[str]:
    """Return the keys of a closed segment."""
    return _keys(path.with_name(f".{path.stem}{_COMMITS}"))


def _keys(log: Path) -> list[str]:
    return [key for commit in _commits(log) for key in commit.keys]


def _durable(data: Path, log: Path) -> int:
    """Return how many bytes of a CSV file were committed."""
    end = crc = 0
    with data.open("rb") as content:
        for commit in _commits(log):
            part = content.read(commit.end - end)
            crc = zlib.crc32(part, crc)
            if end + len(part) != commit.end or crc != commit.crc:
                break
            end = commit.end
        else:
            return end
    # What the log says last is not true of the data: such keys were never acknowledged.
    with log.open("r+b") as lines:
        kept = sum(len(commit.line()) for commit in _commits(log) if commit.end <= end)
        lines.truncate(kept)
        os.fsync(lines.fileno())
    return end


def _commits(log: Path) -> Iterator[Commit]:
    try:
        lines = log.open("rb")
    except FileNotFoundError:
        return
    with lines:
        for line in lines:
            commit = Commit.parse(line.removesuffix(b"\n")) if line.endswith(b"\n") else None
            if commit is None:
                return
            yield commit


def _publish(folder: Path, number: int, size: int) -> Path | None:
    hidden = _hidden(folder, number, _SUFFIX)
    if not size:
        hidden.unlink()
        _hidden(folder, number, _COMMITS).unlink(missing_ok=True)
        return None
    target = folder / f"{number:0{_NUMBER}}{_SUFFIX}"
    hidden.rename(target)
    sync_folder(folder)
    return target


def _hidden(folder: Path, number: int, suffix: str) -> Path:
    return folder / f".{number:0{_NUMBER}}{suffix}"


def _write(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
_SUFFIXES: Final = (_SUFFIX, _COMMITS)
