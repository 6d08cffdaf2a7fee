"""What a file holds, as digests: enough to know it again under any name, at any size.

The content of the first ``n`` bytes is described by one SHA-256 for each whole MiB and one for the
rest. So a file that grew is described again by reading its last MiB and what is new, and a copy
of any length is recognised.
"""

import hashlib
from io import BufferedReader
from typing import Final

BLOCK: Final = 1 << 20
_DIGEST: Final = 32
_HEAD: Final = 4096
_PIECE: Final = 1 << 17


class ShrunkError(OSError):
    """The file became shorter while it was read."""


def head_length(size: int) -> int:
    """Return how many bytes of a file's beginning are its head: a power of two, 4096 at most.

    Few lengths mean few digests to compare a new file with.
    """
    return min(_HEAD, 1 << (size.bit_length() - 1)) if size else 0


def head(file: BufferedReader, length: int) -> bytes:
    """Return the digest of a file's first bytes."""
    file.seek(0)
    return hashlib.sha256(_read(file, length)).digest()


def content(file: BufferedReader, end: int, known: bytes = b"", upto: int = 0) -> bytes:
    """Return the digests of the first ``end`` bytes; ``known`` are those of the first ``upto``."""
    whole = upto // BLOCK
    return known[: whole * _DIGEST] + _digests(file, whole, end)


def holds(file: BufferedReader, known: bytes, upto: int, *, thoroughly: bool) -> bool:
    """Tell whether the first ``upto`` bytes of a file have these digests.

    All of them are compared ``thoroughly``, otherwise only the last.
    """
    first = 0 if thoroughly else max(0, upto - 1) // BLOCK
    return _digests(file, first, upto) == known[first * _DIGEST :]


def _digests(file: BufferedReader, block: int, end: int) -> bytes:
    file.seek(block * BLOCK)
    result = []
    # Read again and again into the same memory, of which the system then has less to clear.
    buffer = memoryview(bytearray(min(_PIECE, max(0, end - block * BLOCK))))
    for start in range(block * BLOCK, end, BLOCK):
        digest = hashlib.sha256()
        left = min(BLOCK, end - start)
        while left:
            read = file.readinto(buffer[: min(left, _PIECE)])
            if not read:
                raise ShrunkError("it became shorter while it was read")
            digest.update(buffer[:read])
            left -= read
        result.append(digest.digest())
    return b"".join(result)


def _read(file: BufferedReader, size: int) -> bytes:
    found = file.read(size)
    if len(found) < size:
        raise ShrunkError("it became shorter while it was read")
    return found
