"""The edge program as the benchmark runs it: a process, from its start to its end."""

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

FIELDS: Final = ("pm10", "pm25", "temperature", "humidity")
LIMITS: Final = {
    "pm10": ("P1", 0.0, 999.8),
    "pm25": ("P2", 0.0, 999.8),
    "temperature": ("temperature", -40.0, 80.0),
    "humidity": ("humidity", 0.0, 100.0),
}
NOT_BEFORE: Final = "2015-01-01T00:00:00Z"
_STATE: Final = ("source", "results", "state", "work")


def document(run: str) -> dict[str, Any]:
    """Return the job document: what the peers do as well."""
    numbers = [
        {"name": name, "from": [column], "type": "double", "min": least, "max": most}
        for name, (column, least, most) in LIMITS.items()
    ]
    return {
        "apiVersion": "pi-edge-spark.io/v1alpha1",
        "kind": "EdgeJob",
        "namespace": "default",
        "job": "bench",
        "run": run,
        "source": {"name": "sensors", "settleSeconds": 0},
        "schema": {
            "timestamp": {"notBefore": NOT_BEFORE},
            "fields": [{"name": "sensor_id", "type": "string", "required": True}, *numbers],
            "nullValues": [""],
        },
        "key": ["sensor_id", "timestamp"],
        "features": {
            "window": "1h",
            "groupBy": ["sensor_id"],
            "statistics": ["count", "mean", "stddev", "min", "max", "p50", "p95"],
        },
    }


@dataclass
class Node:
    """The directories of a node whose source is somewhere else."""

    root: Path
    source: Path
    runs: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True)
        (self.root / "results").mkdir()

    def command(self) -> list[str]:
        """Return the command of the next run."""
        self.runs += 1
        run = f"20260101-{self.runs:06}"
        job = self.root / f"{run}.json"
        job.write_text(json.dumps(document(run)))
        return [
            # As edge_job_image/Dockerfile has it.
            *("env", "MALLOC_MMAP_THRESHOLD_=262144", "MALLOC_ARENA_MAX=8"),
            *(sys.executable, "-m", "edge_etl_job", "run", "--job", str(job), "--node", "pi-1"),
            *("--attempt", "a", "--source", str(self.source), "--state", str(self.root / "state")),
            *("--work", str(self.root / "work"), "--results", str(self.root / "results")),
        ]

    @property
    def delivered(self) -> Path:
        """The folder of what the last run delivered."""
        run = f"20260101-{self.runs:06}"
        return self.root / "results" / "default" / "bench" / "runs" / run / "pi-1"
