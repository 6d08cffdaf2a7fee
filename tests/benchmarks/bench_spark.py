"""``make bench-spark``: what the aggregation costs, beside plain PySpark on the same two cores.

Every figure is taken side by side in one call, the programs by turns, as processes from their start
to their end. Prints the figures as JSON and writes them to ``build/bench-spark/result.json``.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from edge_etl_operator.policies.spark_size import driver_overhead

from tests.benchmarks import edge, readings
from tests.benchmarks.spark import usage
from tests.support.cluster import cgroups
from tests.support.node_results import Job

SPARK = [sys.executable, "-m", "tests.benchmarks.spark.as_in_image"]
PLAIN = [*SPARK, "tests.benchmarks.spark.plain"]
OURS = [*SPARK, "edge_etl_spark", "run"]
EDGE = [sys.executable, "-m", "edge_etl_job", "run"]
FIRST_TASK = (
    "from edge_etl_spark.java import java_home; from edge_etl_spark.session import session;"
    "from edge_etl_spark.documents import Spark\n"
    "with java_home(None), session(Spark(master='local[2]'), 'first', 0) as s: s.range(1).count()"
)
FIELDS = [{"name": "sensor_id", "type": "string"}] + [
    {"name": name, "type": "double"} for name in edge.FIELDS
]
NODES = ("pi-1", "pi-2", "pi-3", "pi-4")


@dataclass(frozen=True)
class Bench:
    """Where the work lies, on which cores, how often, and how much."""

    folder: Path
    cores: tuple[int, ...]
    rounds: int
    megabytes: float
    rows_a_day: int

    def fresh(self, name: str) -> Path:
        """Return an empty folder."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def run(self, *command: str | Path, log: str = "log", limit: int | None = None) -> usage.Usage:
        """Run a program, with no more MiB of memory than ``limit``."""
        return usage.run(command, self.cores, self.folder / log, limit)

    def aggregate(
        self, job: Job, run: str, nodes: Sequence[str], heap: str, limit: int | None = None
    ) -> usage.Usage:
        """Run the aggregation as the driver's pod does."""
        document = job.document(run, *nodes, master=f"local[{len(self.cores)}]")
        document["statistics"] = edge.document(run)["features"]["statistics"]
        document["spark"]["conf"] = {"spark.driver.memory": heap}
        path = self.folder / "aggregation.json"
        path.write_text(json.dumps(document))
        place = ("--results", job.root, "--summary", self.folder / "summary")
        return self.run(*OURS, "--document", path, *place, limit=limit)


def times(ours: usage.Usage, theirs: usage.Usage, goal: float) -> dict[str, Any]:
    """Compare what two programs took."""
    return {
        "seconds": ratio(ours.seconds, theirs.seconds, goal),
        "cpuSeconds": ratio(ours.cpu, theirs.cpu, goal),
    }


def ratio(ours: float, theirs: float, goal: float) -> dict[str, Any]:
    """Return two figures and how they compare."""
    return {
        "ours": round(ours, 2),
        "plainPySpark": round(theirs, 2),
        "ratio": round(ours / theirs, 4),
        "goal": goal,
    }


def start(bench: Bench) -> dict[str, Any]:
    """From the start of the program to the end of the first Spark task."""
    ours, theirs = [], []
    for _ in range(bench.rounds):
        ours.append(bench.run(sys.executable, "-c", FIRST_TASK))
        theirs.append(bench.run(*PLAIN, "first"))
    return times(middle(ours), middle(theirs), 0.5)


def middle(runs: Sequence[usage.Usage]) -> usage.Usage:
    """Return the medians of several runs."""
    return usage.Usage(*(median(each) for each in zip(*map(astuple, runs), strict=True)))


def new_day(bench: Bench) -> dict[str, Any]:
    """One new day merged into a table of 365 days: rows, and features of each hour."""
    job = Job(bench.folder / "year", fields=FIELDS, ship=("rows",))
    days = [(date(2025, 1, 1) + timedelta(days=number)).isoformat() for number in range(366)]
    _lay_out(bench, job, days[:365])
    table = (job.table / "current" / "rows").resolve()
    new = deliver(job, "20260102-000000", "pi-1", days[365:], bench.rows_a_day)
    out = bench.folder / "rewritten"
    shutil.rmtree(out, ignore_errors=True)
    theirs = bench.run(*PLAIN, "rewrite", table, new, out)
    ours = bench.aggregate(job, "20260102-000000", ["pi-1"], "512m")
    written = [
        path.stat().st_size for path in (job.table / "current").resolve().rglob("*.parquet")
        if path.stat().st_nlink == 1
    ]  # fmt: skip
    return {
        "rows": 365 * bench.rows_a_day,
        **times(ours, theirs, 0.1),
        "bytesWritten": ratio(sum(written), size(out), 0.1),
    }


