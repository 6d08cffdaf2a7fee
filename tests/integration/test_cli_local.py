"""`edge-etl local run` with the real programs on real readings."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support import independent

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "manifests/samples/air-quality.yaml"
READINGS = ROOT / "tests/data/air-quality"
NAMES = ("pi-1", "pi-2", "pi-3", "pi-4")
LATE = "pi-3/2019-03-07_sds011_sensor_7789.csv"
Pis = dict[str, Path]


def local_cli(*words: str) -> list[str]:
    return [sys.executable, "-m", "edge_etl_operator.cli", *words]


def command(pis: Pis, results: Path, *options: str, job: Path = SAMPLE) -> list[str]:
    nodes = [part for name, folder in pis.items() for part in ("--node", f"{name}={folder}")]
    local = local_cli("local", "run", str(job))
    return [*local, *nodes, "--results", str(results), *options]


def run(arguments: list[str]) -> subprocess.CompletedProcess[str]:
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=300, check=False)
    assert "Traceback" not in result.stderr
    return result


def copied(folder: Path) -> Pis:
    """Copy the readings, old enough to be no longer written."""
    shutil.copytree(READINGS, folder, dirs_exist_ok=True)
    for file in folder.rglob("*.csv"):
        os.utime(file, (1_600_000_000, 1_600_000_000))
    return {name: folder / name for name in NAMES}


def leftovers(folder: Path) -> list[str]:
    """Return the processes that have a folder in their command line or as working directory."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_text()
            where = str((process / "cwd").readlink())
        except OSError:
            continue
        if str(folder) in words or where.startswith(str(folder)):
            found.append(words.replace("\0", " "))
    return found


def uncommitted(results: Path) -> list[Path]:
    nodes = (results / "default/air-quality/runs").glob("*/*")
    return [node for node in nodes if not (node / "manifest.json").exists()]


# Two runs: the first lacks a file, which has arrived before the second.


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("local")


@pytest.fixture(scope="module")
def pis(folder: Path) -> Pis:
    pis = copied(folder / "pis")
    (folder / "pis" / LATE).rename(folder / "late")
    return pis


@pytest.fixture(scope="module")
def first(pis: Pis, folder: Path) -> tuple[dict[str, Any], independent.Table]:
    result = run(command(pis, folder / "results", "--json", "--show", "2"))
    assert result.returncode == 0, result.stderr
    # The second run writes its own.
    shutil.copytree(folder / "results/.state/default/air-quality/logs", folder / "logs")
    return json.loads(result.stdout), independent.expected(pis)


@pytest.fixture(scope="module")
def second(pis: Pis, folder: Path, first: object) -> str:
    (folder / "late").rename(folder / "pis" / LATE)
    result = run(command(pis, folder / "results", "--show", "2"))
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_table_is_what_pandas_computes_from_the_raw_files(
    first: tuple[dict[str, Any], independent.Table], folder: Path
) -> None:
    outcome, right = first
    assert outcome["aggregation"]["rows"] == len(right.rows)
    assert outcome["aggregation"]["version"] == 1
    # A reader who opened the first version still sees it after the second run.
    table = independent.published_version(Path(outcome["table"]).parent / "versions/v000001")
    independent.assert_equal(table, right)


def test_each_node_is_accounted_for(
    first: tuple[dict[str, Any], independent.Table], pis: Pis
) -> None:
    outcome, _ = first
    assert outcome["succeeded"]
    assert outcome["failures"] == []
    late = {name: folder for name, folder in pis.items() if name != "pi-3"}
    for name, right in independent.counts(late).items():
        node = next(each for each in outcome["nodes"] if each["node"] == name)
        rows = [node[f"rows{what}"] for what in ("Read", "Clean", "Rejected", "Duplicate")]
        assert rows == [right.read, right.clean, right.rejected, right.duplicate]
        assert sum(node["rejectedByReason"].values()) == right.rejected
        assert node["bytesRead"] == sum(file.stat().st_size for file in pis[name].iterdir())
        assert 0 < node["bytesWritten"] < node["bytesRead"]


def test_progress_is_logged_for_whoever_shows_it(
    first: tuple[dict[str, Any], independent.Table], folder: Path
) -> None:
    outcome, _ = first
    for node in outcome["nodes"]:
        last = progress(folder / f"logs/{node['node']}.log")[-1]
        assert last["bytesDone"] == last["bytesTotal"] == node["bytesRead"]
    assert all(each["step"] for each in progress(folder / "logs/aggregation.log"))


def progress(log: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line.get("event") == "progress"]


def test_the_first_rows_are_shown(first: tuple[dict[str, Any], independent.Table]) -> None:
    outcome, _ = first
    assert len(outcome["rows"]) == 2
    assert set(outcome["rows"][0]) == set(independent.COLUMNS)


def test_the_second_run_adds_only_the_new_file(second: str, pis: Pis, folder: Path) -> None:
    right = independent.expected(pis)
    independent.assert_equal(independent.published(folder / "results/default/air-quality"), right)
    lines = [" ".join(line.split()) for line in second.splitlines()]
    assert any(line.startswith("pi-1 0 0 0 0 0 0 B") for line in lines)
    assert any(line.startswith("pi-3 1 ") for line in lines)
    assert any(f"{len(right.rows):,} rows in the table (version 2)" in line for line in lines)
    assert any(line.startswith("timestamp sensor_id sensor_type pm10") for line in lines)


