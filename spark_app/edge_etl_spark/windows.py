"""Arithmetic of feature windows: they follow one another from 1970-01-01T00:00:00Z on."""

from datetime import date, timedelta
from typing import Final

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DAY: Final = 86400
_EPOCH: Final = date(1970, 1, 1)


def window_seconds(duration: str) -> int:
    """Return the length in seconds of a window such as ``15m`` or ``1d``."""
    return int(duration[:-1]) * _SECONDS[duration[-1]]


def start_days(day: str, window: int) -> set[str]:
    """Return the days on which the windows begin that hold an instant of ``day``."""
    start = (date.fromisoformat(day) - _EPOCH).days * _DAY
    first = start // window * window
    last = (start + _DAY - 1) // window * window
    return _days(first, last)


def covered_days(day: str, window: int) -> set[str]:
    """Return the days whose rows lie in the windows that begin on ``day``."""
    start = (date.fromisoformat(day) - _EPOCH).days * _DAY
    last = (start + _DAY - 1) // window * window
    return _days(start, max(last + window, start + _DAY) - 1)


def _days(first: int, last: int) -> set[str]:
    """Return the days from the second ``first`` to the second ``last`` of the epoch."""
    return {
        (_EPOCH + timedelta(days=number)).isoformat()
        for number in range(first // _DAY, last // _DAY + 1)
    }
