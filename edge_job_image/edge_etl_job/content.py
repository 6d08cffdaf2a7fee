"""What a file holds, as digests: enough to know it again under any name, at any size.

The content of the first ``n`` bytes is described by one digest for each whole MiB and one for the
rest. So a file that grew is described again by reading its last MiB and what is new, and a copy
of any length is recognised.

The digest is XXH3 with 128 bits, which is as quick as reading, where a Pi 4 has no instructions for
SHA-256. It tells files apart that are not made to deceive; who could make such files writes the
readings in them, too.
"""

from io import BufferedIOBase
from typing import Final

from xxhash import xxh3_128, xxh3_128_digest

BLOCK: Final = 1 << 20
_DIGEST: Final = 16
_HEAD: Final = 4096
_PIECE: Final = 1 << 17


class ShrunkError(OSError):
    """The file became shorter while it was read."""


def head_length(size: int) -> int:
    """Return how many bytes of a file's beginning are its head: a power of two, 4096 at most.

    Few lengths mean few digests to compare a new file with.
    """
    return min(_HEAD, 1 << (size.bit_length() - 1)) if size else 0


def head(file: BufferedIOBase, length: int) -> bytes:
    """Return the digest of a file's first bytes."""
    file.seek(0)
    return xxh3_128_digest(_read(file, length))


def whole(digests: bytes, upto: int) -> tuple[bytes, int]:
    """Return those of the first ``upto`` bytes' digests that more bytes leave, and of how many."""
    blocks = upto // BLOCK
    return digests[: blocks * _DIGEST], blocks * BLOCK


def holds(file: BufferedIOBase, known: bytes, upto: int, *, thoroughly: bool) -> bool:
    """Tell whether the first ``upto`` bytes of a file have these digests.

    All of them are compared ``thoroughly``, otherwise only the last.
    """
    first = 0 if thoroughly else max(0, upto - 1) // BLOCK
    return digests(file, first * BLOCK, upto) == known[first * _DIGEST :]


def digests(file: BufferedIOBase, begin: int, end: int) -> bytes:
    """Return the digests of a range that begins with a whole MiB."""
    file.seek(begin)
    result = []
    # Read again and again into the same memory, of which the system then has less to clear.
    buffer = memoryview(bytearray(min(_PIECE, max(0, end - begin))))
    for start in range(begin, end, BLOCK):
        digest = xxh3_128()
        left = min(BLOCK, end - start)
        while left:
            read = file.readinto(buffer[: min(left, _PIECE)])
            if not read:
                raise ShrunkError("it became shorter while it was read")
            digest.update(buffer[:read])
            left -= read
        result.append(digest.digest())
    return b"".join(result)


def _read(file: BufferedIOBase, size: int) -> bytes:
    found = file.read(size)
    if len(found) < size:
        raise ShrunkError("it became shorter while it was read")
    return found
