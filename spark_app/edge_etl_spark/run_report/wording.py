"""Numbers, times and texts as people read them."""

from datetime import datetime
from typing import Final

TEXT: Final = 240
"""Characters of a text from a file or a node that are shown; five bytes each at worst."""


def cut(text: str, length: int = TEXT) -> str:
    """Return the beginning of a text that may be long."""
    return text if len(text) <= length else f"{text[:length]}…"


def value(number: float) -> str:
    """Write a reading or a mean with four digits that count."""
    if number and not 1e-3 <= abs(number) < 1e9:
        return f"{number:.4g}"
    return f"{float(f'{number:.4g}'):,.10g}"


def size(count: float) -> str:
    """Write a number of bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def duration(seconds: float) -> str:
    """Write a length of time for people."""
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * length or seconds == length:
            return f"{seconds / length:.1f}".removesuffix(".0") + f" {unit}"
    return f"{seconds:.1f}".removesuffix(".0") + " s"


def share(part: float, whole: float) -> str:
    """Write a share; what is not quite none or all is not called so."""
    if not whole:
        return "-"
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1%"
    return "> 99.9%" if 99.9 < percent < 100 else f"{percent:.1f}%"


def clock(time: datetime | None) -> str:
    """Write a time in UTC."""
    return f"{time:%Y-%m-%d %H:%M:%S}" if time else "-"
