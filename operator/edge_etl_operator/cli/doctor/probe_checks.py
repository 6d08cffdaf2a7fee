"""What follows from what a pod saw on a Pi: pure."""

import difflib
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.cli.doctor.checks import Check, notice, ok, problem
from edge_etl_operator.cli.doctor.probing import Answer
from edge_etl_operator.cli.doctor.seen import Disk, NodeProbe, Sample
from edge_etl_operator.cli.outcome import size

_OFF: Final = timedelta(seconds=5)
"""How wrong a clock may be: certificates and tokens mind more, and readings less."""
_HOT: Final = 75.0
"""Degrees Celsius; a Pi slows down from 80 (Raspberry Pi documentation, "Frequency management")."""
_LEAST_FREE: Final = 512 << 20
_MUCH: Final = 0.5
_COMMA: Final = re.compile(r"'[+-]?\d+,\d+' is not a (double|long)")
_ZONE: Final = timedelta(minutes=14)
"""A difference from which on a time zone is suspected: they are quarters of an hour apart."""
_REFUSED: Final = (
    "Change what refuses it (Pod Security, a quota, your rights); the cleaning pods would meet it "
    "too."
)
_LOOK: Final = "Look at the file, or leave it out by spec.source.include."


def checks(answer: Answer, job: EdgeETLJob) -> Iterator[Check]:
    """Return what was found out about a node."""
    node, seen = answer.node, answer.seen
    if answer.refused:
        yield problem("pod", f"no pod could be made: {answer.refused}", _REFUSED, node)
    elif answer.cause is not None:
        yield problem("pod", answer.cause.fact, answer.cause.reason.remedy, node)
    if seen is None:
        return
    yield _machine(seen)
    yield _cgroup(seen)
    yield _clock(seen, answer.not_before, answer.not_after)
    yield from (_disk(seen.node, disk) for disk in seen.disks)
    yield from _heat(seen)
    yield _files(seen)
    for sample in seen.samples:
        yield from _sample(seen, sample, job)


def _machine(seen: NodeProbe) -> Check:
    pages = f"{seen.page_size // 1024} KiB"
    said = f"{seen.machine}, kernel {seen.kernel}, pages of {pages}, {size(seen.memory_bytes)}"
    if seen.page_size not in (4096, 16384):
        remedy = "Boot a kernel with pages of 4 or 16 KiB: the images are tried with these."
        return notice("machine", said, remedy, seen.node)
    return ok("machine", said, seen.node)


def _cgroup(seen: NodeProbe) -> Check:
    if seen.memory_cgroup:
        return ok("memory cgroup", "on: memory limits hold", seen.node)
    return problem(
        "memory cgroup",
        "off: a pod that takes too much memory takes the whole Pi down",
        "Add cgroup_memory=1 cgroup_enable=memory to the one line of "
        "/boot/firmware/cmdline.txt, and reboot.",
        seen.node,
    )


def _clock(seen: NodeProbe, not_before: datetime | None, not_after: datetime | None) -> Check:
    early = not_before is not None and seen.time < not_before - _OFF
    late = not_after is not None and seen.time > not_after + _OFF
    if (early and not_before) or (late and not_after):
        limit = not_before if early else not_after
        assert limit is not None  # noqa: S101  # one of the two is wrong
        return problem(
            "clock",
            f"it says {seen.time:%Y-%m-%d %H:%M:%S} UTC, {_span(abs(seen.time - limit))} "
            f"{'behind' if early else 'ahead of'} the API server",
            "Let it reach a time server: `timedatectl` must say System clock synchronized: yes.",
            seen.node,
        )
    if seen.synchronised is False:
        return notice(
            "clock",
            f"right ({seen.time:%H:%M:%S} UTC), but no time server keeps it so",
            "`timedatectl set-ntp true`, and let it reach a time server.",
            seen.node,
        )
    return ok("clock", f"right, {seen.time:%Y-%m-%d %H:%M:%S} UTC", seen.node)


def _disk(node: str, disk: Disk) -> Check:
    what = {"source": "the readings' disk", "work": "the kubelet's disk"}.get(disk.path, disk.path)
    if disk.read_only or disk.message:
        said = f"{what} cannot be written: {disk.message or 'it is read-only'}"
        remedy = "A worn-out SD card becomes read-only: look at `dmesg`, and replace it."
        return problem("disk", said, remedy, node)
    said = f"{what} has {size(disk.free_bytes)} of {size(disk.total_bytes)} free"
    if disk.free_bytes < _LEAST_FREE:
        return problem("disk", said, "Free some: images and the ledger need room.", node)
    return ok("disk", said, node)


def _heat(seen: NodeProbe) -> Iterator[Check]:
    if seen.throttled:
        yield notice(
            "throttling",
            ", ".join(seen.throttled),
            "Use the Pi's own power supply, and cool it: it is slower than it could be.",
            seen.node,
        )
    if seen.celsius is None:
        return
    said = f"{seen.celsius:.0f} °C"
    if seen.celsius >= _HOT:
        yield notice("temperature", said, "Cool it: from 80 °C on it slows down.", seen.node)
    else:
        yield ok("temperature", said, seen.node)


