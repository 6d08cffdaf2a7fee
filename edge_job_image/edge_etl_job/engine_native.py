"""The compiled engine, behind the same interface as the plain one.

Everything that happens for each row is in ``edge_job_image/engine``.
"""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import edge_etl_engine
import msgspec

from edge_etl_job.dialect import ASCII, UTF_8, Dialect
from edge_etl_job.documents import Field, JobDocument
from edge_etl_job.durations import seconds
from edge_etl_job.engine import (
    EngineResult,
    InputRange,
    InputResult,
    OutputFile,
    Quarantined,
)
from edge_etl_job.job import TIMESTAMP
from edge_etl_job.layout import lay_out
from edge_etl_job.nulls import null_ranges, null_texts
from edge_etl_job.reasons import UNREADABLE
from edge_etl_job.sources import why_unreadable
from edge_etl_job.times import limits, zone_file

if TYPE_CHECKING:
    from typing import Literal

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOST: Final = sys.float_info.max
"""The greatest double: JSON has no infinity, and no cell is beyond it."""
MOST_SERIES: Final = 65_536
"""Series that are remembered from run to run: those that were heard of last."""
_BUDGET: Final = 14 << 20
"""Bytes of rows that the engine holds before it sets some aside on the disk."""


class NativeEngine:
    """The compiled engine."""

    def __init__(self, budget: int = _BUDGET, threads: int | None = None) -> None:
        """Make an engine; with as many threads as the container may use, unless it is said."""
        self._budget = budget
        self._threads = threads

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
        # Files mostly are written alike: only what differs is told more than once.
        dialects: dict[Dialect, int] = {}
        ranges = [_range(part, dialects) for part in inputs]
        outcome = edge_etl_engine.clean(
            msgspec.json.encode(
                self._plan(job, now, dialects) | {"history": history or ""}
            ).decode(),
            ranges,
            work_dir,
            progress,
        )
        latest = outcome["latest"]
        return EngineResult(
            inputs=tuple(
                _result(part, read) for part, read in zip(inputs, outcome["inputs"], strict=True)
            ),
            files=tuple(
                OutputFile(work_dir / name, cast("Literal['rows']", kind), day, rows, sha256)
                for name, kind, day, rows, _, sha256 in outcome["files"]
            ),
            watermark=None if latest is None else _EPOCH + timedelta(microseconds=latest),
            history=outcome["history"],
        )

    def _plan(
        self, job: JobDocument, now: datetime, dialects: Iterable[Dialect]
    ) -> dict[str, object]:
        """Return the job as ``engine/src/plan.rs`` wants it."""
        rules, csv = job.schema.timestamp, job.source.csv
        earliest, latest = limits(job.schema, now)
        positions = {field.name: at for at, field in enumerate(job.schema.fields)}
        return {
            "dialects": [_dialect(each, job) for each in dialects],
            "thousands": csv.thousands or None,
            "comment": csv.comment,
            "timestamp": {
                "formats": rules.formats,
                "zone": _zone(rules.time_zone),
                "earliest": earliest,
                "latest": latest,
                "not_before": rules.not_before or "",
                "max_future": rules.max_future,
            },
            "fields": [_field(field, job) for field in job.schema.fields],
            "nulls": sorted({"", *job.schema.null_values}),
            "key": {
                "fields": [positions[name] for name in job.key if name != TIMESTAMP],
                "timestamp": TIMESTAMP in job.key,
            },
            "features": {
                "window": seconds(job.features.window) * 1_000_000,
                "group_by": [positions[name] for name in job.features.group_by],
                "quantiles": job.features.quantiles,
                "first": "first" in job.features.statistics,
                "last": "last" in job.features.statistics,
                "circular": "circular_mean" in job.features.statistics,
            },
            "ship_rows": "rows" in job.results.ship,
            "ship_features": "features" in job.results.ship,
            "most_series": MOST_SERIES,
            "budget": self._budget,
            "threads": self._threads,
        }


def _range(
    part: InputRange, dialects: dict[Dialect, int]
) -> tuple[str, Path, int, int, int, int, int, str, int]:
    """Return a range as the engine takes it; its dialect joins the others, without its place."""
    dialect = part.dialect
    _, lines = max((part.start, part.lines), (dialect.start, dialect.lines))
    number = dialects.setdefault(
        msgspec.structs.replace(dialect, start=0, lines=0, judged=False), len(dialects)
    )
    place = (dialect.start, part.start, part.end, lines)
    return part.name, part.path, *place, number, part.compression, part.digested


def _dialect(dialect: Dialect, job: JobDocument) -> dict[str, object]:
    layout = lay_out(dialect.columns, job)
    return {
        "columns": dialect.columns,
        "delimiter": dialect.delimiter,
        "decimal": dialect.decimal or ".",
        "encoding": UTF_8 if dialect.encoding == ASCII else dialect.encoding,
        "returns": dialect.newline == "\r",
        "extra": dialect.extra,
        "times": layout.timestamp,
        "fields": layout.fields,
    }


def _zone(name: str) -> dict[str, str] | None:
    return None if name == "UTC" else {"name": name, "tzif": zone_file(name).hex()}


def _field(field: Field, job: JobDocument) -> dict[str, object]:
    missing = (
        "missing_key" if field.name in job.key else "missing_required" if field.required else None
    )
    return {
        "name": field.name,
        "kind": field.type,
        "missing": missing,
        "circular": field.circular,
        "stuck_after": _stuck(field.stuck_after),
        "max_rate": (
            None
            if field.max_rate_per_minute is None
            else (float(field.max_rate_per_minute), f"{field.max_rate_per_minute:g}")
        ),
        "nulls": sorted(null_texts(job, field)),
        "null_ranges": [
            (max(least, -_MOST), min(most, _MOST)) for least, most in null_ranges(job, field)
        ],
        "set_null": job.schema.on_invalid_field == "SetNull",
        "min": None if field.min is None else (float(field.min), f"{field.min:g}"),
        "max": None if field.max is None else (float(field.max), f"{field.max:g}"),
    }


def _stuck(limit: int | str | None) -> dict[str, object] | None:
    match limit:
        case None:
            return None
        case int():
            return {"readings": limit, "text": f"{limit} readings"}
        case str():
            return {"micros": seconds(limit) * 1_000_000, "text": limit}


def _result(part: InputRange, read: "edge_etl_engine.Input") -> InputResult:
    quarantined = _quarantined(read)
    if quarantined is not None:
        return InputResult(0, 0, 0, {}, part.lines, quarantined)
    return InputResult(
        read["rows"],
        read["clean"],
        read["duplicate"],
        read["rejected"],
        read["lines"],
        refused=read["refused"],
        content=read["content"],
    )


def _quarantined(read: "edge_etl_engine.Input") -> Quarantined | None:
    if "quarantined" in read:
        return Quarantined(*read["quarantined"])
    if "errno" in read:
        error = OSError(read["errno"], os.strerror(read["errno"]))
    elif "shrunk" in read:
        at, end = read["shrunk"]
        error = OSError(f"it ended at byte {at}, {end} were there before")
    elif "irregular" in read:
        error = OSError("it is no longer a regular file")
    else:
        return None
    return Quarantined(UNREADABLE, why_unreadable(error))
