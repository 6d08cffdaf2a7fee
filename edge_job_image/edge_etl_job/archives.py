"""What compressed files hold, within bounds of memory and bytes: none of them fills a Pi."""

import bz2
import gzip
import lzma
import sys
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedIOBase, BufferedReader
from typing import Final

from edge_etl_job.compression import Compression
from edge_etl_job.dialect import DialectError
from edge_etl_job.reasons import ARCHIVE_TOO_LARGE, DAMAGED_ARCHIVE

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_WINDOW_LOG: Final = 25
"""The largest window of zstd is 32 MiB: all levels up to 21, not --long or --ultra -22."""
_MEMORY: Final = 40 << 20
"""Bytes that xz may use: all presets up to -8."""
_FREE: Final = 64 << 20
_RATIO: Final = 1000
"""Readings shrink to a tenth or a fiftieth of their size. What has more than so many times the
bytes of its file, and more than those that are free, is no archive of readings."""
_PIECE: Final = 1 << 17


def unpacked(file: BufferedReader, compression: Compression) -> BufferedIOBase:
    """Return the content of a compressed file that stands at its start."""
    if compression == "gz":
        return gzip.GzipFile(fileobj=file, mode="rb")
    if compression == "bz2":
        return bz2.BZ2File(file)
    if compression == "xz":
        # The first block tells how much memory it needs; files have one, or several alike.
        lzma.LZMADecompressor(lzma.FORMAT_XZ, _MEMORY).decompress(file.peek(4096), 1)
        return lzma.LZMAFile(file)
    return zstd.ZstdFile(file, options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})


def length(content: BufferedIOBase, compressed: int) -> int:
    """Return how many bytes a compressed file of so many bytes holds, by reading them all.

    Raise DialectError when there are too many.
    """
    content.seek(0)
    total = 0
    while read := len(content.read(_PIECE)):
        total += read
        if total > _FREE and total > _RATIO * compressed:
            message = f"it expands to more than {_RATIO} times its {compressed} bytes"
            raise DialectError(ARCHIVE_TOO_LARGE, message)
    return total


@contextmanager
def explained(compression: Compression) -> Iterator[None]:
    """Turn what the libraries say of a damaged file into a DialectError."""
    try:
        yield
    except (EOFError, OSError, zlib.error, lzma.LZMAError, zstd.ZstdError) as error:
        # bz2 and gzip raise OSError as the system does, but without its number.
        if isinstance(error, OSError) and error.errno is not None:
            raise
        if "emory" in str(error):
            message = f"to unpack this {compression} file takes too much memory: use a lower level"
            raise DialectError(ARCHIVE_TOO_LARGE, message) from None
        message = f"the {compression} file is cut or damaged: {error}"
        raise DialectError(DAMAGED_ARCHIVE, message) from None
