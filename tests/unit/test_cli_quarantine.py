"""What `edge-etl quarantine` says of what the nodes committed."""

import json
from pathlib import Path
from typing import Any

import pytest
from edge_etl_operator.cli import main

from tests.support.edge import Pi, csv, reading

WIDER: dict[str, Any] = {
    "fields": [
        {"name": "sensor_id", "type": "string"},
        {"name": "pm10", "from": ["P1"], "type": "double"},
    ]
}


@pytest.fixture
def pi(tmp_path: Path) -> Pi:
    pi = Pi.at(tmp_path)
    pi.write("a.csv", csv(reading(1), reading(2, value="1500"), "broken"))
    pi.write("b.csv", "when,what\n1,2\n")
    pi.deliver("20190305-000000")
    return pi


def asked(pi: Pi, capsys: pytest.CaptureFixture[str], command: str, *options: str) -> Any:
    arguments = ["quarantine", command, "air-quality", "--results", str(pi.results), "--json"]
    assert main([*arguments, *options]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["kind"] == {"list": "RefusedFileList", "show": "RejectedRowList"}[command]
    return document["items"]


def test_rejected_rows_are_listed_by_file_and_quarantined_files_with_their_reason(
    pi: Pi, capsys: pytest.CaptureFixture[str]
) -> None:
    rows, file = asked(pi, capsys, "list")
    assert (rows["node"], rows["path"]) == ("pi-1", "a.csv")
    assert rows["reasons"] == {"out_of_range": 1, "wrong_field_count": 1}
    assert file["path"] == "b.csv"
    assert file["quarantine"].startswith("missing_column: no column for timestamp")
    assert asked(pi, capsys, "list", "--node", "pi-2") == []


def test_rows_are_shown_with_their_place_and_what_was_wrong(
    pi: Pi, capsys: pytest.CaptureFixture[str]
) -> None:
    (row,) = asked(pi, capsys, "show", "--reason", "out_of_range")
    assert (row["file"], row["line"], row["raw"]) == ("a.csv", 3, reading(2, value="1500"))
    assert row["detail"] == "pm10: 1500.0 is above 999.8"
    assert len(asked(pi, capsys, "show", "--limit", "2")) == 2
    assert len(asked(pi, capsys, "show", "--limit", "1")) == 1


def test_after_a_replay_only_what_is_still_refused_is_listed(
    pi: Pi, capsys: pytest.CaptureFixture[str]
) -> None:
    pi.write("b.csv", csv(reading(9)))
    pi.deliver("20190305-000001", schema=WIDER, replay="now")
    (rows,) = asked(pi, capsys, "list")
    assert (rows["path"], rows["reasons"]) == ("a.csv", {"wrong_field_count": 1})
    (row,) = asked(pi, capsys, "show")
    assert (row["run"], row["raw"]) == ("20190305-000001", "broken")


def test_people_read_tables(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("list", "show"):
        assert main(["quarantine", command, "air-quality", "--results", str(pi.results)]) == 0
    said = capsys.readouterr().out
    assert "missing_column: no column for timestamp" in said
    assert "2019-03-04T00:00:02;a;1500" in said


def test_that_more_rows_are_there_is_said(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["quarantine", "show", "air-quality", "--results", str(pi.results), "--limit", "1"]
    assert main(words) == 0
    assert "there are more (--limit)" in capsys.readouterr().err


def test_results_that_are_not_there_are_named(pi: Pi, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["quarantine", "list", "water", "--results", str(pi.results)]) == 2
    assert "default/water/runs: there are no results of this job" in capsys.readouterr().err


def test_a_damaged_manifest_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    manifest = tmp_path / "default/air/runs/20260301-120000/pi-1/manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{")
    assert main(["quarantine", "list", "air", "--results", str(tmp_path)]) == 2
    assert f"{manifest}: no manifest of a node" in capsys.readouterr().err


def test_a_replay_without_a_cluster_is_explained(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    assert main(["quarantine", "replay", "air-quality"]) == 3
    assert "there is no kubeconfig" in capsys.readouterr().err
