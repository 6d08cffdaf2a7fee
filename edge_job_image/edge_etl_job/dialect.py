"""How one CSV file is written: decided once for each file, then followed by whichever engine."""

import codecs
import re
from collections.abc import Callable
from functools import cache
from io import BufferedIOBase
from typing import Final

import msgspec

ASCII: Final = "ascii"
"""UTF-8 of which only ASCII has been seen: later lines may show another encoding."""
UTF_8: Final = "utf-8"
UTF_16: Final = ("utf-16-le", "utf-16-be")
WINDOWS_1252: Final = "windows-1252"
ISO_8859_1: Final = "iso-8859-1"
BOMS: Final = {UTF_8: b"\xef\xbb\xbf", UTF_16[0]: b"\xff\xfe", UTF_16[1]: b"\xfe\xff"}

_CONTINUATIONS: Final = bytes(range(0x80, 0xC0))
_STEP: Final = 1 << 16


def wide(encoding: str) -> int:
    """Return how many bytes a line end's character has in a file."""
    return 2 if encoding in UTF_16 else 1


class Dialect(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a file is written. The ledger keeps it, so that what is appended is read alike."""

    columns: tuple[str, ...]
    """The names of all fields of a row; those that have none are empty."""
    delimiter: str
    start: int
    """The offset behind the header, in bytes of the file's content."""
    lines: int
    """Line ends before ``start``."""
    encoding: str = ASCII
    newline: str = "\n"
    """What ends a line; a carriage return before a newline belongs to it."""
    decimal: str | None = None
    """The decimal mark; None when no number has shown one, which reads like a point."""
    extra: int = 0
    """Fields at the end of each row that the header does not have, and that must be empty."""
    judged: bool = False
    """Whether there were rows to judge by."""

    @property
    def wide(self) -> int:
        """Bytes of a line end's character in the file."""
        return wide(self.encoding)


class DialectError(Exception):
    """A file cannot be read as the schema wants it; none of its rows is delivered.

    ``columns`` are those of its header, as far as that could be read.
    """

    def __init__(self, reason: str, message: str, columns: tuple[str, ...] = ()) -> None:
        super().__init__(reason, message)
        self.reason = reason
        self.message = message
        self.columns = columns


def decoded(content: bytes, encoding: str) -> str:
    """Return the text of bytes; what is no text becomes surrogates, which no text has."""
    if encoding == WINDOWS_1252:
        return codecs.charmap_decode(content, "strict", _table())[0]
    if encoding in UTF_16:
        return content.decode(encoding, "surrogatepass" if len(content) % 2 == 0 else "replace")
    if encoding == ISO_8859_1:
        return content.decode(encoding)
    return content.decode(UTF_8, "surrogateescape")


@cache
def _table() -> str:
    """Return the characters of windows-1252 as browsers read it (WHATWG).

    The five bytes without a character are controls.
    """
    return "".join(bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in range(256))


def size_of(text: str, encoding: str) -> int:
    """Return how many bytes a text that was ``decoded`` has in the file."""
    if encoding in (WINDOWS_1252, ISO_8859_1):
        return len(text)
    if encoding in UTF_16:
        return len(text.encode(encoding, "surrogatepass"))
    return len(text.encode(UTF_8, "surrogateescape"))


def sizer(encoding: str) -> Callable[[bytes], int]:
    """Return what tells, of any part of a text as UTF-8, how many bytes it has in the file."""
    if encoding in (WINDOWS_1252, ISO_8859_1):
        return lambda part: len(part.translate(None, _CONTINUATIONS))
    if encoding in UTF_16:
        # Each character is one unit, those of four bytes in UTF-8 are two.
        return lambda part: (
            2 * (len(part.translate(None, _CONTINUATIONS)) + len(re.findall(rb"[\xf0-\xf7]", part)))
        )
    return len


class Decoder:
    """Turns the content of a file, piece by piece, into UTF-8 with newlines.

    What is not valid in its encoding becomes bytes that are not valid UTF-8 either, so that its
    row is rejected: half a surrogate pair as three of them, a last odd byte as ``ff``.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._encoding = dialect.encoding
        self._returns = dialect.newline == "\r"
        self._rest = b""

    def __call__(self, piece: bytes, *, last: bool = False) -> bytes:
        """Return the next piece, as far as it is whole."""
        if self._encoding in UTF_16:
            piece = self._from_utf_16(self._rest + piece, last=last)
        elif self._encoding in (WINDOWS_1252, ISO_8859_1):
            piece = decoded(piece, self._encoding).encode()
        return piece.replace(b"\r", b"\n") if self._returns else piece

    def _from_utf_16(self, content: bytes, *, last: bool) -> bytes:
        whole = len(content) & ~1
        if not last and whole and _leads(content[whole - 2 : whole], self._encoding):
            whole -= 2
        self._rest = b"" if last else content[whole:]
        text = content[:whole].decode(self._encoding, "surrogatepass")
        odd = b"\xff" if last and whole < len(content) else b""
        return text.encode(UTF_8, "surrogatepass") + odd


def _leads(unit: bytes, encoding: str) -> bool:
    return 0xD8 <= unit[encoding == UTF_16[0]] < 0xDC


def after_line_end(opened: BufferedIOBase, start: int, end: int, dialect: Dialect) -> int:
    """Return the offset behind the last line end of a range, ``start`` if it has none."""
    mark = dialect.newline.encode(dialect.encoding if dialect.wide == 2 else "ascii")
    while end > start:
        begin = max(start, end - _STEP)
        begin -= begin % dialect.wide
        opened.seek(begin)
        piece = opened.read(end - begin)
        at = len(piece)
        while (at := piece.rfind(mark, 0, at + len(mark) - 1)) >= 0:
            if (begin + at) % dialect.wide == 0:
                return begin + at + len(mark)
        if begin <= start:
            return start
        end = begin
    return start
