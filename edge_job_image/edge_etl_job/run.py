"""One attempt of one node: find what is new, clean it, deliver it, move the ledger forward."""

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from edge_etl_job import gate, report
from edge_etl_job.accounting import accounted, apart, unlisted
from edge_etl_job.detection import Detector
from edge_etl_job.discovery import Found, discover
from edge_etl_job.documents import DeliveredFile, JobDocument, NodeManifest, NodeSummary
from edge_etl_job.engine import Engine, EngineResult, InputRange, OutputFile
from edge_etl_job.errors import EdgeError
from edge_etl_job.increments import Increment, Rules, increment
from edge_etl_job.ledger import History, Ledger, Pending, Wanted, refusal
from edge_etl_job.logs import Progress, log
from edge_etl_job.reasons import TRANSFORM_FAILED, WORK_UNWRITABLE
from edge_etl_job.results import ResultStore
from edge_etl_job.results.durable import sha256_of

_NOTHING: Final = EngineResult((), (), None)
_NANOSECONDS: Final = 1_000_000_000
_TOLD: Final = 5
"""Names that a message holds."""


@dataclass(frozen=True)
class Task:
    """What an attempt is given."""

    job: JobDocument
    node: str
    attempt: str
    source: Path
    state: Path
    work: Path
    transform: Path | None = None
    """The file of the job's own rules."""

    def schema_version(self) -> str:
        """Identify the rules of the job and its own ones; raise EdgeError when there are none."""
        version = self.job.schema_version
        if self.transform is None:
            return version
        try:
            own = self.transform.read_bytes()
        except OSError as error:
            message = f"{self.transform.name} cannot be read: {error.strerror}"
            raise EdgeError(TRANSFORM_FAILED, message) from error
        return hashlib.sha256(version.encode() + own).hexdigest()[: len(version)]


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
    if found.passed_over:
        log.warning("%s", _passed_over(found), extra={"event": "passedOver"})
    settled_before = int((now.timestamp() - job.source.settle_seconds) * _NANOSECONDS)
    replay = job.replay if job.replay != ledger.replayed() else None
    # The version is a digest of the rules: it is made once, not for each file.
    version = task.schema_version()
    wanted = Wanted(
        version,
        replay=replay is not None,
        changed=job.reprocess == "Changed",
        exact="rows" not in job.results.ship or any(f.looks_back for f in job.schema.fields),
    )
    increments = _increments(found, ledger, Rules(Detector(job), wanted, settled_before))
    firsts, copies = apart(increments)
    with _work_dir(task.work) as work_dir:
        parts = [part for new in firsts for part in new.parts]
        result = _clean(task, engine, parts, work_dir, now, _history(ledger, wanted))
        each = iter(result.inputs)
        results = {new.name: [next(each) for _ in new.parts] for new in firsts}
        inputs, entries = accounted(increments, copies, results)
        inputs += map(unlisted, found.unreadable)
        # What is read again had been rejected: its share says nothing.
        if replay is None and (message := gate.refusal(job, inputs)):
            return report.refused(job, task.node, task.attempt, inputs, message)
        files = [_delivered(store, output) for output in result.files]
        headers = {new.columns for new in increments if new.columns}
        manifest = report.manifest(
            job, version, task.node, task.attempt, now, inputs, result.watermark, headers, files
        )
        # Where the ledger stays as it is, nothing has to be found out if this attempt dies.
        moves = bool(entries) or replay is not None
        if moves:
            history = History(version, result.history) if result.history is not None else None
            ledger.prepare(Pending(job.run, task.attempt, replay), entries, history)
        log.info("committing", extra={"event": "committing"})
        standing = _parsed(store.commit(msgspec.json.encode(manifest)))
        log.info("committed", extra={"event": "committed", "attempt": standing.attempt})
        if moves and standing.attempt == task.attempt:
            ledger.advance()
        elif moves:
            ledger.forget()
    no_files = None if len(found) or found.unreadable else _no_files(task, found)
    return report.delivered(standing, no_files=no_files)


def _increments(found: Found, ledger: Ledger, rules: Rules) -> list[Increment]:
    """Return what is new of the files that were found."""
    wanted = rules.wanted
    if ledger.is_settled(found.digest, wanted):
        return []
    delivered = ledger.delivered(wanted)
    # An empty file has nothing now, and when it has it has changed.
    other = [file for file in found.files() if file.size and delivered.get(file.name) != file.stamp]
    if not other and found.digest:
        ledger.settle(found.digest, wanted)
    increments = (increment(file, ledger, rules) for file in other)
    return [new for new in increments if new is not None]


def _clean(
    task: Task,
    engine: Callable[[], Engine],
    ranges: Sequence[InputRange],
    work_dir: Path,
    now: datetime,
    history: str | None,
) -> EngineResult:
    if not ranges:
        return _NOTHING
    total = sum(part.end - part.start for part in ranges)
    log.info(
        "reading what is new", extra={"event": "start", "files": len(ranges), "bytesTotal": total}
    )
    # A Pi without a battery starts in the past: the run's own second is a time that has come.
    begun = datetime.strptime(task.job.run + "+0000", "%Y%m%d-%H%M%S%z")
    return engine().clean(
        ranges,
        task.job,
        work_dir,
        now=max(now, begun),
        progress=Progress(total),
        history=history,
    )


def _history(ledger: Ledger, wanted: Wanted) -> str | None:
    """Return what is known of series; nothing where all files are read again by other rules."""
    known = ledger.history()
    if known is None or (wanted.changed and known.schema_version != wanted.schema_version):
        return None
    return known.series


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
            _remove(left)
        path = work / f"attempt-{os.getpid()}"
        path.mkdir(mode=0o700)
        try:
            yield path
        finally:
            _remove(path)
    except (OSError, sqlite3.Error) as error:
        raise refusal(error, work, WORK_UNWRITABLE) from error


def _remove(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:  # it is not empty
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


def _no_files(task: Task, found: Found) -> str:
    patterns = ", ".join(task.job.source.include)
    message = f"no file of {task.source} on {task.node} matches {patterns}"
    return f"{message}; {_passed_over(found)}" if found.passed_over else message


def _passed_over(found: Found) -> str:
    names, more = found.passed_over[:_TOLD], len(found.passed_over) - _TOLD
    told = ", ".join(names) + (f" and {more} more" if more > 0 else "")
    return f"links, pipes and devices are passed over: {told}"
