"""Take in what is new: compare the files that changed with the ledger, clean, account for it."""

import gc
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from edge_etl_job.accounting import accounted, apart
from edge_etl_job.attempt import Intake, Task
from edge_etl_job.detection import Detector
from edge_etl_job.discovery import SourceFile
from edge_etl_job.engine import Engine, EngineResult, InputRange
from edge_etl_job.examples import example
from edge_etl_job.increments import Rules, increment
from edge_etl_job.layout import missing_columns
from edge_etl_job.ledger import Ledger, Wanted
from edge_etl_job.logs import Progress, log

_NOTHING: Final = EngineResult((), (), None)
_NANOSECONDS: Final = 1_000_000_000


def taken_in(
    task: Task,
    files: Iterable[SourceFile],
    ledger: Ledger,
    wanted: Wanted,
    engine: Callable[[], Engine],
    work_dir: Path,
    now: datetime,
) -> Intake:
    """Clean what is new of the files into ``work_dir``."""
    gc.enable()
    job = task.job
    settled_before = int((now.timestamp() - job.source.settle_seconds) * _NANOSECONDS)
    rules = Rules(Detector(job), wanted, settled_before)
    found = (increment(file, ledger, rules) for file in files)
    increments = [new for new in found if new is not None]
    firsts, copies = apart(increments)
    parts = [part for new in firsts for part in new.parts]
    result = _clean(task, engine, parts, work_dir, now, _history(ledger, wanted))
    each = iter(result.inputs)
    results = {new.name: [next(each) for _ in new.parts] for new in firsts}
    inputs, entries = accounted(increments, copies, results)
    headers = {new.columns for new in increments if new.columns}
    # Own rules can reject for what only they know.
    shown = None if task.transform else example(job, parts, result.inputs, now)
    return Intake(
        inputs=tuple(inputs),
        entries=tuple(entries),
        files=result.files,
        watermark=result.watermark,
        history=result.history,
        columns_missing=missing_columns(job, map(frozenset, headers)),
        columns_seen=tuple(sorted({name for names in headers for name in names if name})),
        example=shown,
    )


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
    begun = datetime.fromisoformat(task.job.run.replace("-", "T") + "Z")
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
