"""What the bytes and cells of a sample say about how a file is written."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from edge_etl_job.dialect import (
    ASCII,
    BOMS,
    ISO_8859_1,
    UTF_8,
    UTF_16,
    WINDOWS_1252,
    DialectError,
)
from edge_etl_job.documents import JobDocument
from edge_etl_job.reasons import AMBIGUOUS_DIALECT

_FEW: Final = 0.1
_CONTROLS: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_HIGH: Final = re.compile(rb"[\x80-\xff]")
# Of windows-1252 what people write in CSV files: letters, signs of units, dashes and quotes.
_WRITTEN: Final = frozenset(
    [0x80, 0x85, 0x89, *range(0x91, 0x98), *b"\xa0\xa7\xaa\xb0\xb1\xb2\xb3\xb5\xb7\xba\xbc\xbd\xbe"]
    + [byte for byte in range(0xC0, 0x100) if byte not in (0xD7, 0xF7)]
)
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?")
# A comma behind which there are three digits may be one of thousands.
_GROUPED: Final = re.compile(r"[+-]?[1-9][0-9]{0,2},[0-9]{3}")
_NAMES: Final = {
    UTF_16[0]: "UTF-16 (little-endian)",
    UTF_16[1]: "UTF-16 (big-endian)",
}


def encoding_of(sample: bytes, declared: str, *, whole: bool) -> tuple[str, int, str | None]:
    """Return the encoding of a file, the length of its byte order mark, and what to say of it.

    Raise DialectError when some of its lines show one encoding and some another.
    """
    mark = next((name for name, bom in BOMS.items() if sample.startswith(bom)), None)
    length = len(BOMS[mark]) if mark else 0
    if declared == UTF_8:
        return UTF_8, length if mark == UTF_8 else 0, None
    if declared in (WINDOWS_1252, ISO_8859_1):
        return declared, 0, None
    if mark is not None and (declared == "auto" or mark in UTF_16):
        return mark, length, f"{_NAMES[mark]}: byte order mark" if mark in UTF_16 else None
    if (zeros := _by_zeros(sample)) is not None:
        return zeros, 0, f"{_NAMES[zeros]}: every other byte is zero"
    if declared == "utf-16":
        return UTF_16[0], 0, f"{_NAMES[UTF_16[0]]}: no byte order mark"
    if sample.isascii():
        return ASCII, 0, None
    lines = re.split(rb"[\r\n]", sample)
    return _by_lines(lines if whole or len(lines) == 1 else lines[:-1])


def _by_zeros(sample: bytes) -> str | None:
    """Recognise UTF-16 without a mark: of characters below U+0100 every other byte is zero."""
    half = len(sample) // 2
    if half < 2 or b"\0" not in sample:
        return None
    first, second = sample[0::2].count(0) / half, sample[1::2].count(0) / half
    if second > 0.7 and first < _FEW:
        return UTF_16[0]
    return UTF_16[1] if first > 0.7 and second < _FEW else None


def _by_lines(lines: Sequence[bytes]) -> tuple[str, int, str | None]:
    """Tell UTF-8 from windows-1252: what is one of them is hardly ever the other.

    Lines with control characters are what a power cut leaves, or no text at all: they say nothing.
    """
    utf_8 = others = controls = 0
    example: str | None = None
    for number, line in enumerate(lines, start=1):
        if _CONTROLS.search(line):
            controls += 1
        elif not line.isascii():
            if _is_utf_8(line):
                utf_8 += 1
            elif _WRITTEN.issuperset(high := b"".join(_HIGH.findall(line))):
                others += 1
                example = example or f"byte {high[:1].hex()} on line {number} is not UTF-8"
    # Text that is UTF-8 by chance is rarer than dirt that is not.
    if others <= utf_8 or controls > _FEW * len(lines):
        return UTF_8, 0, None
    if utf_8 == 0:
        return WINDOWS_1252, 0, f"{WINDOWS_1252}: {example}"
    message = f"{utf_8} lines are UTF-8, {others} are not ({example}): set source.csv.encoding"
    raise DialectError(AMBIGUOUS_DIALECT, message)


def _is_utf_8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def decimal_of(
    cells: Iterable[str], thousands: str, columns: tuple[str, ...]
) -> tuple[str | None, str | None]:
    """Return the decimal mark of a file's numbers, None when none has one; and what to say of it.

    Raise DialectError when some have one mark and some the other.
    """
    if thousands in (",", "."):
        return (
            (".", None) if thousands == "," else (",", "decimal comma: the point is of thousands")
        )
    texts = Counter(cells)  # readings repeat
    commas, points = _having(",", texts), _having(".", texts)
    if not commas:
        return ("." if points else None), None
    total = points.total() + commas.total()
    if commas.total() <= _FEW * total:
        return ".", f"decimal point: {points.total()} of {total} numbers"
    first = next(iter(commas))
    if points.total() > _FEW * total:
        message = (
            f"{commas.total()} numbers have a decimal comma, such as {first!r}, and "
            f"{points.total()} a point, such as {next(iter(points))!r}: set source.csv.decimal"
        )
        raise DialectError(AMBIGUOUS_DIALECT, message, columns)
    if all(map(_GROUPED.fullmatch, commas)):
        message = (
            f"the comma of {first!r} can be one of decimals or of thousands: set source.csv.decimal"
        )
        raise DialectError(AMBIGUOUS_DIALECT, message, columns)
    return ",", f"decimal comma: {commas.total()} of {total} numbers"


def _having(mark: str, texts: Counter[str]) -> Counter[str]:
    """Return the numbers among some texts that have a mark."""
    return Counter(
        {text: count for text, count in texts.items() if mark in text and _NUMBER.fullmatch(text)}
    )


def is_second_header(
    cells: Sequence[str], columns: Sequence[str], timestamp: Sequence[int], job: JobDocument
) -> bool:
    """Tell whether the line behind a header belongs to it: units, types, or numbers of columns."""
    if len(cells) < len(columns) or tuple(cells) == tuple(columns):
        return False
    texts = list(cells)
    while texts and not texts[-1]:
        texts.pop()
    if len(texts) > 1 and texts in (
        [str(at + first) for at in range(len(texts))] for first in (0, 1)
    ):
        return True
    nulls = {"", *job.schema.null_values}
    if any(character.isdigit() for at in timestamp for character in cells[at]):
        return False
    return not any(_NUMBER.fullmatch(cell) for cell in cells) and not nulls.issuperset(cells)
