"""Which folders of attempts are removed, and which are not."""

import json
import os
import time
from pathlib import Path

import pytest
from edge_etl_job.results.garbage import remove_dead_attempts

HOUR, DAY = 3600.0, 86400.0


@pytest.fixture
def node(tmp_path: Path) -> Path:
    folder = tmp_path / "garden/air/runs/20260101-000000/pi-1"
    folder.mkdir(parents=True)
    return folder


def attempt(node: Path, name: str, age: float) -> Path:
    folder = node / name
    folder.mkdir()
    (folder / "rows.parquet").write_bytes(b"rows")
    then = time.time() - age
    for path in (folder / "rows.parquet", folder):
        os.utime(path, (then, then))
    return folder


def sweep(node: Path) -> set[str]:
    """Remove what is dead, and return what is left of a node's folder."""
    remove_dead_attempts(node.parents[4], HOUR, DAY)
    return {path.name for path in node.iterdir()} if node.exists() else set()


def test_what_was_committed_stays_and_its_rivals_go(node: Path) -> None:
    for name in ("winner", "loser"):
        attempt(node, name, 2 * HOUR)
    attempt(node, "late", HOUR / 2)
    (node / "manifest.json").write_text(json.dumps({"attempt": "winner"}))
    assert sweep(node) == {"manifest.json", "winner", "late"}


def test_without_a_commit_only_what_nobody_touched_for_a_day_goes(node: Path) -> None:
    attempt(node, "young", 23 * HOUR)
    attempt(node, "old", 25 * HOUR)
    assert sweep(node) == {"young"}


def test_a_file_that_still_comes_in_keeps_its_attempt(node: Path) -> None:
    folder = attempt(node, "old", 30 * HOUR)
    os.utime(folder / "rows.parquet")
    assert sweep(node) == {"old"}


def test_a_run_without_anything_goes_with_its_last_attempt(node: Path) -> None:
    attempt(node, "old", 25 * HOUR)
    assert sweep(node) == set()
    assert not node.parent.exists()
    assert node.parents[1].exists()


def test_nothing_is_removed_where_a_manifest_cannot_be_read(node: Path) -> None:
    attempt(node, "old", 100 * DAY)
    (node / "manifest.json").write_text("{")
    assert sweep(node) == {"manifest.json", "old"}
