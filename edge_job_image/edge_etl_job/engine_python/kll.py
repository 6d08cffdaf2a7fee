"""Quantiles in a form that can be merged: the KLL sketch of Apache DataSketches for doubles.

``edge_job_image/engine/src/kll.rs`` says how values become a sketch and how far off a rank can be;
this is the same in plain words. The bytes are those of ``KllDoublesSketch`` of the Java library.
"""

import struct
from collections.abc import Sequence
from typing import Final

K: Final = 200
_M: Final = 8
_FAMILY: Final = 15
_LEVEL_ZERO_SORTED: Final = 2
_SINGLE: Final = 4


def sketch(values: Sequence[float]) -> bytes:
    """Return the sketch of values in their order; there must be one at least."""
    count = len(values)
    if count == 1:
        flags = _SINGLE | _LEVEL_ZERO_SORTED
        return struct.pack("<BBBBHBxd", 2, 2, _FAMILY, flags, K, _M, values[0])
    top = max(0, (count // (K + 1)).bit_length())
    levels: list[list[float]] = []
    begin = 0
    for level in range(top, -1, -1):
        size = 1 << level
        blocks = count >> level if level == top else count >> level & 1
        levels.insert(0, [values[begin + size * at + size // 2] for at in range(blocks)])
        begin += size * blocks
    retained = [value for level in levels for value in level]
    offset = _capacity(len(levels)) - len(retained)
    offsets = [offset + sum(map(len, levels[:level])) for level in range(len(levels))]
    head = struct.pack("<BBBBHBx", 5, 1, _FAMILY, _LEVEL_ZERO_SORTED, K, _M)
    head += struct.pack("<QHBx", count, K, len(levels))
    body = struct.pack(f"<{len(offsets)}i", *offsets)
    return head + body + struct.pack(f"<{2 + len(retained)}d", values[0], values[-1], *retained)


def _capacity(levels: int) -> int:
    """Return how many values a sketch of so many levels can hold: each two thirds of the next."""
    return sum(max(_M, ((2 * K << depth) // 3**depth + 1) // 2) for depth in range(levels))
