"""`edge-etl table …` on published versions; nothing here needs Spark."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from edge_etl_spark import __main__ as program
from edge_etl_spark import publish, table, versions
from edge_etl_spark.documents import MergedManifest
from edge_etl_spark.errors import AggregationError
from edge_etl_spark.results import open_results

from tests.support import publish_many
from tests.support.publish_and_die import newest

Command = Callable[..., tuple[int, Any]]


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """Give a job's directory whose table has four versions."""
    directory = tmp_path / "garden" / "air-quality"
    for _ in range(4):
        publish_many.publish_next(directory / "table")
    return directory


@pytest.fixture
def command(job: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command as a person does, and return its exit code and its JSON."""

    def run(name: str, *options: str) -> tuple[int, Any]:
        code = program.main(["table", name, str(job), "--json", *options])
        return code, json.loads(capsys.readouterr().out)

    return run


def age(job: Path, seconds: float, *numbers: int) -> None:
    """Let versions have been published so long ago."""
    then = time.time() - seconds
    for number in numbers:
        os.utime(job / "table/versions" / versions.version_name(number), (then, then))


def test_versions_are_listed(command: Command) -> None:
    code, lines = command("versions")
    assert code == 0
    assert [line["version"] for line in lines] == [1, 2, 3, 4]
    assert [line["current"] for line in lines] == [False, False, False, True]


def test_a_list_for_people_has_columns(job: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["table", "versions", str(job)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split()[:3] == ["version", "current", "published"]
    assert [line.split()[1] for line in lines] == ["no", "no", "no", "yes"]


def test_an_untouched_table_is_good(command: Command) -> None:
    code, lines = command("verify")
    assert code == 0
    assert lines == [{"version": number, "good": True, "problems": []} for number in (1, 2, 3, 4)]


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: path.unlink(), "is not there"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes instead of"),
        (lambda path: path.write_bytes(path.read_bytes()[::-1]), "has another SHA-256"),
        (lambda path: path.with_name("more").write_text(""), "is not listed"),
    ],
)
def test_a_damaged_file_is_named(
    job: Path, command: Command, damage: Callable[[Path], None], problem: str
) -> None:
    (path,) = (job / "table/current/features").rglob("*.parquet")
    damage(path)
    code, (line,) = command("verify", "--version", "4")
    assert code == 1
    assert any(problem in text for text in line["problems"])


def test_a_rollback_publishes_the_old_content_and_keeps_later_runs_from_taking_it_back(
    job: Path, command: Command
) -> None:
    newer = MergedManifest(run="20260101-000009", node="pi-9", attempt="a1")
    _merge(job / "table", newer)
    code, (line,) = command("rollback", "--to", "2")
    assert (code, line["version"], line["setAside"]) == (0, 6, ["20260101-000009/pi-9"])
    back = newest(job / "table")
    old = versions.read_version(job / "table", 2)
    assert back is not None
    assert back.manifest.files == old.manifest.files
    assert (back.manifest.restored_from, back.manifest.set_aside) == (2, (newer,))
    assert (job / "table/current").resolve() == back.directory
    for file in back.manifest.files:
        assert (back.directory / file.path).samefile(old.directory / file.path)


def _merge(directory: Path, item: MergedManifest) -> None:
    """Publish a version that has merged one more delivery."""
    before = newest(directory)
    assert before is not None
    staging = publish.new_staging(directory, "merge")
    for file in before.manifest.files:
        publish.carry_over(before.directory, staging, file.path)
    made = msgspec.structs.replace(
        before.manifest, version=before.manifest.version + 1, merged=(item,)
    )
    publish.publish(directory, staging, made)


def test_a_rollback_to_what_is_not_there_says_what_is(
    job: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["table", "rollback", str(job), "--to", "9"]) == 1
    assert "there is no version 9; there are 1, 2, 3, 4" in capsys.readouterr().err


def test_a_broken_newest_version_can_be_rolled_back(job: Path, command: Command) -> None:
    (job / "table/versions/v000004/version.json").write_text("{")
    code, lines = command("verify")
    assert code == 1
    assert "cannot be used" in lines[3]["problems"][0]
    assert command("rollback", "--to", "3")[1][0]["version"] == 5


def test_pruning_spares_the_newest_and_what_was_replaced_lately(
    job: Path, command: Command
) -> None:
    """Version 1 was replaced when version 2 was published, 2 when 3 was."""
    age(job, 1000, 2)
    assert command("prune", "--keep", "1", "--grace-seconds", "600")[1] == [
        {"removed": [1], "left": [2, 3, 4]}
    ]
    age(job, 1000, 3, 4)
    assert command("prune", "--keep", "2", "--grace-seconds", "600")[1] == [
        {"removed": [2], "left": [3, 4]}
    ]
    assert command("prune", "--keep", "1", "--grace-seconds", "0")[1][0]["left"] == [4]


@pytest.mark.parametrize("arguments", [["versions"], ["rebuild"], ["verify"]])
def test_a_directory_that_is_no_job_is_named(
    tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["table", *arguments, str(tmp_path)]) == 1
    assert f"{tmp_path} holds no table" in capsys.readouterr().err


def test_a_table_without_versions_cannot_be_rolled_back(tmp_path: Path) -> None:
    (tmp_path / "garden/air-quality/table").mkdir(parents=True)
    with pytest.raises(AggregationError, match="has no version yet"):
        table.rollback(open_results(tmp_path, "garden", "air-quality"), 1)
