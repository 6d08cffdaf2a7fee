"""``edge-etl quarantine``: what was rejected, why, and the request to read it again."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from rich import box
from rich.table import Table

from edge_etl_operator.cli import DONE, UsageError, output


class Input(msgspec.Struct, frozen=True, rename="camel"):
    """What a manifest says of a file, as far as it is about what was refused."""

    path: str
    status: str
    rejected_by_reason: dict[str, int] = {}
    read_again: bool = False
    message: str | None = None


class Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """A node manifest, as far as it is about what was refused."""

    run: str
    node: str
    attempt: str
    inputs: tuple[Input, ...]


@dataclass
class Refused:
    """What is refused of one file of a node."""

    node: str
    path: str
    reasons: Counter[str] = field(default_factory=Counter)
    """Rejected rows by reason."""
    quarantine: str | None = None
    """Why the file, or what is new of it, is left as it is."""
    since: str = ""
    """The run from which on the rows are counted."""


def command(options: argparse.Namespace) -> int:
    """Show what the arguments ask for."""
    folder: Path = options.results / options.namespace / options.job / "runs"
    if not folder.is_dir():
        raise UsageError(f"{folder}: there are no results of this job")
    wanted = [each for each in manifests(folder) if options.node in (None, each.node)]
    if options.quarantine == "list":
        _list(refused(wanted), options)
    else:
        _show(list(rows(folder, wanted, options.reason)), options)
    return DONE


def manifests(runs: Path) -> list[Manifest]:
    """Return what the nodes committed, in the order of the runs."""
    paths = sorted(runs.glob("*/*/manifest.json"), key=lambda path: path.parts[-3:-1])
    return [msgspec.json.decode(path.read_bytes(), type=Manifest) for path in paths]


def refused(committed: list[Manifest]) -> list[Refused]:
    """Return the files of which something is refused still."""
    found: dict[tuple[str, str], Refused] = {}
    for manifest in committed:
        for known in found.values():
            if known.node == manifest.node:
                known.quarantine = None  # each run says it again
        for each in manifest.inputs:
            key = (manifest.node, each.path)
            if key not in found or each.read_again:
                found[key] = Refused(*key, since=manifest.run)
            found[key].reasons.update(each.rejected_by_reason)
            found[key].quarantine = each.message if each.status == "quarantined" else None
    return [each for each in found.values() if each.reasons or each.quarantine]


def rows(runs: Path, committed: list[Manifest], reason: str | None) -> Iterator[dict[str, Any]]:
    """Yield the rejected rows of those files, those of a replay in place of the ones before."""
    import pyarrow.parquet as pq

    since = {(each.node, each.path): each.since for each in refused(committed)}
    for manifest in committed:
        path = runs / manifest.run / manifest.node / manifest.attempt / "rejected.parquet"
        if path.exists():
            for row in pq.read_table(path).to_pylist():
                first = since.get((manifest.node, row["file"]), "")
                if manifest.run >= first and reason in (None, row["reason"]):
                    yield {"node": manifest.node, "run": manifest.run, **row}


def _list(found: list[Refused], options: argparse.Namespace) -> None:
    if output.wanted(options):
        output.emit(found, options)
        return
    table = Table("NODE", "FILE", "ROWS", "WHY", box=box.SIMPLE_HEAD)
    for each in sorted(found, key=lambda each: (each.node, each.path)):
        for reason, count in each.reasons.most_common():
            table.add_row(each.node, each.path, str(count), reason)
        if each.quarantine:
            table.add_row(each.node, each.path, "all", each.quarantine)
    output.show(table if found else "nothing is rejected or quarantined")


def _show(found: list[dict[str, Any]], options: argparse.Namespace) -> None:
    limit: int = options.limit
    if output.wanted(options):
        output.emit(found[:limit], options)
        return
    table = Table("NODE", "FILE", "LINE", "REASON", "DETAIL", "RAW", box=box.SIMPLE_HEAD)
    for row in found[:limit]:
        names = ("node", "file", "line", "reason", "detail", "raw")
        table.add_row(*(str(row[name]) for name in names))
    output.show(table if found else "no such row")
    if len(found) > limit:
        print(f"{len(found) - limit} more (--limit)", file=sys.stderr)
