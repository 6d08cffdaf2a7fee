"""Durations as the documents write them."""

from typing import Final

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(duration: str) -> int:
    """Return the seconds of a duration such as ``90s``, ``5m``, ``1h`` or ``7d``."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]
