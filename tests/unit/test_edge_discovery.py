"""Which files of a directory belong to a job."""

import os
from pathlib import Path

import pytest
from edge_etl_job.discovery import discover, matcher
from edge_etl_job.errors import EdgeError


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("*.csv", ["a.csv", "ä.csv"], ["a/b.csv", "a.CSV", "a.csv.gz", ".a.csv", "acsv"]),
        ("**/*.csv", ["a.csv", "a/b.csv", "a/b/c.csv"], [".a/b.csv", "a/.b.csv", "a/b.txt"]),
        ("**", ["a", "a/b"], [".a", "a/.b"]),
        ("a/**/b.csv", ["a/b.csv", "a/x/y/b.csv"], ["b.csv", "ab.csv"]),
        ("2019-??/[ab]*.csv", ["2019-01/a.csv", "2019-12/bc.csv"], ["2019-1/a.csv"]),
        ("[!ab].csv", ["c.csv"], ["a.csv", "/.csv"]),
        ("a+(b).csv", ["a+(b).csv"], ["aab.csv"]),
        (".hidden/*.csv", [".hidden/a.csv"], ["hidden/a.csv"]),
        ("[.csv", ["[.csv"], ["a.csv"]),
    ],
)
def test_patterns(pattern: str, yes: list[str], no: list[str]) -> None:
    matches = matcher([pattern]).fullmatch
    assert [name for name in yes + no if matches(name)] == yes


def test_one_of_several_patterns_is_enough() -> None:
    matches = matcher(["*.csv", "*.txt"]).fullmatch
    assert matches("a.csv")
    assert matches("a.txt")
    assert not matches("a.csv.txt.gz")


def test_only_regular_files_are_found_in_the_order_of_their_names(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "b").mkdir(parents=True)
    outside = tmp_path / "outside.csv"
    outside.touch()
    for name in ("c.csv", "b/x.csv", "b.csv", "a.txt"):
        (source / name).touch()
    (source / "link.csv").symlink_to(outside)
    (source / "b" / "loop").symlink_to(source)
    os.mkfifo(source / "pipe.csv")
    os.mknod(source / "socket.csv", 0o140644)
    (source / "folder.csv").mkdir()
    found = discover(source, ["**/*.csv"])
    assert [file.name for file in found.files] == ["b.csv", "b/x.csv", "c.csv"]
    assert found.unreadable == ()
    assert found.passed_over == ("link.csv", "pipe.csv", "socket.csv")


def test_a_name_that_is_not_utf_8_can_be_shown(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"k\xf6ln.csv")).touch()
    (file,) = discover(tmp_path, ["*.csv"]).files
    assert file.name == r"k\xf6ln.csv"
    assert file.path.exists()


def test_a_source_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EdgeError, match=r"SourceUnreadable: .*no does not exist on this node"):
        discover(tmp_path / "no", ["*"])
    (tmp_path / "file").touch()
    with pytest.raises(EdgeError, match=r"SourceUnreadable: .*file is not a directory"):
        discover(tmp_path / "file", ["*"])
