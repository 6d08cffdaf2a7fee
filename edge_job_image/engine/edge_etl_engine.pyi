"""The compiled engine; `edge_etl_job.engine_native` is its only caller."""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TypedDict

class Input(TypedDict, total=False):
    """What became of one input: counts, or one of the others, which say why it was not read."""

    rows: int
    clean: int
    duplicate: int
    rejected: dict[str, int]
    refused: bytes
    lines: int
    content: bytes
    quarantined: tuple[str, str]
    shrunk: tuple[int, int]
    irregular: bool
    errno: int

class Outcome(TypedDict):
    """What the engine made of its inputs."""

    inputs: list[Input]
    files: list[tuple[str, str, str | None, int, int, str]]
    latest: int | None
    history: str | None

def clean(
    plan: str,
    inputs: Sequence[tuple[str, PathLike[str], int, int, int, int, int, str, int]],
    work_dir: PathLike[str],
    progress: Callable[[int], object],
) -> Outcome:
    """Clean the inputs, as the plan (JSON) says.

    Each is (name, path, first, start, end, lines, dialect, compression, digested); ``dialect`` is
    the place of one in the plan.
    """

def sha256(content: bytes) -> str:
    """Return the SHA-256 of some bytes in hexadecimal digits."""

class Listing:
    """The files of a source."""

    @property
    def digest(self) -> bytes:
        """A digest of all that is known of the files: the same as long as nothing changed."""

    @property
    def unreadable(self) -> list[str]:
        """The directories that cannot be listed, sorted."""

    @property
    def passed_over(self) -> list[str]:
        """Names that match, but are no regular files; sorted."""

    def __len__(self) -> int: ...
    def files(self) -> list[tuple[str, str, str, int, int, int]]:
        """Name, path, device and inode, size, times in nanoseconds; in the order of the names."""

def discover(source: PathLike[str], patterns: Sequence[str]) -> Listing:
    """List the regular files whose relative names match; OSError if the source cannot be."""