def _lay_out(bench: Bench, job: Job, days: Sequence[str]) -> None:
    """Make the table of some days, which an earlier call may have made already."""
    made = bench.folder / f"year-{bench.rows_a_day}"
    if not made.exists():
        draft = Job(bench.fresh("draft"), fields=FIELDS, ship=("rows",))
        deliver(draft, "20250101-000000", "pi-1", days, bench.rows_a_day)
        bench.aggregate(draft, "20250101-000000", ["pi-1"], "1g")
        draft.root.rename(made)
    shutil.rmtree(job.root, ignore_errors=True)
    shutil.copytree(made, job.root, symlinks=True, copy_function=os.link)


def deliver(job: Job, run: str, node: str, days: Sequence[str], count: int) -> Path:
    """Commit rows of days, and return the attempt's folder."""
    generator = np.random.default_rng(1)
    folder = job.directory / "runs" / run / node / "a1"
    folder.mkdir(parents=True)
    for day in days:
        step = 86_400_000_000 // count
        begin = np.datetime64(day, "us")
        table: dict[str, Any] = {
            "timestamp": pa.array(
                begin + (np.arange(count) * step).astype("timedelta64[us]"),
                pa.timestamp("us", tz="UTC"),
            ),
            "sensor_id": pa.array([f"s{number % 16}" for number in range(count)]),
            **{name: pa.array(generator.normal(20, 5, count).round(2)) for name in edge.FIELDS},
        }
        pq.write_table(pa.table(table), folder / f"rows-{day}.parquet", compression="zstd")
    job.commit(run, node, "a1")
    return folder


def pipeline(bench: Bench) -> dict[str, Any]:
    """Four Pis' raw CSV to a table: edge programs and aggregation, or all in plain PySpark."""
    raw = bench.folder / f"raw-{bench.megabytes:g}"
    if not raw.exists():
        for number, node in enumerate(NODES):
            readings.write(raw / node, bench.megabytes / len(NODES), seed=number + 1)
            for path in (raw / node).iterdir():
                path.write_text(path.read_text().replace(";aq", f";{node}-aq"))
    plain = bench.fresh("plain") / "out"
    theirs = bench.run(*PLAIN, "clean", raw, plain)
    run = "20260101-000000"
    took = {}
    shipped = {}
    memory = 0.0
    for ship in (("rows", "features"), ("features",)):
        name = "+".join(ship)
        job = Job(bench.fresh("results"), fields=FIELDS, ship=ship, namespace="default",
                  name="bench")  # fmt: skip
        document = edge.document(run)
        document["results"] = {"ship": list(ship)}
        (bench.folder / "job.json").write_text(json.dumps(document))
        at_edge = clean(bench, raw, job.root)
        shipped[name] = size(job.directory / "runs")
        used = bench.aggregate(job, run, NODES, "512m", _limit(_POD))
        took[name] = usage.Usage(
            at_edge.seconds + used.seconds, at_edge.cpu + used.cpu, used.mebibytes
        )
        memory = max(memory, used.mebibytes)
        same_tables(job.table / "current", plain, ship)
    sent = size(raw)
    both, alone = "rows+features", "features"
    return {
        "rawBytes": sent,
        **times(took[both], theirs, 0.4),
        "bytesOverTheNetwork": ratio(shipped[both], sent, 0.12),
        "featuresAlone": {
            **times(took[alone], theirs, 0.4),
            "bytesOverTheNetwork": ratio(shipped[alone], sent, 0.03),
        },
        "localStage": {
            "resultBytes": shipped[both],
            "peakMebibytes": round(memory),
            "plainPySparkMebibytes": round(theirs.mebibytes),
            "goal": _POD,
            "inCgroup": _limit(_POD) is not None,
        },
    }


