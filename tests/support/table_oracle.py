"""What a table must hold, computed with pandas alone, and what readers find in it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.support.node_results import Job, states


def expected_rows(job: Job, deliveries: Sequence[Any]) -> Any:
    """Return the rows of all deliveries, of those with the same key the first one."""
    rows = pd.concat(deliveries, ignore_index=True).drop_duplicates(list(job.key), keep="first")
    # Where no row has a value pandas knows of no number.
    rows = rows.astype(dict.fromkeys(job.numeric, float))
    return rows.sort_values(["timestamp", *job.key], ignore_index=True)


def expected_features(job: Job, rows: Any) -> Any:
    """Return the features of the table, computed from all its rows."""
    features = states(rows, job.window, job.group_by, job.numeric)
    variance = features["m2"] / (features["count"] - 1).where(features["count"] > 1)
    return features.assign(stddev=np.sqrt(variance))


def read_rows(job: Job) -> Any:
    """Read the rows as any user of pandas does."""
    rows = job.read("rows").drop(columns="day")
    return rows.sort_values(["timestamp", *job.key], ignore_index=True)


def read_features(job: Job) -> Any:
    """Read the features as any user of pandas does."""
    features = job.read("features").drop(columns="day")
    order = ["window_start", *job.group_by, "field"]
    return features.sort_values(order, ignore_index=True)


def assert_table(job: Job, deliveries: Sequence[Any]) -> None:
    """Compare rows exactly, and features to 1e-9, with what pandas makes of the deliveries."""
    rows = expected_rows(job, deliveries)
    pd.testing.assert_frame_equal(read_rows(job), rows, check_dtype=False)
    features = expected_features(job, rows)
    if features.empty:
        # Of no value there is no feature, and no day to read.
        assert job.read("features").empty
        return
    pd.testing.assert_frame_equal(
        read_features(job), features, check_dtype=False, rtol=1e-9, atol=1e-9
    )


def day_files(job: Job, kind: str, day: str) -> list[Path]:
    """Return the files of one day of the current version."""
    return sorted((job.table / "current" / kind / f"day={day}").iterdir())
