"""Measure the aggregation of 20,000 readings in the image, with and without the class archive.

``python -m tests.support.spark_start [ROUNDS]`` as root. Runs take turns, so that other load hits
both; prints JSON: medians in seconds, and their ratio. ``started`` is the time to a Spark session,
``finished`` to the published table, both from the start of the process.
"""

import json
import shutil
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
from edge_etl_spark.session import SMALL_JVM

from tests.support import image_root
from tests.support.cluster import images
from tests.support.node_results import Job

RUN = "20260101-000000"
NODES = [f"pi-{number}" for number in range(4)]
VARIANTS: dict[str, dict[str, str]] = {
    "archive": {},
    "plain": {"spark.driver.defaultJavaOptions": SMALL_JVM},
}


def deliver(results: Path) -> Job:
    """Deliver readings of two days from four nodes."""
    job = Job(results)
    generator = np.random.default_rng(1)
    times = pd.date_range("2026-01-01", periods=5000, freq="34s", tz="UTC")
    for node in NODES:
        sensors = [f"{node}-{number % 5}" for number in range(len(times))]
        values = generator.normal(20, 5, len(times))
        job.deliver(
            RUN, node, pd.DataFrame({"timestamp": times, "sensor_id": sensors, "pm10": values})
        )
    return job


def aggregate(root: Path, job: Job, conf: dict[str, str]) -> dict[str, float]:
    """Aggregate once in the image's root, and return after how many seconds what was reached."""
    shutil.rmtree(job.table, ignore_errors=True)
    document = job.document(RUN, *NODES, master="local[1]")
    document["spark"]["conf"] = {"spark.driver.memory": "512m", **conf}
    (job.root / "aggregation.json").write_text(json.dumps(document))
    start = time.time()
    done = image_root.run(
        root,
        [
            *("env", "SPARK_LOCAL_DIRS=/tmp/spark", "python3", "-m", "edge_etl_spark", "run"),
            *("--document", "/results/aggregation.json", "--results", "/results"),
            *("--summary", "/results/summary.json"),
        ],
    )
    events = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    at = {
        event.get("step", event["event"]): datetime.fromisoformat(event["time"]).timestamp()
        for event in events
    }
    return {"started": at["rows"] - start, "finished": at["finished"] - start}


def main(rounds: int) -> None:
    """Measure, and print the figures."""
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        image_root.unpack(images.project("spark"), root)
        job = deliver(root / "results")
        measured: dict[str, list[dict[str, float]]] = {name: [] for name in VARIANTS}
        for _ in range(rounds):
            for name, conf in VARIANTS.items():
                measured[name].append(aggregate(root, job, conf))
    figures = {
        what: {name: round(median(run[what] for run in runs), 2) for name, runs in measured.items()}
        for what in ("started", "finished")
    }
    for times in figures.values():
        times["ratio"] = round(times["archive"] / times["plain"], 2)
    print(json.dumps({"rounds": rounds, **figures}, indent=2))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
