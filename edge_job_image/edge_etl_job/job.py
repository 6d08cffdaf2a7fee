"""Load the job document, and refuse one that cannot be meant, naming the field."""

import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from edge_etl_job.documents import Csv, JobDocument, Timestamp
from edge_etl_job.durations import seconds
from edge_etl_job.errors import EdgeError
from edge_etl_job.reasons import JOB_INVALID
from edge_etl_job.times import EPOCHS

ISO8601: Final = "ISO8601"
TIMESTAMP: Final = "timestamp"
_RESERVED: Final = frozenset({TIMESTAMP, "day"})
_FEATURE_COLUMNS: Final = {
    *("window_start", "field", "count", "mean", "m2", "stddev", "min", "max", "quantiles"),
    *("first", "last", "first_time", "last_time", "sin", "cos", "circular_mean"),
    *(f"p{percent}" for percent in range(1, 100)),
}


def load_job(path: Path) -> JobDocument:
    """Return the job document of a file; raise EdgeError that names the field to mend."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise EdgeError(JOB_INVALID, f"{path.name}: cannot be read: {error.strerror}") from error
    return parsed(content, path.name)


def parsed(content: bytes, name: str) -> JobDocument:
    """Return the job document that some bytes are; ``name`` is what a person calls them."""
    try:
        job = msgspec.json.decode(content, type=JobDocument)
    except msgspec.ValidationError as error:
        raise EdgeError(JOB_INVALID, f"{name}: {_located(content, error)}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EdgeError(JOB_INVALID, f"{name}: not JSON: {error}") from error
    if problems := list(check(job)):
        raise EdgeError(JOB_INVALID, f"{name}: " + "; ".join(problems))
    return job


def check(job: JobDocument) -> Iterator[str]:
    """Yield what is wrong with a document of the right shape, as ``field: what``."""
    names = [field.name for field in job.schema.fields]
    types = {field.name: field.type for field in job.schema.fields}
    for index, field in enumerate(job.schema.fields):
        where = f"schema.fields[{index}]"
        if field.name in _RESERVED:
            yield f"{where}.name: {field.name!r} is a column that every table has"
        if field.name in names[:index]:
            yield f"{where}.name: {field.name!r} is there twice"
        if not field.is_number and (field.min, field.max) != (None, None):
            yield f"{where}: min and max are for fields of type double and long"
        if field.looks_back and not field.is_number:
            yield f"{where}: stuckAfter and maxRatePerMinute are for fields of type double and long"
        if field.looks_back and TIMESTAMP not in job.key:
            yield f"{where}: stuckAfter and maxRatePerMinute need timestamp in the key"
        if field.max_rate_per_minute is not None and field.max_rate_per_minute <= 0:
            yield f"{where}.maxRatePerMinute: must be above 0"
        if field.circular is not None and not (field.is_number and field.circular > 0):
            yield f"{where}.circular: a number above 0, for fields of type double and long"
        if not field.is_number and field.null_ranges:
            yield f"{where}: nullRanges are for fields of type double and long"
        for at, each in enumerate(field.null_ranges):
            if each.min is None and each.max is None:
                yield f"{where}.nullRanges[{at}]: min or max is needed"
            elif each.min is not None and each.max is not None and each.min > each.max:
                yield f"{where}.nullRanges[{at}]: min {each.min:g} is greater than max {each.max:g}"
        if field.min is not None and field.max is not None and field.min > field.max:
            yield f"{where}: min {field.min:g} is greater than max {field.max:g}"
    for index, name in enumerate(job.key):
        if name != TIMESTAMP and name not in types:
            yield f"key[{index}]: there is no field {name!r} in schema.fields"
        if name in job.key[:index]:
            yield f"key[{index}]: {name!r} is there twice"
    for index, name in enumerate(job.features.group_by):
        where = f"features.groupBy[{index}]"
        if name not in types:
            yield f"{where}: there is no field {name!r} in schema.fields"
        elif types[name] == "double":
            yield f"{where}: {name!r} is a double; group by a string, a long or a boolean"
        if name in _FEATURE_COLUMNS:
            yield f"{where}: the table of features has a column {name!r} already"
        if name in job.features.group_by[:index]:
            yield f"{where}: {name!r} is there twice"
    circular = [field.circular for field in job.schema.fields if field.circular is not None]
    if "circular_mean" in job.features.statistics and not circular:
        yield "features.statistics: circular_mean needs a field with circular, such as 360"
    if job.reprocess == "Changed" and "rows" not in job.results.ship:
        yield "reprocess: Changed needs rows in results.ship: by them the table knows what it has"
    if seconds(job.features.window) == 0:
        yield "features.window: a window has a length"
    for index, pattern in enumerate(job.source.include):
        if pattern.startswith("/") or ".." in pattern.split("/"):
            yield f"source.include[{index}]: {pattern!r} is not relative to the source"
    yield from _check_csv(job.source.csv)
    yield from _check_timestamp(job.schema.timestamp)


def _check_csv(csv: Csv) -> Iterator[str]:
    if csv.header == "absent" and not csv.columns:
        yield "source.csv.columns: a file without a header needs names for its columns"
    if csv.thousands and csv.thousands == csv.decimal:
        yield f"source.csv.thousands: {csv.thousands!r} is the decimal mark"
    if csv.thousands and csv.thousands == csv.delimiter:
        yield f"source.csv.thousands: {csv.thousands!r} is the separator"


def _is_zone(name: str) -> bool:
    if name == "UTC":
        return True
    from zoneinfo import ZoneInfo  # slow to import, and most jobs do not need it

    try:
        ZoneInfo(name)
    # What zoneinfo raises depends on how the name is wrong: not found, not a path, a directory.
    except (KeyError, ValueError, OSError):
        return False
    return True


def _check_timestamp(timestamp: Timestamp) -> Iterator[str]:
    where = "schema.timestamp"
    if not _is_zone(timestamp.time_zone):
        yield f"{where}.timeZone: there is no time zone {timestamp.time_zone!r}"
    for index, pattern in enumerate(timestamp.formats):
        if pattern != ISO8601 and pattern not in EPOCHS and (problem := _pattern_problem(pattern)):
            yield f"{where}.formats[{index}]: {pattern!r} {problem}"
    if timestamp.not_before is not None:
        try:
            aware = datetime.fromisoformat(timestamp.not_before).tzinfo is not None
        except ValueError:
            yield f"{where}.notBefore: {timestamp.not_before!r} is not a time as RFC 3339 has it"
        else:
            if not aware:
                yield f"{where}.notBefore: {timestamp.not_before!r} lacks its zone, such as Z"


def _pattern_problem(pattern: str) -> str | None:
    """Return what keeps a pattern from giving whole times."""
    letters = re.findall(r"%(.?)", pattern)
    known = "YymBbdAaHIMSfpz%"
    if unknown := [letter for letter in letters if letter not in known or not letter]:
        return f"cannot be used: %{unknown[0]} is not one of %{' %'.join(known)}"
    used = [letter for letter in letters if letter != "%"]
    if twice := [letter for letter in used if used.count(letter) > 1]:
        return f"holds %{twice[0]} twice"
    for part in ("Yy", "mBb", "HI"):
        if len(both := [letter for letter in used if letter in part]) > 1:
            return f"holds both %{both[0]} and %{both[1]}"
    if not ("d" in used and set("Yy") & set(used) and set("mBb") & set(used)):
        return "does not hold the whole date (such as %Y-%m-%d)"
    if ("I" in used) != ("p" in used):
        return "does not tell morning from evening: use %H, or %p beside %I"
    return None


def _located(content: bytes, error: msgspec.ValidationError) -> str:
    """Return the error as ``field: what``, with the index that msgspec leaves out of arrays.

    msgspec writes every index as ``[...]``; the element that is meant is the first one that gives
    the same error when it is alone in its array.
    """
    text, _, path = str(error).partition(" - at `$")
    path = path.rstrip("`")
    document = msgspec.json.decode(content)
    while "[...]" in path:
        before, _, after = path.partition("[...]")
        index = next(
            (
                i
                for i in range(len(_at(document, before)))
                if _alone(document, before, i) == error.args
            ),
            None,
        )
        if index is None:
            break
        elements = _at(document, before)
        elements[:] = [elements[index]]
        path = f"{before}[{index}]{after}"
    return f"{path.lstrip('.') or 'document'}: {text}"


def _steps(path: str) -> list[str]:
    return re.findall(r"[^.\[\]]+", re.sub(r"\[\d+\]", "[0]", path))


def _at(document: Any, path: str) -> Any:
    for step in _steps(path):
        document = document[int(step) if isinstance(document, list) else step]
    return document


def _alone(document: Any, path: str, index: int) -> tuple[object, ...] | None:
    """Return the error of the document whose array at ``path`` holds one element only."""
    copy = msgspec.json.decode(msgspec.json.encode(document))
    elements = _at(copy, path)
    elements[:] = [elements[index]]
    try:
        msgspec.convert(copy, JobDocument)
    except msgspec.ValidationError as error:
        return error.args
    return None
