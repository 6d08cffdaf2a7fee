"""Lines of a byte range."""

from collections.abc import Iterator
from io import BufferedIOBase
from typing import Final

from edge_etl_job.cells import MAX_LINE
from edge_etl_job.content import ShrunkError
from edge_etl_job.dialect import Decoder, Dialect, sizer

_CHUNK: Final = 1 << 18


def lines(
    file: BufferedIOBase, start: int, end: int, dialect: Dialect
) -> Iterator[tuple[bytes, int, bool]]:
    """Yield each line of a range as UTF-8, its bytes in the file, and whether it has an end.

    The line is given without its end, which its bytes count.

    Of a line longer than MAX_LINE a part is given that is longer than MAX_LINE too.
    """
    size, newline = sizer(dialect.encoding), dialect.wide
    rest, passed = b"", 0
    for chunk in _chunks(file, start, end, dialect):
        *whole, tail = chunk.split(b"\n")
        if whole:
            first = rest + whole[0]
            yield first, passed + size(first) + newline, True
            rest, passed = b"", 0
            for line in whole[1:]:
                yield line, size(line) + newline, True
        # Of an endless line no more is kept than shows that it is one.
        kept = tail[: MAX_LINE + 1 - len(rest)] if len(rest) <= MAX_LINE else b""
        passed += size(tail[len(kept) :])
        rest += kept
    if rest:
        yield rest, passed + size(rest), False


def _chunks(file: BufferedIOBase, start: int, end: int, dialect: Dialect) -> Iterator[bytes]:
    file.seek(start)
    position, decoder = start, Decoder(dialect)
    while position < end:
        chunk = file.read(min(_CHUNK, end - position))
        if not chunk:
            raise ShrunkError(f"it ended at byte {position}, {end} were there before")
        position += len(chunk)
        yield decoder(chunk, last=position == end)
