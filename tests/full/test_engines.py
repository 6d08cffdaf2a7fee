"""Both engines over the whole archive of readings: `make test-full DATA=…`."""

import os
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from tests.support.cluster.cache import REPOSITORY
from tests.support.edge import clean_ranges, whole

SAMPLE = REPOSITORY / "manifests" / "samples" / "air-quality.yaml"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
"""When no reading of the archive is in the future."""
BATCH = 250
"""Files that are cleaned at once: Python could not hold the rows of all."""


def test_both_engines_make_the_same_of_the_whole_archive() -> None:
    files = sorted(Path(os.environ["DATA"]).rglob("*_sensor_*.csv"))
    assert files, f"no file *_sensor_*.csv below {os.environ['DATA']}"
    spec = yaml.safe_load(SAMPLE.read_text())["spec"]
    rules = {name: spec[name] for name in ("schema", "key", "features")}
    rules["features"]["statistics"] += ["first", "last"]
    counts: Counter[str] = Counter()
    for start in range(0, len(files), BATCH):
        parts = [whole(path) for path in files[start : start + BATCH]]
        with TemporaryDirectory() as work:
            cleaned = clean_ranges(Path(work, "out"), parts, now=NOW, **rules)
        for result in cleaned.inputs:
            assert result.quarantined is None
            counts.update(read=result.rows_read, clean=result.rows_clean, files=1)
            counts.update(rejected=result.rows_rejected, duplicate=result.rows_duplicate)
        print(dict(counts), f"{len(cleaned.features)} features in the last batch", flush=True)
    assert counts["files"] == len(files)
    assert counts["clean"] > 0
