"""Job documents, the engine and the edge program, as tests use them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
from edge_etl_job.attempt import Task
from edge_etl_job.compression import kind, opened_content
from edge_etl_job.detection import SAMPLE, Detector
from edge_etl_job.dialect import DialectError
from edge_etl_job.documents import JobDocument, NodeManifest, NodeSummary
from edge_etl_job.engine import Engine, EngineResult, InputRange, InputResult, Quarantined
from edge_etl_job.engine_native import NativeEngine
from edge_etl_job.engine_python.clean import PythonEngine
from edge_etl_job.layout import missing_columns
from edge_etl_job.reasons import UNREADABLE
from edge_etl_job.results import ResultStore, open_store
from edge_etl_job.results.layout import Attempt
from edge_etl_job.run import run as deliver
from edge_etl_job.sources import open_regular, why_unreadable

NOW = datetime(2019, 3, 5, tzinfo=UTC)
RUN = "20190304-235959"

BASE: dict[str, Any] = {
    "apiVersion": "pi-edge-spark.io/v1alpha1",
    "kind": "EdgeJob",
    "namespace": "default",
    "job": "air-quality",
    "run": RUN,
    "source": {"name": "sensors", "settleSeconds": 0},
    "schema": {
        "timestamp": {"notBefore": "2015-01-01T00:00:00Z"},
        "fields": [
            {"name": "sensor_id", "type": "string"},
            {"name": "pm10", "from": ["P1"], "type": "double", "min": 0, "max": 999.8},
        ],
        "nullValues": ["", "NA"],
    },
    "key": ["sensor_id", "timestamp"],
    "features": {"window": "1h", "groupBy": ["sensor_id"]},
}


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``base`` with the parts that ``over`` has; lists are replaced whole."""
    result = dict(base)
    for name, value in over.items():
        below = result.get(name)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            value = merged(below, value)
        result[name] = value
    return result


def document(**over: Any) -> dict[str, Any]:
    return merged(BASE, over)


def job(**over: Any) -> JobDocument:
    return msgspec.convert(document(**over), JobDocument)


@dataclass(frozen=True)
class Part:
    """A range of a file; the whole file where there is no ``end``."""

    name: str
    path: Path
    start: int = 0
    end: int | None = None
    lines: int = 0


@dataclass(frozen=True)
class Cleaned:
    """An engine's result, with what its files hold, and what was decided before it began."""

    result: EngineResult
    rows: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    features: list[dict[str, Any]]
    inputs: tuple[InputResult, ...] = ()
    """All inputs, also those that the engine was not given."""
    notes: tuple[str | None, ...] = ()
    columns_seen: tuple[str, ...] = ()
    columns_missing: tuple[str, ...] = ()

    @property
    def reasons(self) -> list[str]:
        return [row["reason"] for row in self.rejected]


def whole(path: Path, name: str | None = None) -> Part:
    return Part(name or path.name, path)


def decided(
    part: Part, detector: Detector
) -> tuple[InputRange | Quarantined | None, str | None, tuple[str, ...]]:
    """Return the range with its dialect or why there is none, the note, and the columns."""
    try:
        with open_regular(part.path) as file:
            compression = kind(file)
            with opened_content(file, compression) as content:
                sample = content.read(SAMPLE)
                rest = len(content.read()) if part.end is None or compression else 0
        end = len(sample) + rest if part.end is None or compression else part.end
        decision = detector.decide(sample[:end], whole=end == len(sample[:end]))
    except DialectError as error:
        return Quarantined(error.reason, error.message), None, error.columns
    except OSError as error:
        return Quarantined(UNREADABLE, why_unreadable(error)), None, ()
    if decision is None:
        return None, None, ()
    dialect = decision.dialect
    ranged = InputRange(part.name, part.path, part.start, end, part.lines, dialect, compression)
    return ranged, decision.note, dialect.columns


def clean(
    work: Path, contents: Sequence[bytes | str], *, now: datetime = NOW, **over: Any
) -> Cleaned:
    """Run the engine over files of these contents, named ``0.csv``, ``1.csv`` and so on."""
    source, out = work / "source", work / "out"
    source.mkdir(parents=True, exist_ok=True)
    out.mkdir(exist_ok=True)
    ranges = []
    for index, content in enumerate(contents):
        path = source / f"{index}.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        ranges.append(whole(path))
    return clean_ranges(out, ranges, now=now, **over)


def clean_ranges(
    out: Path,
    parts: Sequence[Part],
    *,
    now: datetime = NOW,
    history: str | None = None,
    **over: Any,
) -> Cleaned:
    """Decide on the ranges and run both engines: they must agree in every cell."""
    decisions = [decided(part, Detector(job(**over))) for part in parts]
    return clean_decided(out, parts, decisions, now=now, history=history, **over)


