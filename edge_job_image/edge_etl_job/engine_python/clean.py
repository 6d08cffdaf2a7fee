"""The order of the work: read each range, sort and deduplicate, write."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, cast

from edge_etl_job.compression import open_content
from edge_etl_job.content import digests
from edge_etl_job.dialect import DialectError
from edge_etl_job.documents import JobDocument
from edge_etl_job.engine import (
    EngineResult,
    InputRange,
    InputResult,
    OutputFile,
    Quarantined,
    packed,
)
from edge_etl_job.engine_python.history import History
from edge_etl_job.engine_python.parquet import (
    DailyFiles,
    features_schema,
    rows_schema,
    write_rejected,
)
from edge_etl_job.engine_python.reading import Counts, Rules, read_range
from edge_etl_job.engine_python.spool import BATCH, Row, Spool
from edge_etl_job.engine_python.statistics import Feature, Windows
from edge_etl_job.reasons import UNREADABLE
from edge_etl_job.sources import why_unreadable

if TYPE_CHECKING:
    from edge_etl_job.transform import Transform

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class _Written:
    """What came out of the spool, counted by input, independently of what went in."""

    clean: Counter[int] = field(default_factory=Counter)
    duplicate: Counter[int] = field(default_factory=Counter)
    files: list[OutputFile] = field(default_factory=list)
    latest: int | None = None


class PythonEngine:
    """The plain engine: the oracle of the compiled one, and what runs a person's own rules."""

    def __init__(self, transform: Path | None = None) -> None:
        self._transform = transform

    def clean(
        self,
        inputs: Sequence[InputRange],
        job: JobDocument,
        work_dir: Path,
        *,
        now: datetime,
        progress: Callable[[int], None],
        history: str | None = None,
    ) -> EngineResult:
        """Clean the inputs; see ``edge_etl_job.engine.Engine``."""
        rules = Rules(job, now, History(job, history), self._loaded(job))
        positions = {"timestamp": 0} | {
            each.name: at for at, each in enumerate(job.schema.fields, start=1)
        }
        key = [positions[name] for name in job.key]
        with Spool(work_dir, len(job.schema.fields), key) as spool:
            read: list[Counts | Quarantined] = []
            done = 0
            for index, part in enumerate(inputs):
                read.append(_read(part, index, rules, spool, _from(done, progress)))
                done += part.end - part.start
                progress(done)
            written = _write(spool, job, key, work_dir)
            names = [part.name for part in inputs]
            written.files += write_rejected(
                work_dir, ([(names[i], *rest) for i, *rest in batch] for batch in spool.rejected())
            )
        results = tuple(
            _result(part, counts, index, written)
            for index, (part, counts) in enumerate(zip(inputs, read, strict=True))
        )
        return EngineResult(
            inputs=results,
            files=tuple(written.files),
            watermark=(
                None if written.latest is None else _EPOCH + timedelta(microseconds=written.latest)
            ),
            history=rules.history.kept(),
        )

    def _loaded(self, job: JobDocument) -> "Transform | None":
        if self._transform is None:
            return None
        from edge_etl_job.transform import Transform

        return Transform(self._transform, job)


def _from(done: int, progress: Callable[[int], None]) -> Callable[[int], None]:
    return lambda more: progress(done + more)


def _read(
    part: InputRange,
    index: int,
    rules: Rules,
    spool: Spool,
    progress: Callable[[int], None],
) -> Counts | Quarantined:
    spool.begin()
    rules.history.begin()
    try:
        with open_content(part.path, part.compression) as file:
            counts = read_range(file, part, index, rules, spool, progress)
            counts.content = digests(file, part.digested, part.end)
    except (DialectError, OSError) as error:
        spool.drop()
        rules.history.drop()
        if isinstance(error, DialectError):
            return Quarantined(error.reason, error.message)
        return Quarantined(UNREADABLE, why_unreadable(error))
    spool.keep()
    return counts


def _write(spool: Spool, job: JobDocument, key: Sequence[int], work_dir: Path) -> _Written:
    """Write rows and features in the order of time, each key once."""
    written = _Written()
    written.duplicate.update(spool.remove_distant_duplicates())
    ship = job.results.ship
    with ExitStack() as stack:
        rows = (
            stack.enter_context(DailyFiles(work_dir, "rows", rows_schema(job)))
            if "rows" in ship
            else None
        )
        features = (
            stack.enter_context(DailyFiles(work_dir, "features", features_schema(job)))
            if "features" in ship
            else None
        )
        windows = Windows(job)
        pending: list[Feature] = []
        for batch in _unique(spool, key, written):
            if rows is not None:
                rows.write(batch)
            if features is not None:
                for row in batch:
                    pending += windows.add(cast("int", row[0]), row)
                if len(pending) >= BATCH:
                    features.write(pending)
                    pending.clear()
        if features is not None:
            features.write(pending + windows.close())
    for daily in (rows, features):
        written.files += daily.written if daily is not None else ()
    return written


def _unique(spool: Spool, key: Sequence[int], written: _Written) -> Iterator[list[Row]]:
    """Yield the sorted rows without those whose key was there; the first one read is kept."""
    key_of, previous = itemgetter(*key), None
    for batch in spool.rows():
        fresh: list[Row] = []
        for row in batch:
            this = key_of(row)
            if this == previous:
                written.duplicate[cast("int", row[-1])] += 1
            else:
                fresh.append(row)
                previous = this
        if fresh:
            written.clean.update(cast("int", row[-1]) for row in fresh)
            written.latest = cast("int", fresh[-1][0])
            yield fresh


def _result(
    part: InputRange, counts: Counts | Quarantined, index: int, written: _Written
) -> InputResult:
    if isinstance(counts, Quarantined):
        return InputResult(0, 0, 0, {}, part.lines, counts)
    clean, duplicate = written.clean[index], written.duplicate[index]
    return InputResult(
        counts.rows,
        clean,
        duplicate,
        dict(counts.rejected),
        counts.lines,
        refused=packed(counts.refused),
        content=counts.content,
    )
