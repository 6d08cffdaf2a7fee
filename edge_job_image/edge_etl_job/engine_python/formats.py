"""The formats in which sensors write times, each as a function from a cell to what it says.

A pattern has strptime's directives and its way to try them, and neither its locale nor what it
takes beyond the calendar (a leap second, the digits of every script).
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from edge_etl_job.job import ISO8601
from edge_etl_job.times import EPOCHS, FIRST, LAST, micros

Read = Callable[[str], datetime | int | None]
"""A clock's time without a zone, an instant in microseconds since 1970, None when it is neither."""

_ISO: Final = re.compile(
    r"(?P<Y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)[T ](?P<H>\d\d):(?P<M>\d\d)"
    r"(?::(?P<S>\d\d)(?:[.,](?P<f>\d{1,9}))?)?(?P<z>Z|[+-]\d\d(?::?\d\d)?)?",
    re.ASCII,
)
_EPOCH: Final = re.compile(r"([+-]?)(\d{1,19})(?:[.,](\d{1,9}))?", re.ASCII)
_MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
_WEEKDAYS: Final = (
    *("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"),
)
_DIRECTIVES: Final[Mapping[str, str]] = {
    "Y": r"\d{4}",
    "y": r"\d\d",
    **dict.fromkeys("mdHIMS", r"\d\d?"),
    "B": f"(?i:{'|'.join(_MONTHS)})",
    "b": f"(?i:{'|'.join(name[:3] for name in _MONTHS)})",
    "A": f"(?i:{'|'.join(_WEEKDAYS)})",
    "a": f"(?i:{'|'.join(name[:3] for name in _WEEKDAYS)})",
    "p": "(?i:am|pm)",
    "f": r"\d{1,9}",
    "z": r"Z|[+-]\d\d(?::?\d\d)?",
}


def reader(form: str) -> Read:
    """Return what reads cells of one of the job's formats."""
    if form == ISO8601:
        return lambda cell: _time(_ISO.fullmatch(cell))
    if form in EPOCHS:
        return lambda cell: _epoch(cell, EPOCHS[form])
    pattern = re.compile(_expression(form), re.ASCII)
    return lambda cell: _time(pattern.fullmatch(cell))


def skeleton(form: str) -> str | None:
    """Return what is the same in patterns that differ only in the order of day, month and year."""
    return (
        None if form == ISO8601 or form in EPOCHS else re.sub(r"%(?:[dmy]|(.))", _unordered, form)
    )


def _unordered(directive: re.Match[str]) -> str:
    return f"%{directive[1] or '?'}"


def _expression(form: str) -> str:
    parts = re.findall(r"%(.)|([ \t]+)|(.)", form, re.DOTALL)
    return "".join(
        "%" if letter == "%"
        else f"(?P<{letter}>{_DIRECTIVES[letter]})" if letter
        else r"[ \t]+" if blanks
        else re.escape(literal)
        for letter, blanks, literal in parts
    )  # fmt: skip


def _time(match: re.Match[str] | None) -> datetime | int | None:
    if match is None:
        return None
    said = {letter: text for letter, text in match.groupdict().items() if text is not None}
    try:
        time = datetime(
            _year(said),
            _month(said),
            int(said["d"]),
            _hour(said),
            int(said.get("M", 0)),
            int(said.get("S", 0)),
            int(said.get("f", "").ljust(6, "0")[:6]),
        )
        return micros(time.replace(tzinfo=_offset(said["z"]))) if "z" in said else time
    except (ValueError, OverflowError):
        return None


def _year(said: Mapping[str, str]) -> int:
    if "Y" in said:
        return int(said["Y"])
    year = int(said["y"])
    return year + (1900 if year >= 69 else 2000)


def _month(said: Mapping[str, str]) -> int:
    if "m" in said:
        return int(said["m"])
    name = said.get("B", said.get("b", "")).lower()
    return next(at for at, month in enumerate(_MONTHS, 1) if month.startswith(name))


def _hour(said: Mapping[str, str]) -> int:
    if "p" not in said:
        return int(said.get("H", said.get("I", 0)))
    hour = int(said["I"])
    if not 1 <= hour <= 12:
        raise ValueError(hour)
    return hour % 12 + (12 if said["p"].lower() == "pm" else 0)


def _offset(text: str) -> timezone:
    if text == "Z":
        return UTC
    hours, minutes = int(text[1:3]), int(text[3:].lstrip(":") or 0)
    if minutes > 59:
        raise ValueError(text)
    offset = timedelta(hours=hours, minutes=minutes)
    return timezone(-offset if text[0] == "-" else offset)


def _epoch(cell: str, power: int) -> int | None:
    match = _EPOCH.fullmatch(cell)
    if match is None:
        return None
    sign, whole, decimals = match.groups(default="")
    number = int(f"{sign}{whole}{decimals}")
    power -= len(decimals)
    time = number * 10**power if power >= 0 else number // 10**-power
    return time if FIRST <= time <= LAST else None