def clean_decided(
    out: Path,
    parts: Sequence[Part],
    decisions: Sequence[tuple[InputRange | Quarantined | None, str | None, tuple[str, ...]]],
    *,
    now: datetime = NOW,
    history: str | None = None,
    **over: Any,
) -> Cleaned:
    """Run both engines over ranges that have been decided on."""
    ranges = [each for each, _, _ in decisions if isinstance(each, InputRange)]
    document = job(**over)
    result = _read(PythonEngine(), out, ranges, now, document, history)
    # With room for a few rows only, all the others pass through the disk.
    for engine, name in ((NativeEngine(), "native"), (NativeEngine(4096, 3), "small")):
        work = out.with_name(f"{out.name}-{name}")
        same(result, _read(engine, work, ranges, now, document, history))
        assert {path.name for path in work.iterdir()} == {path.name for path in out.iterdir()}
    read = iter(result.result.inputs)
    inputs = []
    for part, (each, _, _) in zip(parts, decisions, strict=True):
        if isinstance(each, InputRange):
            inputs.append(next(read))
        else:
            inputs.append(InputResult(0, 0, 0, {}, part.lines, each))
    headers = {columns for _, _, columns in decisions if columns}
    return replace(
        result,
        inputs=tuple(inputs),
        notes=tuple(note for _, note, _ in decisions),
        columns_seen=tuple(sorted({name for names in headers for name in names if name})),
        columns_missing=missing_columns(job(**over), map(frozenset, headers)),
    )


def same(one: Cleaned, other: Cleaned) -> None:
    """Assert that two engines made the same of their inputs."""
    assert one.result.inputs == other.result.inputs
    assert one.rows == other.rows
    assert one.rejected == other.rejected
    assert one.features == other.features
    named = [
        [(file.path.name, file.kind, file.day, file.rows) for file in each.result.files]
        for each in (one, other)
    ]
    assert named[0] == named[1]
    assert one.result.watermark == other.result.watermark
    histories = [json.loads(each.result.history or "null") for each in (one, other)]
    assert histories[0] == histories[1]


def _read(
    engine: Engine,
    out: Path,
    ranges: Sequence[InputRange],
    now: datetime,
    document: JobDocument,
    history: str | None,
) -> Cleaned:
    out.mkdir(parents=True, exist_ok=True)
    result = engine.clean(
        ranges, document, out, now=now, progress=lambda done: None, history=history
    )
    kinds: dict[str, list[dict[str, Any]]] = {"rows": [], "rejected": [], "features": []}
    for file in result.files:
        read = pq.read_table(file.path).to_pylist()
        assert len(read) == file.rows > 0
        kinds[file.kind] += read
    return Cleaned(result, kinds["rows"], kinds["rejected"], kinds["features"])


@dataclass(frozen=True)
class Pi:
    """The directories of one node, and the program on it as a process."""

    root: Path
    node: str = "pi-1"

    @property
    def source(self) -> Path:
        return self.root / "source"

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def results(self) -> Path:
        return self.root / "results"

    @classmethod
    def at(cls, root: Path) -> "Pi":
        pi = cls(root)
        pi.source.mkdir(parents=True)
        pi.results.mkdir()
        return pi

    def arguments(self, run: str, attempt: str, **over: Any) -> list[str]:
        path = self.root / f"job-{run}.json"
        path.write_text(json.dumps(document(run=run, **over)))
        paths = {
            "--job": path,
            "--source": self.source,
            "--state": self.state,
            "--work": self.root / "work",
            "--results": self.results,
            "--summary": self.root / "summary.json",
        }
        return [
            *(sys.executable, "-m", "edge_etl_job", "run", "--node", self.node),
            *("--attempt", attempt),
            *(str(each) for pair in paths.items() for each in pair),
        ]

    def start(self, run: str, attempt: str, **over: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.arguments(run, attempt, **over),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONWARNINGS": "error"},
        )

    def run(self, run: str, attempt: str = "a", *, code: int = 0, **over: Any) -> NodeSummary:
        """Run the program to its end; return the summary that it leaves for the kubelet."""
        with suppress(FileNotFoundError):
            (self.root / "summary.json").unlink()
        process = self.start(run, attempt, **over)
        _, log = process.communicate(timeout=300)
        assert process.returncode == code, log
        return msgspec.json.decode((self.root / "summary.json").read_bytes(), type=NodeSummary)

    def deliver(
        self,
        run: str,
        attempt: str = "a",
        *,
        store: ResultStore | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        transform: Path | None = None,
        **over: Any,
    ) -> NodeSummary:
        """Do an attempt within this process, which is quicker by the start of one."""
        document, work = job(run=run, **over), self.root / "work"
        task = Task(document, self.node, attempt, self.source, self.state, work, transform)
        store = store or self.store(run, attempt)
        return deliver(task, store, lambda: PythonEngine(transform), clock)

    def store(self, run: str, attempt: str) -> ResultStore:
        place = Attempt("default", "air-quality", run, self.node, attempt)
        return open_store(str(self.results), place)

    def write(self, name: str, content: str | bytes) -> Path:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    @property
    def job_results(self) -> Path:
        return self.results / "default" / "air-quality"

    def manifests(self) -> list[NodeManifest]:
        """Return what the node has committed, in the order of the runs."""
        paths = sorted(self.job_results.glob(f"runs/*/{self.node}/manifest.json"))
        return [msgspec.json.decode(path.read_bytes(), type=NodeManifest) for path in paths]

    def delivered(self, kind: str = "rows") -> list[dict[str, Any]]:
        """Return the rows of one kind that manifests name, in the order of the runs."""
        rows: list[dict[str, Any]] = []
        for each in self.manifests():
            folder = self.job_results / "runs" / each.run / self.node / each.attempt
            for file in each.files:
                if file.kind == kind:
                    rows += pq.read_table(folder / file.name).to_pylist()
        return rows


