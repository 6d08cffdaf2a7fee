"""What the landing service tells Prometheus; docs/operations.md says what each figure is for."""

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edge_etl_job.exposition import family


@dataclass
class Counters:
    """What is counted since the start."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By method and status."""
    received: int = 0
    """Bytes of files and manifests that arrived whole."""


def exposition(root: Path, counters: Counters) -> str:
    """Return all metrics as text; OSError when the volume cannot be looked at."""
    return "\n".join(_lines(root, counters)) + "\n"


def _lines(root: Path, counters: Counters) -> Iterator[str]:
    volume = shutil.disk_usage(root)
    yield from family(
        "edge_etl_landing_volume_bytes", "gauge", "Size of the volume.", {"": volume.total}
    )
    yield from family(
        "edge_etl_landing_volume_free_bytes", "gauge", "What of it is free.", {"": volume.free}
    )
    yield from family(
        "edge_etl_landing_received_bytes_total",
        "counter",
        "Bytes of files and manifests that arrived whole.",
        {"": counters.received},
    )
    yield from family(
        "edge_etl_landing_answers_total",
        "counter",
        "Answers to requests for results.",
        {
            f'method="{method}",status="{status}"': count
            for (method, status), count in sorted(counters.answers.items())
        },
    )
