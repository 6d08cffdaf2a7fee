"""The cells of a line.

A newline ends a record whatever stands before it: a quote that is never closed costs its own line
and not the good ones behind it.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from edge_etl_job.reasons import INVALID_ENCODING, MALFORMED_QUOTE, NOT_TEXT, ROW_TOO_LONG
from edge_etl_job.rejection import RejectionError, shown

MAX_LINE: Final = 65_536
"""Bytes of a line; a longer one is no reading."""


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


def split_all(texts: Sequence[str], delimiter: str) -> list[list[str]]:
    """Return the cells of all lines of which they can be told."""
    together = "\n".join(texts)
    if '"' not in together:
        has_blanks = " " in together or "\t" in together
        return [split(text, delimiter) if has_blanks else text.split(delimiter) for text in texts]
    rows = []
    for text in texts:
        with suppress(RejectionError):
            rows.append(split(text, delimiter))
    return rows


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