def clean(bench: Bench, raw: Path, results: Path) -> usage.Usage:
    """Run the edge programs of all nodes, which share the cores."""

    def node(name: str) -> usage.Usage:
        places = [
            part for of in ("state", "work") for part in (f"--{of}", bench.fresh(f"{name}-{of}"))
        ]
        return bench.run(
            *EDGE, "--job", bench.folder / "job.json", "--node", name, "--attempt", "a1",
            "--source", raw / name, *places, "--results", results,
            "--summary", bench.folder / f"{name}-summary", log=f"{name}-log",
        )  # fmt: skip

    begin = perf_counter()
    with ThreadPoolExecutor(len(NODES)) as pool:
        used = list(pool.map(node, NODES))
    return usage.Usage(
        perf_counter() - begin,
        sum(each.cpu for each in used),
        sum(each.mebibytes for each in used),
    )


def same_tables(ours: Path, theirs: Path, kinds: Sequence[str]) -> None:
    """Fail unless both tables have the same rows, and the same features but for rounding."""
    for kind, time in (("rows", "timestamp"), ("features", "window_start")):
        if kind not in kinds:
            continue
        columns = pq.read_schema(next((theirs / kind).rglob("*.parquet"))).names
        one, other = (
            pq.read_table(folder / kind, columns=columns).sort_by(
                [(name, "ascending") for name in (time, "sensor_id", "field") if name in columns]
            )
            for folder in (ours, theirs)
        )
        for name in columns:
            mine, right = (table[name].combine_chunks() for table in (one, other))
            same = (
                np.allclose(mine, right, rtol=1e-9, equal_nan=True)
                if kind == "features" and pa.types.is_floating(right.type)
                else mine.equals(right.cast(mine.type))
            )
            if not same:
                raise RuntimeError(f"the {name} of the {kind} is not that of plain PySpark")


_POD = 900
"""MiB of the pod of a Local stage over 50 MB of results."""


def _limit(mebibytes: int) -> int | None:
    return mebibytes if cgroups.available() else None


_MEMORY = ((50, 512, 1), (5, 512, 1), (50, 512, 2), (100, 512, 2), (50, 1024, 2))


def memory(bench: Bench) -> dict[str, Any]:
    """Peaks of the Local stage by bytes delivered and by heap, beside what the planner gives it.

    Where this user may make cgroups it has no more memory than that, and ends nevertheless.
    """
    found = []
    run = "20260101-000000"
    for megabytes, heap, cores in _MEMORY:
        count = megabytes * 1_000_000 // 10 // 9  # bytes a row, by this data; ten days
        job = Job(bench.fresh("memory"), fields=FIELDS, ship=("rows",))
        days = [f"2026-01-{day:02}" for day in range(1, 11)]
        deliver(job, run, "pi-1", days, count)
        # Times of the same sensors that lie between the others': each day has to be merged.
        deliver(job, run, "pi-2", days, count // 100)
        narrow = Bench(bench.folder, bench.cores[:cores], 1, 0, 0)
        pod = heap + driver_overhead(heap, cores)
        limit = _limit(pod)
        used = narrow.aggregate(job, run, ["pi-1", "pi-2"], f"{heap}m", limit)
        found.append(
            {
                "deliveredBytes": size(job.directory / "runs"),
                "rows": 10 * (count + count // 100),
                "heapMebibytes": heap,
                "podMebibytes": pod,
                "inCgroup": limit is not None,
                "cores": cores,
                "peakMebibytes": round(used.mebibytes),
                "seconds": round(used.seconds, 1),
                "cpuSeconds": round(used.cpu, 1),
            }
        )
    return {"peaks": found}


def size(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


FIGURES: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "start": start,
    "newDay": new_day,
    "pipeline": pipeline,
    "memory": memory,
}


def main() -> None:
    """Take the figures that are asked for."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("figures", nargs="*", metavar="FIGURE", help=", ".join(FIGURES))
    options.add_argument("--megabytes", type=float, default=546, help="of raw CSV")
    options.add_argument("--rows-a-day", type=int, default=20_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--folder", type=Path, default=Path("build/bench-spark"))
    given = options.parse_args()
    cores = tuple(sorted(os.sched_getaffinity(0)))[:2]
    given.folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(given.folder.resolve(), cores, given.rounds, given.megabytes, given.rows_a_day)
    names = given.figures or [name for name in FIGURES if name != "memory"]
    result = {name: FIGURES[name](bench) for name in names}
    text = json.dumps(result, indent=2)
    (given.folder / "result.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
