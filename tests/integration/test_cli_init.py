"""`edge-etl init` drafts a job from real files that is good enough to run as it is."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import independent

DATA = Path(__file__).parents[1] / "data"
SETS = [DATA / "air-quality" / "pi-1", *sorted((DATA / "uci-air-quality").glob("*.csv"))]


def edge_etl(*words: str | Path, code: int = 0) -> str:
    command = [sys.executable, "-m", "edge_etl_operator.cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module", params=SETS, ids=lambda path: path.stem)
def drafted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Draft a job for a real data set, validate it, and run it as it is."""
    files: Path = request.param
    folder = tmp_path_factory.mktemp("init")
    job, readings = folder / "job.yaml", folder / "readings"
    said = edge_etl("init", "--from", files, "--write", job)
    assert "fill in the units" in said
    assert "is valid" in edge_etl("validate", job)
    readings.mkdir()
    for file in sorted(files.glob("*.csv")) if files.is_dir() else [files]:
        (readings / file.name).write_bytes(file.read_bytes())
    node = ("--node", f"pi-1={readings}")
    told = edge_etl("local", "run", job, *node, "--results", folder / "results", "-o", "json")
    return files, yaml.safe_load(job.read_text()), json.loads(told)


def test_every_row_is_clean(drafted: Any) -> None:
    files, _, outcome = drafted
    (node,) = outcome["nodes"]
    raw = [
        row for file in (files.glob("*.csv") if files.is_dir() else [files]) for row in rows(file)
    ]
    assert node["rowsRead"] == len(raw)
    assert (node["rowsRejected"], node["filesQuarantined"]) == (0, 0)
    assert outcome["aggregation"]["rows"] == node["rowsClean"]


def rows(file: Path) -> list[str]:
    """Return the lines that are readings, found without the project's own code."""
    lines = [
        line for line in file.read_text(encoding="utf-8-sig").splitlines() if line.strip("; ,")
    ]
    return [line for line in lines[1:] if not line.startswith("0 ")]


def test_what_stands_for_no_value_is_null_and_the_rest_keeps_its_range(drafted: Any) -> None:
    files, job, outcome = drafted
    table = independent.published(Path(outcome["table"]).parents[1]).rows
    fields = {each["name"]: each for each in job["spec"]["schema"]["fields"]}
    if files.is_dir():
        assert job["spec"]["key"] == ["sensor_id", "timestamp"]
        assert fields["sensor_id"] == {"name": "sensor_id", "type": "string", "required": True}
        return
    co = next(name for name in ("co_gt",) if name in fields)
    assert table[co].isna().sum() == 5
    assert (table[co].min(), table[co].max()) == (0.6, 6.9)
    assert fields[co]["min"] == 0
    assert 6.9 < fields[co]["max"] < 30
    assert str(table["timestamp"].min()) == "2004-03-10 18:00:00+00:00"


def test_a_file_that_is_no_table_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "photo.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(500))
    (tmp_path / "words.csv").write_text("hello\nworld\n")
    (tmp_path / "timeless.csv").write_text("a;b\n1;2\n3;4\n")
    for name, said in (
        ("photo.csv", "photo.csv"),
        ("words.csv", "no separator gives its lines two fields or more"),
        ("timeless.csv", "no column holds times that say day and time; columns seen: a, b"),
        ("absent.csv", "there is no such file or directory"),
    ):
        assert said in edge_etl("init", "--from", tmp_path / name, code=2)


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    there = tmp_path / "job.yaml"
    there.write_text("mine")
    said = edge_etl("init", "--from", SETS[1], "--write", there, code=2)
    assert "is there already" in said
    assert there.read_text() == "mine"
