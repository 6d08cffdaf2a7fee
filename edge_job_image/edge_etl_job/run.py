"""One attempt of one node: find what is new, clean it, deliver it, move the ledger forward."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from edge_etl_job import report
from edge_etl_job.discovery import Found, discover
from edge_etl_job.documents import DeliveredFile, Input, JobDocument, NodeManifest, NodeSummary
from edge_etl_job.engine import Engine, EngineResult, InputRange, InputResult, OutputFile
from edge_etl_job.increments import Increment, increment
from edge_etl_job.ledger import Entry, Ledger, Pending, refusal
from edge_etl_job.logs import Progress, log
from edge_etl_job.reasons import UNREADABLE, WORK_UNWRITABLE
from edge_etl_job.results import ResultStore
from edge_etl_job.results.durable import sha256_of

_NOTHING: Final = EngineResult((), (), None, (), ())
_NANOSECONDS: Final = 1_000_000_000


@dataclass(frozen=True)
class Task:
    """What an attempt is given."""

    job: JobDocument
    node: str
    attempt: str
    source: Path
    state: Path
    work: Path


def run(
    task: Task,
    store: ResultStore,
    engine: Callable[[], Engine],
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> NodeSummary:
    """Do the attempt and return its summary; raise EdgeError or ResultError when it cannot be done.

    ``engine`` is made only when there is something to read: to import one costs more than a run
    that finds nothing new.
    """
    with Ledger(task.state) as ledger:
        ledger.belongs_to(store.dataset_id())
        _settle(ledger, store)
        standing = store.manifest(task.job.run)
        if standing is not None:
            log.info("this run is delivered already", extra={"event": "standing"})
            return report.delivered(_parsed(standing))
        return _attempt(task, store, ledger, engine, clock())


def _settle(ledger: Ledger, store: ResultStore) -> None:
    """Find out whether an attempt that died had committed, and move the ledger accordingly."""
    pending = ledger.pending()
    if pending is None:
        return
    standing = store.manifest(pending.run)
    if standing is not None and _parsed(standing).attempt == pending.attempt:
        ledger.advance()
        log.info("an attempt that died had delivered", extra={"event": "advanced"})
    else:
        ledger.forget()
        log.info("an attempt that died had not delivered", extra={"event": "forgotten"})


def _parsed(manifest: bytes) -> NodeManifest:
    return msgspec.json.decode(manifest, type=NodeManifest)


def _attempt(
    task: Task,
    store: ResultStore,
    ledger: Ledger,
    engine: Callable[[], Engine],
    now: datetime,
) -> NodeSummary:
    job = task.job
    found = discover(task.source, job.source.include)
    settled_before = int((now.timestamp() - job.source.settle_seconds) * _NANOSECONDS)
    delivered = ledger.delivered()
    version = job.schema_version  # a digest of the rules: made once, not for each file
    increments = [
        new
        for file in found.files
        if delivered.get(file.name) != (file.identity, file.size, file.modified, file.changed)
        and (new := increment(file, ledger, schema_version=version, settled_before=settled_before))
    ]
    firsts, copies = _apart(increments)
    with _work_dir(task.work) as work_dir:
        result = _clean(task, engine, [new.part for new in firsts if new.part], work_dir, now)
        outcomes = dict(zip((new.name for new in firsts), result.inputs, strict=True))
        inputs, entries = _accounted(increments, copies, outcomes, found)
        files = [_delivered(store, output) for output in result.files]
        manifest = report.manifest(job, task.node, task.attempt, now, inputs, result, files)
        ledger.prepare(Pending(job.run, task.attempt), entries)
        log.info("committing", extra={"event": "committing"})
        standing = _parsed(store.commit(msgspec.json.encode(manifest)))
        log.info("committed", extra={"event": "committed", "attempt": standing.attempt})
        if standing.attempt == task.attempt:
            ledger.advance()
        else:
            ledger.forget()
    no_files = None if found.files or found.unreadable else _no_files(task)
    return report.delivered(standing, no_files=no_files)


def _apart(increments: Sequence[Increment]) -> tuple[list[Increment], dict[str, str]]:
    """Return the increments to read, and which others hold the same bytes as one of these."""
    firsts: dict[bytes | str, Increment] = {}
    copies: dict[str, str] = {}
    for new in increments:
        if new.entry is None or new.part is None:
            continue
        # Only whole files are compared: what a known file has more is its own.
        identity = new.entry.content if new.part.start == 0 else new.name
        first = firsts.setdefault(identity, new)
        if first is not new:
            copies[new.name] = first.name
    return list(firsts.values()), copies


def _clean(
    task: Task,
    engine: Callable[[], Engine],
    ranges: Sequence[InputRange],
    work_dir: Path,
    now: datetime,
) -> EngineResult:
    if not ranges:
        return _NOTHING
    total = sum(part.end - part.start for part in ranges)
    log.info(
        "reading what is new", extra={"event": "start", "files": len(ranges), "bytesTotal": total}
    )
    # A Pi without a battery starts in the past: the run's own second is a time that has come.
    begun = datetime.strptime(task.job.run + "+0000", "%Y%m%d-%H%M%S%z")
    return engine().clean(ranges, task.job, work_dir, now=max(now, begun), progress=Progress(total))


def _accounted(
    increments: Sequence[Increment],
    copies: dict[str, str],
    outcomes: dict[str, InputResult],
    found: Found,
) -> tuple[list[Input], list[Entry]]:
    """Return what the manifest says of each file, and what the ledger is to become."""
    inputs: list[Input] = []
    entries: list[Entry] = []
    for new in increments:
        original = copies.get(new.name)
        outcome = outcomes.get(original or new.name)
        if outcome is not None and outcome.quarantined is not None:
            refused = outcome.quarantined
            message = f"{refused.reason}: {refused.message}"
            inputs.append(_input(new.name, "quarantined", message))
            if new.held is not None and refused.reason != UNREADABLE:
                entries.append(replace(new.held, quarantine=message))
            continue
        if outcome is not None and original is not None:
            inputs.append(_input(new.name, "read", f"the same bytes as {original}"))
        elif outcome is not None and new.part is not None:
            inputs.append(_read(new.part, outcome, new.message))
        elif new.kind != "same":
            status = "read" if new.kind == "known" else "quarantined"
            inputs.append(_input(new.name, status, new.message))
        if new.entry is not None:
            lines = outcome.lines if outcome is not None else new.entry.lines
            entries.append(replace(new.entry, lines=lines))
    inputs += [
        _input(name, "quarantined", f"{UNREADABLE}: the directory cannot be listed")
        for name in found.unreadable
    ]
    return inputs, entries


def _read(part: InputRange, outcome: InputResult, message: str | None) -> Input:
    return Input(
        path=part.name,
        bytes_read=part.end - part.start,
        rows_read=outcome.rows_read,
        rows_clean=outcome.rows_clean,
        rows_rejected=outcome.rows_rejected,
        rows_duplicate=outcome.rows_duplicate,
        rejected_by_reason=dict(sorted(outcome.rejected_by_reason.items())),
        message=message,
    )


def _input(name: str, status: str, message: str | None) -> Input:
    return Input(
        path=name,
        bytes_read=0,
        rows_read=0,
        rows_clean=0,
        rows_rejected=0,
        rows_duplicate=0,
        status="read" if status == "read" else "quarantined",
        message=message,
    )


def _delivered(store: ResultStore, output: OutputFile) -> DeliveredFile:
    sha256 = output.sha256 or sha256_of(output.path)
    name, size = output.path.name, output.path.stat().st_size
    store.put(name, output.path, sha256)
    # What is stored needs no room here any more.
    output.path.unlink()
    return DeliveredFile(
        name=name,
        kind=output.kind,
        day=output.day,
        rows=output.rows,
        bytes=size,
        sha256=sha256,
    )


@contextmanager
def _work_dir(work: Path) -> Iterator[Path]:
    """Make a directory for this attempt; what attempts that were killed have left is removed."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        for left in work.glob("attempt-*"):
            shutil.rmtree(left, ignore_errors=True)
        path = work / f"attempt-{os.getpid()}"
        path.mkdir(mode=0o700)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
    except (OSError, sqlite3.Error) as error:
        raise refusal(error, work, WORK_UNWRITABLE) from error


def _no_files(task: Task) -> str:
    patterns = ", ".join(task.job.source.include)
    return f"no file of {task.source} on {task.node} matches {patterns}"