def test_each_run_has_a_report_which_is_named_last(
    first: tuple[dict[str, Any], independent.Table], second: str, pis: Pis
) -> None:
    outcome, _ = first
    html = Path(outcome["report"]).read_text()
    late = {name: folder for name, folder in pis.items() if name != "pi-3"}
    for node in independent.counts(late).values():
        assert f">{node.read:,}<" in html
    rejected = sum(node["rowsRejected"] for node in outcome["nodes"])
    assert f"out_of_range: {rejected:,} rows" in html
    assert html.count("humidity: 99.9 is above 99.8") == 3
    assert html.count('<svg class="chart"') == 21  # of five pairs of sensors, one measures pressure
    assert "sensor_id 5331: mean " in html
    named = Path(second.splitlines()[-1].removeprefix("report: "))
    assert "NothingNew" not in named.read_text()
    assert "nothing new" in named.read_text()  # from three of the Pis


def test_nothing_but_results_and_ledgers_is_left(second: str, folder: Path) -> None:
    assert leftovers(folder) == []
    state = folder / "results/.state/default/air-quality"
    assert {path.name for path in state.iterdir()} == {"lock", "logs", "nodes"}


def test_what_a_job_asks_for_wrongly_is_said_with_its_field(tmp_path: Path) -> None:
    job = tmp_path / "job.yaml"
    job.write_text(SAMPLE.read_text().replace("timeZone: UTC", "timeZone: Mars/Olympus"))
    result = run(command({"pi-1": READINGS / "pi-1"}, tmp_path / "results", job=job))
    assert result.returncode == 1
    assert "failed: pi-1: JobInvalid: " in result.stdout
    assert "timeZone: there is no time zone 'Mars/Olympus'" in result.stdout
    assert uncommitted(tmp_path / "results") == []


def test_a_node_that_fails_is_said_and_nothing_is_published(tmp_path: Path) -> None:
    (tmp_path / "results/.state/default/air-quality/nodes/pi-1/ledger.db").mkdir(parents=True)
    pis = {name: READINGS / name for name in ("pi-1", "pi-2")}
    result = run(command(pis, tmp_path / "results", "--json"))
    assert result.returncode == 1
    outcome = json.loads(result.stdout)
    assert not outcome["succeeded"]
    (failure,) = outcome["failures"]
    assert failure.startswith("pi-1: StateUnwritable: ")
    assert outcome["table"] is outcome["aggregation"] is None
    assert [node["succeeded"] for node in outcome["nodes"]] == [False, True]
    html = Path(outcome["report"]).read_text()
    assert "<strong>NodesFailed</strong>: nothing was merged: pi-1 failed" in html
    assert "StateUnwritable: " in html
    assert uncommitted(tmp_path / "results") == []


@pytest.mark.parametrize("moment", ["pi-1: ", "aggregation: starting Spark"])
def test_ctrl_c_ends_everything_and_leaves_nothing_half(moment: str, tmp_path: Path) -> None:
    pis = {name: READINGS / name for name in NAMES}
    arguments = command(pis, tmp_path / "results", "--json")
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if line.startswith(moment):
                break
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130
    assert "interrupted; nothing half is left behind" in rest
    assert "Traceback" not in rest
    assert leftovers(tmp_path) == []
    assert uncommitted(tmp_path / "results") == []
    result = run(arguments)
    assert result.returncode == 0, result.stderr
    table = independent.published(tmp_path / "results/default/air-quality")
    independent.assert_equal(table, independent.expected(pis))


def test_own_rules_hold_and_what_they_dropped_is_read_again_by_others(tmp_path: Path) -> None:
    job, rules, source = tmp_path / "job.yaml", tmp_path / "clean.py", tmp_path / "pi-1"
    own = "  edge: {transform: {configMap: {name: my-rules, key: clean.py}}}\n"
    job.write_text(SAMPLE.read_text().rstrip() + "\n" + own)
    source.mkdir()
    shutil.copyfile(READINGS / LATE, source / "a.csv")
    os.utime(source / "a.csv", (1_600_000_000, 1_600_000_000))
    results = tmp_path / "results"
    arguments = command({"pi-1": source}, results, "--json", job=job)
    refused = run(arguments)
    assert refused.returncode == 2
    assert "--transform FILE is needed: it stands for the ConfigMap my-rules" in refused.stderr
    arguments += ["--transform", str(rules)]
    rules.write_text("def clean(frame):\n    return frame[frame.index % 4 != 0]\n")
    first = json.loads(run(arguments).stdout)["nodes"][0]
    dropped = first["rejectedByReason"]["rejected_by_transform"]
    assert first["rowsClean"] > 10 < dropped
    rules.write_text("def clean(frame):\n    return frame\n")
    again = json.loads(run([*arguments, "--replay"]).stdout)["nodes"][0]
    assert again["rowsClean"] == dropped
    listing = [*local_cli("quarantine"), "list", "air-quality", "--results", str(results)]
    assert "rejected_by_transform" not in run(listing).stdout
