"""``edge-etl quarantine``: what was rejected and why; a replay is asked for by `cluster_run`."""

import argparse
import io
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from rich import box
from rich.table import Table

from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.cli import DONE, UsageError, output, session
from edge_etl_operator.cli.bucket import Bucket
from edge_etl_operator.cli.landing import Landing, NothingThereError, below

_REJECTED: Final = "rejected.parquet"
_COLUMNS: Final = ("node", "file", "line", "reason", "detail", "raw")


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


class Results(Protocol):
    """Where a job's results can be read."""

    def manifests(self) -> list[Manifest]:
        """Return what the nodes committed, in the order of the runs."""

    def rejected(self, manifest: Manifest) -> bytes | None:
        """Return the Parquet file of the rows that an attempt rejected, None if there is none."""


class Mounted:
    """Results in a directory of this machine."""

    def __init__(self, runs: Path) -> None:
        self._runs = runs

    def manifests(self) -> list[Manifest]:
        """Return what the nodes committed, in the order of the runs."""
        paths = sorted(self._runs.glob("*/*/manifest.json"), key=lambda path: path.parts[-3:-1])
        return [self._manifest(path) for path in paths]

    def _manifest(self, path: Path) -> Manifest:
        try:
            return msgspec.json.decode(path.read_bytes(), type=Manifest)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{path}: no manifest of a node: {error}") from None

    def rejected(self, manifest: Manifest) -> bytes | None:
        """Return the Parquet file of the rows that an attempt rejected, None if there is none."""
        path = self._runs / manifest.run / manifest.node / manifest.attempt / _REJECTED
        return path.read_bytes() if path.exists() else None


class InBucket:
    """Results in a bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def manifests(self) -> list[Manifest]:
        """Return what the nodes committed, in the order of the runs."""
        return _manifests(self._bucket.manifests())

    def rejected(self, manifest: Manifest) -> bytes | None:
        """Return the Parquet file of the rows that an attempt rejected, None if there is none."""
        return self._bucket.rejected(manifest.run, manifest.node, manifest.attempt) or None


class Landed:
    """Results that the landing service keeps."""

    def __init__(self, landing: Landing, job: EdgeETLJob) -> None:
        self._landing = landing
        self._job = job

    def manifests(self) -> list[Manifest]:
        """Return what the nodes committed, in the order of the runs."""
        return _manifests(self._landing.get("manifests", self._job))

    def rejected(self, manifest: Manifest) -> bytes | None:
        """Return the Parquet file of the rows that an attempt rejected, None if there is none."""
        place = (manifest.run, manifest.node, manifest.attempt)
        try:
            return self._landing.get("rejected", self._job, *place)
        except NothingThereError:
            return None


def _manifests(lines: bytes) -> list[Manifest]:
    return [msgspec.json.decode(line, type=Manifest) for line in lines.splitlines()]


def command(options: argparse.Namespace) -> int:
    """Show what the arguments ask for."""
    if options.quarantine == "show" and find_spec("pyarrow") is None:
        raise UsageError("showing rows needs pyarrow in this environment: pip install pyarrow")
    results = _results(options)
    wanted = [each for each in results.manifests() if options.node in (None, each.node)]
    if options.quarantine == "list":
        _list(refused(wanted), options)
    else:
        found = rows(results, wanted, options.reason)
        _show(list(islice(found, options.limit + 1)), options)
    return DONE


def _results(options: argparse.Namespace) -> Results:
    """Return where the results are; UsageError where they cannot be read from here."""
    if options.results is not None:
        folder: Path = options.results / (options.namespace or "default") / options.job / "runs"
        if not folder.is_dir():
            raise UsageError(f"{folder}: there are no results of this job")
        return Mounted(folder)
    within = session.opened(options)
    job = session.job(within, options.job)
    claim, bucket = job.spec.results.volume_claim, job.spec.results.s3
    if claim is not None:
        raise UsageError(
            f"the results of {job.name} lie on the claim {claim.name}, in {below(job)}: name its "
            "root by --results where it is mounted"
        )
    if bucket is not None:
        return InBucket(Bucket(within, job, bucket, options.s3_credentials))
    return Landed(Landing(within), job)


def refused(committed: Sequence[Manifest]) -> list[Refused]:
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


def rows(
    results: Results, committed: Sequence[Manifest], reason: str | None
) -> Iterator[dict[str, Any]]:
    """Yield the rejected rows of those files, those of a replay in place of the ones before."""
    import pyarrow.parquet as pq

    since = {(each.node, each.path): each.since for each in refused(committed)}
    for manifest in committed:
        # Each file is a request where they are not here: those without such rows need none.
        if not any(_has(each, reason) for each in manifest.inputs):
            continue
        if content := results.rejected(manifest):
            for row in pq.read_table(io.BytesIO(content)).to_pylist():
                first = since.get((manifest.node, row["file"]), "")
                if manifest.run >= first and reason in (None, row["reason"]):
                    yield {"node": manifest.node, "run": manifest.run, **row}


def _has(each: Input, reason: str | None) -> bool:
    return bool(each.rejected_by_reason if reason is None else each.rejected_by_reason.get(reason))


def _list(found: list[Refused], options: argparse.Namespace) -> None:
    if output.wanted(options):
        output.emit("RefusedFileList", found, options)
        return
    table = Table("NODE", "FILE", "ROWS", "WHY", box=box.SIMPLE_HEAD)
    for each in sorted(found, key=lambda each: (each.node, each.path)):
        for reason, count in each.reasons.most_common():
            table.add_row(each.node, each.path, str(count), reason)
        if each.quarantine:
            table.add_row(each.node, each.path, "all", each.quarantine)
    output.show(table if found else "nothing is rejected or quarantined")


def _show(found: list[dict[str, Any]], options: argparse.Namespace) -> None:
    shown = found[: options.limit]
    if output.wanted(options):
        output.emit("RejectedRowList", shown, options)
    else:
        table = Table(*(name.upper() for name in _COLUMNS), box=box.SIMPLE_HEAD)
        for row in shown:
            table.add_row(*(str(row[name]) for name in _COLUMNS))
        output.show(table if shown else "no such row")
    if len(found) > len(shown):
        print("there are more (--limit)", file=sys.stderr)
