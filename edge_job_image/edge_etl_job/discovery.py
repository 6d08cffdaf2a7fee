"""Find the files of a source directory that belong to a job."""

import os
import re
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from edge_etl_job.errors import EdgeError
from edge_etl_job.reasons import SOURCE_UNREADABLE

if TYPE_CHECKING:
    import edge_etl_engine


class SourceFile(msgspec.Struct, frozen=True, gc=False):
    """A regular file as it was found."""

    name: str
    """Relative to the source, with ``/``; bytes that are not UTF-8 are shown as ``\\xff``."""
    location: str
    """Its path."""
    identity: str
    """Device and inode."""
    size: int
    modified: int
    """Nanoseconds since 1970, as whoever wrote the file may have set it."""
    changed: int
    """Nanoseconds since 1970 of the last change of content, name or owner: nobody can set it."""

    @property
    def stamp(self) -> tuple[str, int, int, int]:
        """What differs when the file does."""
        return self.identity, self.size, self.modified, self.changed

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self.location)


class Found(Protocol):
    """The files of a source, and the directories that could not be listed."""

    @property
    def digest(self) -> bytes:
        """A digest of all that is known of the files: the same as long as nothing changed.

        Empty when it is not known.
        """

    @property
    def unreadable(self) -> Sequence[str]:
        """The directories that could not be listed, sorted."""

    @property
    def passed_over(self) -> Sequence[str]:
        """Names that match, but are links, pipes, devices or sockets; sorted."""

    def __len__(self) -> int:
        """How many files there are."""

    def files(self) -> Iterable[SourceFile]:
        """Return the files, sorted by name."""


class Listed(msgspec.Struct, frozen=True):
    """What the plain way finds; only the compiled one knows a digest."""

    listed: tuple[SourceFile, ...]
    unreadable: tuple[str, ...]
    passed_over: tuple[str, ...] = ()
    """Names that match, but are links, pipes, devices or sockets."""
    digest: bytes = b""

    def __len__(self) -> int:
        """How many files there are."""
        return len(self.listed)

    def files(self) -> Iterable[SourceFile]:
        """Return the files, sorted by name."""
        return self.listed


class _Compiled:
    """What the compiled engine finds, ten times as fast; its files are made only for who asks."""

    def __init__(self, listing: "edge_etl_engine.Listing") -> None:
        self._listing = listing
        self.digest = listing.digest
        self.unreadable = listing.unreadable
        self.passed_over = listing.passed_over

    def __len__(self) -> int:
        return len(self._listing)

    def files(self) -> Iterable[SourceFile]:
        return [SourceFile(*each) for each in self._listing.files()]


def discover(source: Path, include: Sequence[str], place: Path | None = None) -> Found:
    """Return the files below ``source`` whose relative names match.

    ``place`` is where a person finds the source, if that is elsewhere than this program.

    Symbolic links are not followed: one can lead out of what the administrator allowed, or in a
    circle. Pipes, devices and sockets are passed over. Raise EdgeError if the source itself
    cannot be read.
    """
    try:
        import edge_etl_engine
    except ModuleNotFoundError:
        return listed(source, include, place)
    try:
        return _Compiled(edge_etl_engine.discover(source, include))
    except OSError as error:
        raise EdgeError(SOURCE_UNREADABLE, _explained(place or source, error)) from error


def matcher(patterns: Iterable[str]) -> re.Pattern[str]:
    """Compile glob patterns, of which a name matches one, into a regular expression.

    ``*`` and ``?`` stay within a directory, ``**`` is any number of directories, and neither
    matches a name that begins with a dot (such are the half-written files of rsync and editors).
    """
    return re.compile("|".join(f"(?:{_regex(pattern)})" for pattern in patterns), re.DOTALL)


def _regex(pattern: str) -> str:
    *folders, last = pattern.split("/")
    parts = [r"(?:[^/.][^/]*/)*" if part == "**" else _segment(part) + "/" for part in folders]
    return "".join(parts) + (r"(?:[^/.][^/]*/)*[^/.][^/]*" if last == "**" else _segment(last))


def _segment(segment: str) -> str:
    shown = "" if segment.startswith(".") else r"(?!\.)"
    parts = re.findall(r"\*+|\?|\[!?\]?[^\]]+\]|.", segment, re.DOTALL)
    return shown + "".join(_glob(part) for part in parts)


def _glob(part: str) -> str:
    if part.startswith("*"):
        return "[^/]*"
    if part == "?":
        return "[^/]"
    if len(part) > 1:
        negated, ranges = part[1] == "!", _ranges(part[2:-1] if part[1] == "!" else part[1:-1])
        # Of nothing, as of a range from its end to its start, there is no character.
        return f"[^/{ranges}]" if negated else f"[{ranges}]" if ranges else "(?!)"
    return re.escape(part)


def _ranges(body: str) -> str:
    """Return the characters of a class as a regular expression has them."""
    ranges = ""
    while body:
        first, last, length = body[0], body[0], 1
        if body[1:2] == "-" and len(body) > 2:
            last, length = body[2], 3
        if first <= last:
            ranges += f"{re.escape(first)}-{re.escape(last)}"
        body = body[length:]
    return ranges


def listed(source: Path, include: Iterable[str], place: Path | None = None) -> Listed:
    """Do what ``discover`` does, without the compiled engine."""
    matches = matcher(include).fullmatch
    files: list[SourceFile] = []
    unreadable: list[str] = []
    passed_over: list[str] = []
    # Names are put together here: to ask for the relative path of each file is slow.
    folders = [(os.fspath(source), "")]
    while folders:
        folder, above = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append((entry.path, f"{above}{entry.name}/"))
                        continue
                    name = _shown(above + entry.name)
                    if matches(name) and (state := _state(entry)):
                        if stat.S_ISREG(state.st_mode):
                            files.append(described(name, entry.path, state))
                        else:
                            passed_over.append(name)
        except OSError as error:
            if not above:
                raise EdgeError(SOURCE_UNREADABLE, _explained(place or source, error)) from error
            unreadable.append(_shown(above))
    files.sort(key=lambda file: file.name)
    return Listed(tuple(files), tuple(sorted(unreadable)), tuple(sorted(passed_over)))


def _state(entry: os.DirEntry[str]) -> os.stat_result | None:
    try:
        return entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None  # it vanished since the directory was listed


def described(name: str, location: str, state: os.stat_result) -> SourceFile:
    """Return a file as ``stat`` shows it."""
    return SourceFile(
        name=name,
        location=location,
        identity=f"{state.st_dev}:{state.st_ino}",
        size=state.st_size,
        modified=state.st_mtime_ns,
        changed=state.st_ctime_ns,
    )


def _shown(name: str) -> str:
    if name.isascii():
        return name
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _explained(source: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"the source directory {source} does not exist on this node"
    if isinstance(error, NotADirectoryError):
        return f"the source {source} is not a directory"
    if isinstance(error, PermissionError):
        return (
            f"the source directory {source} may not be read by uid {os.getuid()}, "
            f"gid {os.getgid()}: let others read it, or set the chart's edge.runAsUser"
        )
    return f"the source directory {source} cannot be read: {error.strerror}"
