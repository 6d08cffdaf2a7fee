"""`edge-etl init`: draft an EdgeETLJob from CSV files, good enough to apply."""

import argparse
import json
import math
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec
import yaml

from edge_etl_operator import validation, yaml_reader
from edge_etl_operator.api import API_VERSION, KIND
from edge_etl_operator.cli import DONE, UsageError

EDGE: Final = "edge_etl_job"
"""The module of the program that knows how CSV files are written."""
_SUFFIXES: Final = (".csv", ".csv.gz", ".csv.zst", ".csv.bz2", ".csv.xz")
_MOST_FILES: Final = 50
_RESERVED: Final = frozenset({"timestamp", "day"})
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_./+-]*")


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of what the edge program found; docs/contracts/inspection.schema.json says what."""


class Time(_Part, frozen=True, kw_only=True):
    """Which columns say when, and how."""

    columns: tuple[str, ...]
    formats: tuple[str, ...]
    zoned: bool
    ambiguous: bool
    earliest: str
    latest: str


class Column(_Part, frozen=True, kw_only=True):
    """What is in a column."""

    name: str
    kind: str
    distinct: int
    min: float | None = None
    max: float | None = None
    nulls: tuple[str, ...] = ()
    sentinels: tuple[str, ...] = ()


class File(_Part, frozen=True, kw_only=True):
    """How a file is written."""

    path: str
    rows: int
    header: bool
    note: str = ""


class Inspection(_Part, frozen=True, kw_only=True):
    """What there is in some files."""

    files: tuple[File, ...]
    times: tuple[Time, ...]
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    unique: bool


def command(options: argparse.Namespace) -> int:
    """Print a draft, or write it to a file that is not there yet."""
    files = _files(options.sources)
    name = options.name or _job_name(options.sources[0])
    text = "\n".join(draft(inspected(files), name, options.source, files)) + "\n"
    (document,) = yaml_reader.parse(text, options.name or "the draft")
    validation.validate(document)
    if options.write is None:
        print(text, end="")
        return DONE
    try:
        with options.write.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{options.write} is there already; name another file") from None
    print(f"{options.write}: read it, fill in the units, and `edge-etl doctor -f {options.write}`")
    return DONE


def _files(sources: Sequence[Path]) -> list[Path]:
    found: list[Path] = []
    for source in sources:
        if source.is_dir():
            named = (p for p in source.rglob("*") if p.name.lower().endswith(_SUFFIXES))
            # A logger may have just begun a file.
            below = sorted(p for p in named if p.is_file() and p.stat().st_size)
            if not below:
                said = f"no file of this directory ends with {_SUFFIXES[0]} and holds something"
                raise UsageError(f"{source}: {said}")
            found += below
        elif source.is_file():
            found.append(source)
        else:
            raise UsageError(f"{source}: there is no such file or directory")
    return found[:: math.ceil(len(found) / _MOST_FILES)]


def inspected(files: Sequence[Path]) -> Inspection:
    """Have the edge program look at files: it knows how CSV is written; UsageError if it cannot."""
    if find_spec(EDGE) is None:
        raise UsageError(f"init needs the program {EDGE} in this environment")
    command = [sys.executable, "-m", EDGE, "inspect", *map(str, files)]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        raise UsageError(done.stderr.decode(errors="replace").strip())
    return msgspec.json.decode(done.stdout, type=Inspection)


def draft(found: Inspection, name: str, source: str, files: Sequence[Path]) -> Iterator[str]:
    """Yield the lines of the draft: YAML with what a person should know beside it."""
    names = _field_names([column.name for column in found.columns])
    key = [names[each] for each in found.key]
    rows = sum(each.rows for each in found.files)
    yield f"# Drafted by edge-etl init from {rows:,} rows in {len(files)} file(s)."
    yield f"apiVersion: {API_VERSION}"
    yield f"kind: {KIND}"
    yield f"metadata: {{name: {name}}}"
    yield "spec:"
    yield "  nodes:"
    yield "    selector:"
    yield "      matchLabels: {pi-edge-spark.io/role: edge}"
    yield from _source(found, source)
    yield "  schema:"
    yield from _timestamp(found.times)
    yield "    fields:"
    for column in found.columns:
        yield _field(column, names[column.name], key)
    nulls = ["", *sorted({each for column in found.columns for each in column.nulls})]
    yield f"    nullValues: {json.dumps(nulls, ensure_ascii=False)}"
    yield f"  key: [{', '.join([*key, 'timestamp'])}] # of rows with the same key the first is kept"
    if not key:
        yield "  # No column tells who measured: of Pis that measure at one moment one is kept:"
        yield "  # have each write a column with its sensor's name, and add it to fields and key."
    if not found.unique:
        yield "  # In these files some rows have the same key: look whether they are duplicates."
    groups = f", groupBy: [{', '.join(key)}]" if key else ""
    yield f"  features: {{window: 1h{groups}, statistics: [count, mean, stddev, min, max]}}"


def _source(found: Inspection, source: str) -> Iterator[str]:
    yield "  source:"
    yield f"    name: {source} # a directory that the administrator allowed in the chart's values"
    if not all(each.header for each in found.files):
        columns = [*found.times[0].columns, *(each.name for each in found.columns)]
        ordered = sorted(columns, key=lambda each: int(each.rpartition("_")[2]))
        yield f"    csv: {{header: absent, columns: [{', '.join(ordered)}]}}"
    for each in found.files[:3]:
        if each.note:
            yield f"    # {Path(each.path).name}: {each.note}"


def _timestamp(times: Sequence[Time]) -> Iterator[str]:
    single = list(dict.fromkeys(each.columns[0] for each in times if len(each.columns) == 1))
    joined = next((each.columns for each in times if len(each.columns) > 1), ())
    formats = list(dict.fromkeys(form for each in times for form in each.formats))
    zoned = all(each.zoned for each in times)
    first, last = min(each.earliest for each in times), max(each.latest for each in times)
    yield "    timestamp:"
    if single:
        yield f"      from: [{', '.join(map(_scalar, single))}]"
    if joined:
        yield f"      join: [{', '.join(map(_scalar, joined))}]"
    yield f"      formats: [{', '.join(map(_scalar, formats))}] # seen: {first} to {last}"
    if any(each.ambiguous for each in times):
        yield "      # Day and month could be the other way round: so the readings lie closest."
    zone = "" if zoned else " # the times say no zone: name that of the clock which wrote them"
    yield f"      timeZone: UTC{zone}"


def _field(column: Column, name: str, key: Sequence[str]) -> str:
    parts = [f"name: {name}"]
    if name != column.name:
        parts.append(f"from: [{_scalar(column.name)}]")
    kind = "double" if column.kind == "empty" else column.kind
    parts.append(f"type: {kind}")
    if name in key:
        parts.append("required: true")
    said = ""
    if column.min is not None and column.max is not None:
        said = f"seen: {column.min:g} to {column.max:g}; unit:"
        if column.distinct > 1:
            low, high = _widened(column.min, column.max)
            parts += [f"min: {_number(low)}", f"max: {_number(high)}"]
    if column.sentinels:
        parts.append(f"nullValues: {json.dumps(list(column.sentinels))}")
    if column.kind == "empty":
        return f"      # - {{{', '.join(parts)}}} # no file has a value in this column"
    return f"      - {{{', '.join(parts)}}}" + (f" # {said}" if said else "")


def _widened(low: float, high: float) -> tuple[float, float]:
    """Return a range with room for the readings of other days: half of the span on both sides."""
    room = (high - low) / 2
    step = 10.0 ** math.floor(math.log10(high - low))
    below = math.floor((low - room) / step) * step
    return (0.0 if low >= 0 else below), math.ceil((high + room) / step) * step


def _number(value: float) -> str:
    return f"{value:.12g}"


def _scalar(text: str) -> str:
    """Write a text so that YAML reads it as one, also within brackets."""
    if _PLAIN.fullmatch(text) and isinstance(yaml.safe_load(text), str):
        return text
    return json.dumps(text, ensure_ascii=False)


def _field_names(columns: Sequence[str]) -> dict[str, str]:
    """Return a name as the table may have it for each column."""
    names: dict[str, str] = {}
    for column in columns:
        plain = re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_") or "column"
        plain = plain[:50] if plain[0].isalpha() else f"f_{plain[:48]}"
        taken = {*names.values(), *_RESERVED}
        name, at = plain, 2
        while name in taken:
            name, at = f"{plain}_{at}", at + 1
        names[column] = name
    return names


def _job_name(source: Path) -> str:
    plain = re.sub(r"[^a-z0-9]+", "-", source.name.split(".")[0].lower()).strip("-")
    return plain[:40] or "readings"
