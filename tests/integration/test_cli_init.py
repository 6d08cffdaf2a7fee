"""`edge-etl init` drafts a job from real files that is good enough to run as it is."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from edge_etl_operator import api
from edge_etl_operator.documents import job_document
from edge_etl_operator.validation import load_job

DATA = Path(__file__).parents[1] / "data"
UCI = sorted((DATA / "uci-air-quality").glob("*.csv"))
AIR = DATA / "air-quality"


def program(*words: str | Path, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if code == 0 else done.stderr


def edge_etl(*words: str | Path, code: int = 0) -> str:
    return program("edge_etl_operator.cli", *words, code=code)


def drafted(files: Path, folder: Path) -> Path:
    """Draft a job from a data set, and validate it."""
    job = folder / "job.yaml"
    assert "fill in the units" in edge_etl("init", "--from", files, "--write", job)
    assert "is valid" in edge_etl("validate", job)
    return job


def cleaned(job: Path, source: Path, folder: Path) -> tuple[dict[str, Any], Any]:
    """Have the edge program clean a directory; return its summary and the clean rows."""
    document, folders = folder / "job.json", {}
    document.write_text(json.dumps(job_document(api.parse(load_job(job)), "20261122-000000", "")))
    for name in ("state", "work", "results"):
        folders[name] = folder / name
        folders[name].mkdir()
    paths = [word for name, path in folders.items() for word in (f"--{name}", path)]
    who = ("--node", "pi-1", "--attempt", "a1")
    told = program("edge_etl_job", "run", "--job", document, "--source", source, *who, *paths)
    summary: dict[str, Any] = json.loads(told)
    rows = pq.ParquetDataset(sorted(folders["results"].rglob("rows-*.parquet")))
    return summary, rows.read().to_pandas()


@pytest.mark.parametrize("file", UCI, ids=lambda path: path.stem)
def test_every_dialect_of_one_data_set_is_drafted_so_that_all_rows_are_clean(
    file: Path, tmp_path: Path
) -> None:
    job, source = drafted(file, tmp_path), tmp_path / "source"
    source.mkdir()
    (source / file.name).write_bytes(file.read_bytes())
    summary, rows = cleaned(job, source, tmp_path)
    assert (summary["rowsRead"], summary["rowsRejected"], summary["filesQuarantined"]) == (40, 0, 0)
    assert (rows["co_gt"].min(), rows["co_gt"].max()) == (0.6, 6.9)
    assert rows["co_gt"].isna().sum() == 3  # -200 in some of the files, NaN in others
    assert str(rows["timestamp"].min()) == "2004-03-10 18:00:00+00:00"
    (field,) = (f for f in fields(job) if f["name"] == "co_gt")
    assert field["min"] == 0
    assert 6.9 < field["max"] < 30


@pytest.mark.parametrize("pi", ["pi-2", "pi-3", "pi-4"])
def test_files_of_several_sensors_are_drafted_as_one_job(pi: str, tmp_path: Path) -> None:
    job = drafted(AIR / pi, tmp_path)
    summary, _ = cleaned(job, AIR / pi, tmp_path)
    assert (summary["rowsRejected"], summary["filesQuarantined"]) == (0, 0)
    assert summary["rowsRead"] == lines(AIR / pi)
    assert yaml.safe_load(job.read_text())["spec"]["key"] == ["sensor_id", "timestamp"]


def test_a_draft_runs_to_its_table(tmp_path: Path) -> None:
    job, source = drafted(AIR / "pi-1", tmp_path), AIR / "pi-1"
    assert {"name": "sensor_id", "type": "string", "required": True} in fields(job)
    node = ("--node", f"pi-1={source}")
    told = edge_etl("local", "run", job, *node, "--results", tmp_path / "results", "-o", "yaml")
    outcome = yaml.safe_load(told)
    assert outcome["nodes"][0]["rowsRead"] == lines(source)
    assert outcome["nodes"][0]["rowsRejected"] == 0
    assert outcome["aggregation"]["rows"] == outcome["nodes"][0]["rowsClean"]


def lines(folder: Path) -> int:
    """Return the readings of a directory, found without the project's own code."""
    return sum(len(file.read_text().splitlines()) - 1 for file in folder.glob("*.csv"))


def fields(job: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(job.read_text())["spec"]["schema"]["fields"]
    return found


def test_a_file_that_is_no_table_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "photo.csv").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(500))
    (tmp_path / "words.csv").write_text("hello\nworld\n")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "timeless.csv").write_text("a;b\n1;2\n3;4\n")
    for name, said in (
        ("photo.csv", "photo.csv"),
        ("words.csv", "no separator gives its lines two fields or more"),
        ("timeless.csv", "no column holds times that say day and time; columns seen: a, b"),
        ("empty.csv", "empty.csv: it is empty"),
        ("absent.csv", "there is no such file or directory"),
    ):
        assert said in edge_etl("init", "--from", tmp_path / name, code=2)


def test_empty_files_of_a_directory_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "new.csv").touch()
    said = edge_etl("init", "--from", tmp_path, code=2)
    assert "no file of this directory ends with .csv and holds something" in said
    (tmp_path / "air.csv").write_text("timestamp,t\n2026-03-01T12:00:00Z,1.5\n")
    assert "name: t" in edge_etl("init", "--from", tmp_path)


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    there = tmp_path / "job.yaml"
    there.write_text("mine")
    said = edge_etl("init", "--from", UCI[0], "--write", there, code=2)
    assert "is there already" in said
    assert there.read_text() == "mine"
