"""Which files of a directory belong to a job."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from edge_etl_job.discovery import Found, discover, listed, matcher
from edge_etl_job.errors import EdgeError
from hypothesis import given, settings
from hypothesis import strategies as st


def both(source: Path, include: list[str]) -> Found:
    """Return what both ways of looking find: they must agree."""
    found, plain = discover(source, include), listed(source, include)
    assert list(found.files()) == list(plain.files())
    assert (list(found.unreadable), len(found)) == (list(plain.unreadable), len(plain))
    assert list(found.passed_over) == list(plain.passed_over)
    return found


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
        ("[!]a]", ["b", "^"], ["]", "a"]),
        ("[]^a-c]", ["]", "^", "b"], ["-", "d"]),
        ("[]", ["[]"], ["a"]),
    ],
)
def test_patterns(pattern: str, yes: list[str], no: list[str], tmp_path: Path) -> None:
    matches = matcher([pattern]).fullmatch
    assert [name for name in yes + no if matches(name)] == yes
    for number, name in enumerate(yes + no):
        path = tmp_path / str(number) / name.lstrip("/")
        path.parent.mkdir(parents=True)
        path.touch()
        found = both(tmp_path / str(number), [pattern])
        assert len(found) == (name in yes), name


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text("ab.*?/[]!-^", min_size=1, max_size=7), min_size=1, max_size=2),
)
def test_any_pattern_is_read_in_the_same_way(
    tmp_path_factory: pytest.TempPathFactory, patterns: list[str]
) -> None:
    source = tmp_path_factory.getbasetemp() / "any-pattern"
    for name in ("a", "b.a", ".a", "ab", "a.b/a", "a.b/b/ab", ".b/a", "b/.b/a", "^", "b-", "]"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    both(source, patterns)


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
    found = both(source, ["**/*.csv"])
    assert [file.name for file in found.files()] == ["b.csv", "b/x.csv", "c.csv"]
    assert not found.unreadable
    assert list(found.passed_over) == ["link.csv", "pipe.csv", "socket.csv"]


def test_a_name_that_is_not_utf_8_can_be_shown(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"k\xf6ln.csv")).touch()
    (file,) = both(tmp_path, ["*.csv"]).files()
    assert file.name == r"k\xf6ln.csv"
    assert file.path.exists()


def test_a_source_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for look in (discover, listed):
        with pytest.raises(EdgeError, match=r"SourceUnreadable: .*no does not exist on this node"):
            look(tmp_path / "no", ["*"])
        with pytest.raises(EdgeError, match=r"SourceUnreadable: .*file is not a directory"):
            look(tmp_path / "file", ["*"])
        with pytest.raises(EdgeError, match=r"directory /srv/readings does not exist"):
            look(tmp_path / "no", ["*"], Path("/srv/readings"))


def test_the_digest_changes_with_whatever_is_known_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("one")
    digests = [discover(tmp_path, ["*"]).digest]
    assert discover(tmp_path, ["*"]).digest == digests[0]

    def after(change: Callable[[], object]) -> None:
        change()
        digests.append(discover(tmp_path, ["*"]).digest)

    after(lambda: path.write_text("two lines"))
    after(lambda: os.utime(path, (1, 1)))
    after(lambda: path.rename(tmp_path / "b.csv"))
    after((tmp_path / "c.csv").touch)
    assert len(set(digests)) == 5