def reading(second: int, sensor: str = "a", value: str = "1.5") -> str:
    """Return a valid CSV line, without newline, of a second of 2019-03-04."""
    time = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f"2019-03-04T{time};{sensor};{value}"


HEADER = "timestamp;sensor_id;P1"
BROKEN: dict[bytes, str | None] = {
    b"": None,
    b";;": None,
    b"\r": None,
    b" \t;": None,
    HEADER.encode(): "repeated_header",
    b"2019-03-04T00:00:00;a": "wrong_field_count",
    b"2019-03-04T00:00:00;a;1;2": "wrong_field_count",
    b"2019-03-04T00:00:00,a,1": "wrong_field_count",
    b"2019-03-04T00:00:00;a;12019-03-04T00:00:05;b;1": "wrong_field_count",
    b"2019-02-30T00:00:00;a;1": "invalid_timestamp",
    b"2019-02-29T00:00:00;a;1": "invalid_timestamp",
    b"2019-03-04T24:00:00;a;1": "invalid_timestamp",
    b"2019-03-04T00:60:00;a;1": "invalid_timestamp",
    b"2019-03-04T00:00:00+99:00;a;1": "invalid_timestamp",
    b"\xef\xbb\xbf2019-03-04T00:00:00;a;1": "invalid_timestamp",
    b"04/03/2019 00:00;a;1": "invalid_timestamp",
    b"1551657600;a;1": "invalid_timestamp",
    b"1970-01-01T00:00:00;a;1": "timestamp_too_old",
    b"2030-01-01T00:00:00;a;1": "timestamp_in_future",
    b"2038-01-19T03:14:08;a;1": "timestamp_in_future",
    b"2019-03-04T00:00:00;;1": "missing_key",
    b";a;1": "missing_timestamp",
    b"NA;a;1": "missing_timestamp",
    b"2019-03-04T00:00:00;a;999.9": "out_of_range",
    b"2019-03-04T00:00:00;a;-1": "out_of_range",
    b"2019-03-04T00:00:00;a;nan": "invalid_value",
    b"2019-03-04T00:00:00;a;1e999": "invalid_value",
    b"2019-03-04T00:00:00;a;1,5": "invalid_value",
    b"2019-03-04T00:00:00;a;1.2.3": "invalid_value",
    b"2019-03-04T00:00:00;a;0x1F": "invalid_value",
    b"2019-03-04T00:00:00;a;1_0": "invalid_value",
    b"2019-03-04T00:00:00;a;\xd9\xa1": "invalid_value",
    b"2019-03-04T00:00:00;a;1\x1a": "invalid_value",
    b'2019-03-04T00:00:00;a;"1': "malformed_quote",
    b'2019-03-04T00:00:00;"a;1': "malformed_quote",
    b'2019-03-04T00:00:00;"a"a;1': "malformed_quote",
    b"2019-03-04T00:00:00;a;1\0": "not_text",
    b"2019-03-04T00:00:00;\xff;1": "invalid_encoding",
    b"2019-03-04T00:00:00;\xc3;1": "invalid_encoding",
    b"2019-03-04T00:00:00;\xed\xa0\x80;1": "invalid_encoding",
}
"""Lines that are no good rows below that header, and why they are rejected; None: no record."""


def csv(*lines: str) -> str:
    return "\n".join((HEADER, *lines, ""))
