"""Lines of a byte range, and the cells of a line.

A newline ends a record whatever stands before it: a quote that is never closed costs its own line
and not the good ones behind it.
"""

from collections.abc import Iterator
from io import BufferedIOBase
from typing import Final

from edge_etl_job.content import ShrunkError
from edge_etl_job.dialect import Decoder, Dialect, sizer
from edge_etl_job.engine_python.rejection import RejectionError, shown
from edge_etl_job.reasons import INVALID_ENCODING, MALFORMED_QUOTE, NOT_TEXT, ROW_TOO_LONG

MAX_LINE: Final = 65_536
"""Bytes of a line; a longer one is no reading."""
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


def text_of(line: bytes) -> str:
    """Return a line's text without the carriage return of a CRLF, or reject it."""
    if len(line) > MAX_LINE:
        raise RejectionError(ROW_TOO_LONG, f"the line has more than {MAX_LINE} bytes")
    if b"\0" in line:
        raise RejectionError(NOT_TEXT, f"a NUL byte at byte {line.index(0) + 1} of the line")
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        wrong = line[error.start : error.end].hex(" ")
        detail = f"not UTF-8: {wrong} at byte {error.start + 1} of the line"
        raise RejectionError(INVALID_ENCODING, detail) from None
    return text[:-1] if text.endswith("\r") else text


def split(text: str, delimiter: str) -> list[str]:
    """Return the cells of a line, without quotes and without blanks at their ends."""
    if '"' in text:
        return _split_quoted(text, delimiter)
    cells = text.split(delimiter)
    if " " in text or "\t" in text:
        return [cell.strip(" \t") for cell in cells]
    return cells


def _split_quoted(text: str, delimiter: str) -> list[str]:
    blanks = " \t".replace(delimiter, "")
    cells: list[str] = []
    rest = text
    while True:
        rest = rest.lstrip(blanks)
        if rest.startswith('"'):
            cell, rest = _quoted(rest)
            rest = rest.lstrip(blanks)
            if rest and not rest.startswith(delimiter):
                detail = f"{shown(rest)} stands behind the closing quote of {shown(cell)}"
                raise RejectionError(MALFORMED_QUOTE, detail)
            more, rest = bool(rest), rest[1:]
        else:
            cell, found, rest = rest.partition(delimiter)
            more = bool(found)
        cells.append(cell.strip(" \t"))
        if not more:
            return cells


def _quoted(text: str) -> tuple[str, str]:
    """Return the content of the quoted cell that begins ``text``, and what stands behind it."""
    content, begin = "", 1
    while (end := text.find('"', begin)) >= 0:
        content += text[begin:end]
        if text[end + 1 : end + 2] != '"':
            return content, text[end + 1 :]
        content += '"'
        begin = end + 2
    detail = f"the quote before {shown(text[1:])} is not closed on its line"
    raise RejectionError(MALFORMED_QUOTE, detail)