def _files(seen: NodeProbe) -> Check:
    files = seen.files
    if files.message:
        remedy = "Mend the directory or its permissions, or the chart's edge.runAsUser."
        return problem("files", files.message, remedy, seen.node)
    if files.unreadable:
        return problem(
            "files",
            f"cannot be read: {', '.join(files.unreadable[:5])}",
            "Let others read them (chmod -R o+rX), or set the chart's edge.runAsUser.",
            seen.node,
        )
    if not files.count:
        passed = f"; links are passed over: {', '.join(files.passed_over[:5])}"
        return problem(
            "files",
            f"no file matches spec.source.include{passed if files.passed_over else ''}",
            "Correct spec.source.include, or put the readings into the source's directory.",
            seen.node,
        )
    return ok("files", f"{files.count} files, {size(files.bytes)}", seen.node)


def _sample(seen: NodeProbe, sample: Sample, job: EdgeETLJob) -> Iterator[Check]:
    if sample.reason:
        near = _alike(sample, job)
        yield problem("sample", f"{sample.file}: {sample.message}", near or _LOOK, seen.node)
        return
    yield from _times(seen, sample)
    rejected = sum(sample.rejected_by_reason.values())
    if rejected and rejected >= _MUCH * sample.rows_read:
        told = "; ".join(f"line {each.line}: {each.detail}" for each in sample.examples[:2])
        # A broken sensor writes such values too, and rejecting them is what the range is for.
        tell = notice if _most(sample) == "out_of_range" else problem
        yield tell(
            "sample",
            f"{sample.file}: {rejected} of {sample.rows_read} rows would be rejected: {told}",
            _remedy(sample),
            seen.node,
        )
    elif sample.rows_read:
        how = f" ({sample.dialect})" if sample.dialect else ""
        said = f"{sample.file}: {sample.rows_read - rejected} of {sample.rows_read} rows are clean"
        yield ok("sample", said + how, seen.node)


def missing_everywhere(answers: list[Answer], job: EdgeETLJob) -> Iterator[Check]:
    """Name the fields for which no file of any node has a column: most likely they are misspelt."""
    samples = [each for answer in answers if answer.seen for each in answer.seen.samples]
    read = [each for each in samples if not each.reason]
    if not read:
        return
    seen = sorted({column for each in read for column in each.columns_seen})
    for field in job.spec.schema.fields:
        if all(field.name in each.columns_missing for each in read):
            near = [c for name in field.columns for c in _near(name, seen)]
            meant = f": write from: [{near[0]}]" if near else ""
            yield problem(
                "columns",
                f"no file has a column for {field.name} (looked for "
                f"{' or '.join(field.columns)}); columns seen: {', '.join(seen)}",
                f"Correct `from` of the field in spec.schema{meant}, or remove the field.",
            )


def _alike(sample: Sample, job: EdgeETLJob) -> str:
    """Guess which column of a file is meant for one that it lacks."""
    if sample.reason != "missing_column":
        return ""
    wanted = [(field.name, field.columns) for field in job.spec.schema.fields]
    wanted.append(("timestamp", job.spec.schema.timestamp.from_))
    for name, columns in wanted:
        if set(columns).isdisjoint(sample.columns_seen):
            for column in columns:
                if near := _near(column, sample.columns_seen):
                    return f"Correct `from` of {name} in spec.schema: perhaps {near[0]} is meant."
    return "Correct `from` in spec.schema, or spec.source.include if the file is another's."


def _near(name: str, columns: tuple[str, ...] | list[str]) -> list[str]:
    lower = {column.lower(): column for column in columns}
    return [lower[each] for each in difflib.get_close_matches(name.lower(), lower, 1, cutoff=0.6)]


def _times(seen: NodeProbe, sample: Sample) -> Iterator[Check]:
    """Compare the newest reading with when the file was written: a wrong zone shifts it."""
    if sample.latest is None:
        return
    ahead = sample.latest - seen.time
    if ahead > _ZONE:
        yield problem(
            "time zone",
            f"{sample.file}: its latest reading is {_span(ahead)} in the future",
            "Name the zone in which the files are written in spec.schema.timestamp.timeZone.",
            seen.node,
        )
        return
    behind = sample.modified - sample.latest
    quarter = timedelta(minutes=15)
    off = behind % quarter
    near = min(off, quarter - off) < timedelta(minutes=2)
    if _ZONE < behind < timedelta(hours=15) and near:
        yield notice(
            "time zone",
            f"{sample.file}: its latest reading is {_span(behind)} older than the file",
            "If it was taken when the file was written, name the files' zone in "
            "spec.schema.timestamp.timeZone.",
            seen.node,
        )


def _most(sample: Sample) -> str:
    """Return the reason for which most rows are rejected."""
    return max(sample.rejected_by_reason, key=lambda each: sample.rejected_by_reason[each])


def _remedy(sample: Sample) -> str:
    if any(_COMMA.search(each.detail) for each in sample.examples):
        return "The numbers have a decimal comma: set spec.source.csv.decimal to auto or ','."
    return {
        "timestamp_in_future": "Name the files' zone in spec.schema.timestamp.timeZone, or mend "
        "the Pi's clock.",
        "timestamp_too_old": "Correct spec.schema.timestamp.notBefore, or the clock that wrote it.",
        "invalid_timestamp": "Correct spec.schema.timestamp.formats.",
        "out_of_range": "Look at the sensor; if it is sound, correct min and max of the field in "
        "spec.schema.",
    }.get(_most(sample), "Correct spec.schema, or the files.")


def _span(time: timedelta) -> str:
    seconds = time.total_seconds()
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
