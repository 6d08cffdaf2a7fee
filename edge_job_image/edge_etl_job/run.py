"""One attempt of one node: find what is new, clean it, deliver it, move the ledger forward.

What only a run with something new needs is imported by it.
"""

import _sqlite3 as sqlite3
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from edge_etl_job import gate, report
from edge_etl_job.attempt import Intake, Task
from edge_etl_job.discovery import Found, SourceFile, discover
from edge_etl_job.documents import DeliveredFile, NodeManifest, NodeSummary
from edge_etl_job.ledger import History, Ledger, Pending, Wanted
from edge_etl_job.ledger_file import refusal
from edge_etl_job.logs import log
from edge_etl_job.reasons import WORK_UNWRITABLE
from edge_etl_job.results import ResultStore

if TYPE_CHECKING:
    from edge_etl_job.engine import Engine, OutputFile

_MANY: Final = 16
"""Files from which on it takes less time to store several at once."""
_OF_ATTEMPT: Final = "attempt-"
_TOLD: Final = 5
"""Names that a message holds."""


def run(
    task: Task,
    store: ResultStore,
    engine: Callable[[], "Engine"],
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> NodeSummary:
    """Do the attempt and return its summary; raise EdgeError or ResultError when it cannot be done.

    ``engine`` is made only when there is something to read: to import one costs more than a run
    that finds nothing new.
    """
    with Ledger(task.state) as ledger:
        _recognize(ledger, store)
        _settle(ledger, store)
        standing = store.manifest(task.job.run)
        if standing is not None:
            log.info("this run is delivered already", extra={"event": "standing"})
            return report.delivered(_parsed(standing))
        return _attempt(task, store, ledger, engine, clock())


def _recognize(ledger: Ledger, store: ResultStore) -> None:
    """Have the ledger know what of these results it was not there for."""
    dataset = store.dataset_id()
    if not ledger.belongs_to(dataset):
        from edge_etl_job.rebuilding import entries

        ledger.begin(dataset, entries(store))


def _check(ledger: Ledger, store: ResultStore) -> None:
    """Have another ledger made if this one is damaged: before what it says of files is used."""
    if not ledger.is_sound():
        _recognize(ledger, store)


def _settle(ledger: Ledger, store: ResultStore) -> None:
    """Find out whether an attempt that died had committed, and move the ledger accordingly."""
    if ledger.pending() is not None:
        _check(ledger, store)
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
    engine: Callable[[], "Engine"],
    now: datetime,
) -> NodeSummary:
    job = task.job
    found = discover(task.source, job.source.include, task.place)
    if found.passed_over:
        log.warning("%s", _passed_over(found), extra={"event": "passedOver"})
    replay = job.replay if job.replay != ledger.replayed() else None
    # The version is a digest of the rules: it is made once, not for each file.
    version = task.schema_version()
    wanted = Wanted(
        version,
        replay=replay is not None,
        changed=job.reprocess == "Changed",
        exact="rows" not in job.results.ship or any(f.looks_back for f in job.schema.fields),
    )
    changed = []
    if not ledger.is_settled(found.digest, wanted):
        _check(ledger, store)
        changed = _changed(found, ledger, wanted)
    with _work_dir(task.work) as work_dir:
        new = Intake()
        if changed:
            work_dir.mkdir(mode=0o700)
            from edge_etl_job.intake import taken_in

            new = taken_in(task, changed, ledger, wanted, engine, work_dir, now)
        inputs = (*new.inputs, *map(report.unlisted, found.unreadable))
        # What is read again had been rejected: its share says nothing.
        if replay is None and (message := gate.refusal(job, inputs)):
            return report.refused(task, inputs, message, new.example)
        files = _all_delivered(store, new.files)
        manifest = report.manifest(task, version, now, new, inputs, files)
        # Where the ledger stays as it is, nothing has to be found out if this attempt dies.
        moves = bool(new.entries) or replay is not None
        if moves:
            history = History(version, new.history) if new.history is not None else None
            ledger.prepare(Pending(job.run, task.attempt, replay), new.entries, history)
        log.info("committing", extra={"event": "committing"})
        encoded = msgspec.json.encode(manifest)
        stands = store.commit(encoded)
        standing = manifest if stands == encoded else _parsed(stands)
        log.info("committed", extra={"event": "committed", "attempt": standing.attempt})
        if moves and standing.attempt == task.attempt:
            ledger.advance()
        elif moves:
            ledger.forget()
    no_files = None if len(found) or found.unreadable else _no_files(task, found)
    return report.delivered(standing, no_files=no_files, example=new.example)


def _changed(found: Found, ledger: Ledger, wanted: Wanted) -> list[SourceFile]:
    """Return the files that are not as the ledger knows them, or of which something is wanted."""
    delivered = ledger.delivered(wanted)
    # An empty file has nothing now, and when it has it has changed.
    changed = [
        file for file in found.files() if file.size and delivered.get(file.name) != file.stamp
    ]
    if not changed and found.digest:
        ledger.settle(found.digest, wanted)
    return changed


def _all_delivered(store: ResultStore, outputs: "Sequence[OutputFile]") -> list[DeliveredFile]:
    """Store files: several at once, if the store allows it, since a disk lets each of them wait."""
    first = [_delivered(store, output) for output in outputs[:1]]
    rest = outputs[1:]
    if len(rest) < _MANY or store.at_once == 1:
        return first + [_delivered(store, output) for output in rest]
    from concurrent.futures import ThreadPoolExecutor  # slow to import

    with ThreadPoolExecutor(store.at_once) as threads:
        return first + list(threads.map(lambda output: _delivered(store, output), rest))


def _delivered(store: ResultStore, output: "OutputFile") -> DeliveredFile:
    from edge_etl_job.results.durable import sha256_of

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
    """Give a directory that this attempt can make, and remove what killed ones have left."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        for left in work.iterdir():
            if left.name.startswith(_OF_ATTEMPT):
                _remove(left)
        path = work / f"{_OF_ATTEMPT}{os.getpid()}"
        try:
            yield path
        finally:
            _remove(path)
    except (OSError, sqlite3.Error) as error:
        raise refusal(error, work, WORK_UNWRITABLE) from error


def _remove(folder: Path) -> None:
    try:
        folder.rmdir()
    except FileNotFoundError:
        pass
    except OSError:  # it is not empty
        import shutil

        shutil.rmtree(folder, ignore_errors=True)


def _no_files(task: Task, found: Found) -> str:
    patterns = ", ".join(task.job.source.include)
    message = f"no file of {task.place or task.source} on {task.node} matches {patterns}"
    return f"{message}; {_passed_over(found)}" if found.passed_over else message


def _passed_over(found: Found) -> str:
    names, more = found.passed_over[:_TOLD], len(found.passed_over) - _TOLD
    told = ", ".join(names) + (f" and {more} more" if more > 0 else "")
    return f"links, pipes and devices are passed over: {told}"
