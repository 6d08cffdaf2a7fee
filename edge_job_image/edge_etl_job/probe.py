"""Look at a node before the first run: its machine, its disks, its files, a sample of their rows.

Nothing is delivered and nothing is remembered. The only file that is written, and removed again, is
one in the working directory: whether that works tells whether the disk does.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from io import BufferedIOBase
from pathlib import Path
from typing import Final, Literal

import msgspec

from edge_etl_job import machine
from edge_etl_job.compression import kind, opened_content
from edge_etl_job.detection import SAMPLE, Detector
from edge_etl_job.dialect import DialectError
from edge_etl_job.discovery import SourceFile, discover
from edge_etl_job.documents import JobDocument
from edge_etl_job.engine import InputRange
from edge_etl_job.engine_python.spool import Rejected
from edge_etl_job.errors import EdgeError
from edge_etl_job.layout import missing_columns
from edge_etl_job.probe_document import Disk, Example, Files, NodeProbe, Sample
from edge_etl_job.reasons import UNREADABLE
from edge_etl_job.report import LIMIT, rfc3339
from edge_etl_job.sampling import beginning, ending, latest_time, plainly
from edge_etl_job.sources import open_regular, why_unreadable

_SAMPLES: Final = 4
"""Files of which rows are looked at: those that were written last, of each header one."""
_EXAMPLES: Final = 3
_TOLD: Final = 5
_DETAIL: Final = 160
_NAMES: Final = 24


def probe(
    job: JobDocument,
    node: str,
    source: Path,
    work: Path,
    now: datetime | None = None,
    place: Path | None = None,
) -> NodeProbe:
    """Return what there is to see on the node; ``place`` as `discover` understands it."""
    now = now or datetime.now(UTC)
    total, available = machine.memory()
    architecture, kernel = machine.kernel()
    files, samples = _source(job, source, place, now)
    return NodeProbe(
        node=node,
        time=rfc3339(now),
        synchronised=machine.synchronised(),
        machine=architecture,
        kernel=kernel,
        page_size=os.sysconf("SC_PAGE_SIZE"),
        memory_cgroup=machine.memory_cgroup(),
        memory_bytes=total,
        available_bytes=available,
        disks=(_disk("source", source), _disk("work", work, write=True)),
        celsius=machine.celsius(),
        throttled=machine.throttled(),
        files=files,
        samples=tuple(samples),
    )


def _disk(name: Literal["source", "work"], path: Path, *, write: bool = False) -> Disk:
    try:
        found = os.statvfs(path)
    except OSError as error:
        said = error.strerror or str(error)
        return Disk(path=name, free_bytes=0, total_bytes=0, read_only=False, message=said)
    return Disk(
        path=name,
        free_bytes=found.f_bavail * found.f_frsize,
        total_bytes=found.f_blocks * found.f_frsize,
        read_only=_is_read_only(path),
        message=_unwritable(path) if write else "",
    )


def _is_read_only(path: Path, mounts: Path = Path("/proc/self/mountinfo")) -> bool:
    """Say whether the file system itself has become read-only, however it is mounted here."""
    device = path.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in mounts.read_text().splitlines():
        # proc(5): the options of the file system are the last field.
        fields = line.split()
        if fields[2] == number:
            return "ro" in fields[-1].split(",")
    return False


def _unwritable(path: Path) -> str:
    place = path / f"probe-{os.getpid()}"
    try:
        with place.open("xb") as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return error.strerror or str(error)
    finally:
        with suppress(OSError):
            place.unlink()
    return ""


def _source(
    job: JobDocument, source: Path, place: Path | None, now: datetime
) -> tuple[Files, list[Sample]]:
    try:
        found = discover(source, job.source.include, place)
    except EdgeError as error:
        return Files(message=error.message), []
    listed = list(found.files())
    files = Files(
        count=len(listed),
        bytes=sum(file.size for file in listed),
        unreadable=tuple(found.unreadable[:_TOLD]),
        passed_over=tuple(found.passed_over[:_TOLD]),
    )
    return files, list(_samples(job, listed, now))


def _samples(job: JobDocument, files: Sequence[SourceFile], now: datetime) -> Iterator[Sample]:
    """Look at the files that were written last, of those with the same header at one."""
    headers: set[tuple[str, ...]] = set()
    detector = Detector(job)
    latest = sorted((file for file in files if file.size), key=lambda each: -each.modified)
    shown = 0
    for file in latest[: 10 * _SAMPLES]:
        sample = _sample(job, detector, file, now)
        if sample.columns_seen in headers and not sample.reason:
            continue
        headers.add(sample.columns_seen)
        yield sample
        shown += 1
        if shown == _SAMPLES:
            return


def _sample(job: JobDocument, detector: Detector, file: SourceFile, now: datetime) -> Sample:
    modified = rfc3339(datetime.fromtimestamp(file.modified // 10**9, UTC))
    try:
        with open_regular(file.path) as opened, opened_content(opened, kind(opened)) as content:
            return _looked_at(job, detector, file, content, now, modified)
    except DialectError as error:
        return Sample(
            file=file.name,
            modified=modified,
            reason=error.reason,
            message=error.message,
            columns_seen=error.columns,
        )
    except OSError as error:
        said = why_unreadable(error)
        return Sample(file=file.name, modified=modified, reason=UNREADABLE, message=said)


def _looked_at(
    job: JobDocument,
    detector: Detector,
    file: SourceFile,
    content: BufferedIOBase,
    now: datetime,
    modified: str,
) -> Sample:
    head = content.read(SAMPLE)
    decision = detector.decide(head, whole=len(head) < SAMPLE)
    if decision is None:
        return Sample(file=file.name, modified=modified)
    dialect = decision.dialect
    looked = beginning(content, dialect, len(head), whole=len(head) < SAMPLE)
    whole = InputRange(file.name, file.path, looked.start, looked.end, 0, dialect)
    counts, read = plainly(job, whole, content, looked, now)
    latest = latest_time(job, whole, content, [looked, ending(content, dialect)], now)
    return Sample(
        file=file.name,
        modified=modified,
        rows_read=counts.rows,
        rejected_by_reason=dict(counts.rejected.most_common()),
        examples=tuple(_examples(counts.rejected, read.rejected)),
        columns_missing=missing_columns(job, [frozenset(dialect.columns)]),
        columns_seen=tuple(name for name in dialect.columns if name),
        dialect=decision.note or "",
        latest=rfc3339(latest) if latest else None,
    )


def _examples(counts: Counter[str], rejected: Sequence[Rejected]) -> Iterator[Example]:
    """Yield a row of each of the most frequent reasons."""
    first = {reason: (line, detail) for _, line, _, reason, detail, _ in reversed(rejected)}
    for reason, _ in counts.most_common(_EXAMPLES):
        line, detail = first[reason]
        yield Example(line=line, reason=reason, detail=detail[:_DETAIL])


def encoded(seen: NodeProbe, limit: int = LIMIT) -> bytes:
    """Return what was seen as JSON of at most ``limit`` bytes; columns and samples are cut."""
    names, samples = _NAMES, len(seen.samples)
    while True:
        cut = [
            msgspec.structs.replace(
                each,
                columns_seen=each.columns_seen[:names],
                columns_missing=each.columns_missing[:names],
                message=each.message[: 8 * _DETAIL],
            )
            for each in seen.samples[:samples]
        ]
        content = msgspec.json.encode(msgspec.structs.replace(seen, samples=tuple(cut)))
        if len(content) <= limit or not samples:
            return content
        names, samples = (names // 2, samples) if names else (_NAMES, samples - 1)
