"""Compressed files, read as what they hold: known by their first bytes, whatever their names."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BufferedReader
from pathlib import Path
from typing import Final, Literal

from edge_etl_job.sources import open_regular

Compression = Literal["", "gz", "zst", "bz2", "xz"]

_LONGEST: Final = 10
_MAGIC: Final[dict[bytes, Compression]] = {
    b"\x1f\x8b\x08": "gz",
    b"\x28\xb5\x2f\xfd": "zst",
    b"\xfd7zXZ\x00": "xz",
    # "BZh" alone could begin a header: the block's magic is the number pi.
    **{b"BZh%d1AY&SY" % level: "bz2" for level in range(1, 10)},
}
_FIRST: Final = frozenset(magic[:1] for magic in _MAGIC)


def kind(file: BufferedReader) -> Compression:
    """Return how a file that stands at its start is compressed, by its first bytes."""
    begin = file.peek(_LONGEST)[:_LONGEST]
    if begin[:1] not in _FIRST:
        return ""
    return next((name for magic, name in _MAGIC.items() if begin.startswith(magic)), "")


@contextmanager
def opened_content(file: BufferedReader, compression: Compression) -> Iterator[BufferedIOBase]:
    """Give the content of a file that stands at its start as a file of its own.

    Raise DialectError where the file turns out to be damaged, or to expand beyond all measure.
    """
    if not compression:
        yield file
        return
    # These libraries cost time to load, and most files are not compressed.
    from edge_etl_job.archives import explained, unpacked

    with explained(compression), unpacked(file, compression) as content:
        yield content


@contextmanager
def open_content(path: Path, compression: Compression) -> Iterator[BufferedIOBase]:
    """Open a file of the source as what it holds; see ``opened_content``."""
    with open_regular(path) as file, opened_content(file, compression) as content:
        yield content
