"""Publication is atomic: whatever dies and whenever, a reader finds one whole version."""

import errno
import multiprocessing
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from edge_etl_spark import publish, versions
from edge_etl_spark.errors import AggregationError

from tests.support.publish_and_die import KEPT_DAY, NEW_DAY, manifest, newest, publish_next


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Give a table with two versions."""
    table = tmp_path / "table"
    publish_next(table)
    publish_next(table)
    return table


def seen(directory: Path) -> int:
    """Return the number of a whole version; fail if it is not whole."""
    number = int((directory / NEW_DAY).read_text().removeprefix("new in "))
    assert (directory / KEPT_DAY).read_text() == "kept"
    assert f'"version": {number}' in (directory / "version.json").read_text()
    return number


def test_the_first_version_is_number_one(tmp_path: Path) -> None:
    table = tmp_path / "table"
    assert newest(table) is None
    publish_next(table)
    assert str((table / "current").readlink()) == "versions/v000001"
    assert seen(table / "current") == 1


def test_a_version_shares_unchanged_files_with_the_one_before(table: Path) -> None:
    one, two = (table / "versions" / name / KEPT_DAY for name in ("v000001", "v000002"))
    assert one.samefile(two)
    assert seen(table / "current") == 2


def test_a_volume_without_hard_links_gets_copies(
    table: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    publish_next(table)
    assert seen(table / "current") == 3
    assert not (table / "versions/v000002" / KEPT_DAY).samefile(table / "current" / KEPT_DAY)


def test_old_versions_go_but_a_reader_keeps_the_one_before(table: Path) -> None:
    publish_next(table)
    publish_next(table)
    assert versions.version_numbers(table) == [3, 4]
    assert {path.name for path in table.iterdir()} == {"current", "lock", "versions"}


def test_version_numbers_are_numbers(tmp_path: Path) -> None:
    for name in ("v000009", "v000010", "v1000000", "v1", "other"):
        (tmp_path / "versions" / name).mkdir(parents=True)
    assert versions.version_numbers(tmp_path) == [9, 10, 1000000]


@pytest.mark.parametrize("content", [None, b"", b'{"kind": "TableVersion"}'])
def test_a_version_without_its_manifest_is_said_to_be_broken(
    table: Path, content: bytes | None
) -> None:
    path = table / "versions/v000002/version.json"
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AggregationError, match="to go back to the version before") as caught:
        newest(table)
    assert caught.value.reason == "TableCorrupt"


def test_killed_at_any_line_the_table_is_whole_and_the_next_run_mends_the_rest(
    table: Path, tmp_path: Path
) -> None:
    deaths = tmp_path / "deaths"
    deaths.mkdir()
    subprocess.run(
        [sys.executable, "-m", "tests.support.publish_and_die", table, deaths], check=True
    )
    copies = sorted(deaths.iterdir(), key=lambda path: int(path.name))
    found = [seen(copy / "current") for copy in copies]
    assert found == sorted(found), "once the new version is seen it stays"
    assert set(found) == {2, 3}
    assert len(copies) > 50
    for copy in copies:
        for version in (copy / "versions").iterdir():
            assert seen(version) == int(version.name[1:])
        latest = versions.version_numbers(copy)[-1]
        assert publish_next(copy) == latest + 1
        assert seen(copy / "current") == latest + 1
        assert {path.name for path in copy.iterdir()} == {"current", "lock", "versions"}


def test_a_version_that_was_published_but_not_pointed_to_is_taken_up(table: Path) -> None:
    link = table / "current"
    link.unlink()
    link.symlink_to("versions/v000001")
    publish.recover(table)
    assert seen(link) == 2


def test_of_two_publishers_without_locks_only_one_makes_a_version(table: Path) -> None:
    stagings = [publish.new_staging(table, "20260101-000003") for _ in range(2)]
    for staging in stagings:
        shutil.copytree(table / "current", staging, dirs_exist_ok=True)
    publish.publish(table, stagings[0], manifest(3))
    with pytest.raises(AggregationError, match="first; run again") as caught:
        publish.publish(table, stagings[1], manifest(3))
    assert caught.value.reason == "TableBusy"
    assert stagings[1].is_dir(), "the loser's files are not mixed into the winner's version"


def _hold(table: Path, held: "multiprocessing.synchronize.Event") -> None:
    with publish.exclusive(table):
        held.set()
        multiprocessing.Event().wait()


def test_a_table_that_another_process_holds_is_busy_until_that_process_dies(table: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    holder = context.Process(target=_hold, args=(table, held))
    holder.start()
    try:
        assert held.wait(60)
        with (
            pytest.raises(AggregationError, match="another aggregation has held") as caught,
            publish.exclusive(table, wait_seconds=0),
        ):
            pass
        assert caught.value.reason == "TableBusy"
    finally:
        holder.kill()
        holder.join()
        holder.close()
    assert publish_next(table) == 3
