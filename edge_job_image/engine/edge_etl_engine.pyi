"""The compiled engine, for `edge_etl_job.engine_native`, and the intake, for `edge_etl_agent`."""

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

STATUS: dict[str, int]
"""The reasons for which the agent refuses readings, each with its HTTP status."""

_Values = list[tuple[str, str]]
_Readings = list[tuple[int | None, _Values]]

class Intake:
    """Where readings arrive: an HTTP server in a thread of its own, and the broker's messages."""

    def __init__(self, readings: int, memory: int) -> None:
        """So many readings may wait for the disk, and take so many bytes of memory."""

    def set_tokens(
        self,
        tokens: Sequence[tuple[str, bytes, Sequence[str] | None, Sequence[str] | None, int | None]]
        | None,
    ) -> None:
        """Set who may send: name, SHA-256, streams, sensors, expiry (microseconds); None: all."""

    def listen(
        self,
        options: str,
        respond: Callable[
            [str, str, str, str | None, bytes],
            tuple[int, list[tuple[str, str]], bytes | PathLike[str]],
        ],
    ) -> int:
        """Serve HTTP as the options (JSON) say, and return the port; OSError when it cannot be.

        What is not for readings, ``respond(method, path, query, caller, body)`` answers.
        """

    def put(
        self,
        stream: str,
        columns: _Values,
        field: str | None,
        payload: bytes,
        key: str | None,
        again: bool,
        ticket: int,
    ) -> None:
        """Take a message; raise ValueError with the reason and what is wrong."""

    def settled(self) -> list[tuple[int, tuple[str, str] | None]]:
        """Return the tickets settled since the last call; if refused: reason and message."""

    def take(self, seconds: float) -> list[Part]:
        """Return what has arrived; when there is nothing, wait so long at most."""

    def refusals(self) -> dict[str, int]:
        """Return how often each reason was given."""

    def end(self) -> None:
        """Take no new connections, and let nothing more wait."""

    def ended(self) -> bool:
        """Say whether everybody has been answered after ``end``."""

class Part:
    """What has arrived for one stream."""

    @property
    def stream(self) -> str: ...
    @staticmethod
    def of(stream: str, readings: _Readings) -> Part:
        """Return a part of readings for which nobody waits."""

    def __len__(self) -> int: ...
    def keyed(self) -> list[tuple[int, str, bool]]:
        """Return the keys: where they stand, digest, whether they may have come before."""

    def duplicate(self, places: Sequence[int]) -> int:
        """Say of those at these places that they are there already; return how many readings."""

    def defer(self, places: Sequence[int]) -> None:
        """Let those at these places arrive once more."""

    def fit(self, known: Sequence[str], most: int) -> list[str]:
        """Return the columns of all; refuse who would make them more than ``most``."""

    def undated(self) -> Part:
        """Take out what has readings without a time."""

    def rows(
        self, columns: Sequence[str], now: int | None, recent: Recent | None
    ) -> tuple[bytes, int | None]:
        """Return lines of CSV, and the last time given to readings without one.

        What ``recent`` knows is left out.
        """

    def repeated(self) -> int:
        """Return how many readings `rows` has left out."""

    def readings(self) -> _Readings: ...
    def last(self) -> tuple[int | None, _Values] | None: ...
    def accept(self) -> None:
        """Say of all that are left that they are stored."""

    def refuse(self, reason: str, message: str) -> None:
        """Refuse all that are left."""

class Recent:
    """The newest readings that say their own time, in all streams."""

    def __init__(self, most: int) -> None: ...
    def learn(self, stream: str, segment: bytes) -> bool:
        """Learn a segment older than all that is known; return whether there is room for more."""

    def forget(self) -> None:
        """Forget the readings of the last `Part.rows`, which could not be stored."""

def readings(content_type: str, body: bytes) -> _Readings:
    """Return what a body says; raise ValueError with reason, message and record."""

def message(columns: _Values, field: str | None, payload: bytes) -> _Readings:
    """Return what a message says; raise ValueError with reason, message and record."""
