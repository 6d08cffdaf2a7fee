"""Whoever reads by the rule of docs/results.md sees one whole version, also while it changes."""

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pytest

from tests.support import publish_many

PUBLICATIONS = 100
Reading = tuple[list[int], list[int]]
"""The values of the rows and of the features."""


def with_duckdb(version: Path) -> Reading:
    def values(kind: str) -> list[int]:
        query = f"select version from read_parquet('{version}/{kind}/**/*.parquet')"  # noqa: S608
        return [row[0] for row in duckdb.execute(query).fetchall()]

    return values("rows"), values("features")


def with_pandas(version: Path) -> Reading:
    rows, features = (pd.read_parquet(version / kind)["version"] for kind in ("rows", "features"))
    return rows.tolist(), features.tolist()


def with_polars(version: Path) -> Reading:
    def values(kind: str) -> list[int]:
        found: list[int] = pl.read_parquet(version / kind / "**/*.parquet")["version"].to_list()
        return found

    return values("rows"), values("features")


READERS: tuple[Callable[[Path], Reading], ...] = (with_duckdb, with_pandas, with_polars)


def whole(version: Path, reading: Reading) -> int:
    """Return the number of the version that was read; fail if it is a mixture."""
    rows, features = reading
    (number,) = features
    assert json.loads((version / "version.json").read_text())["version"] == number
    assert sorted(rows) == sorted(publish_many.row_values(number))
    return number


def test_readers_never_fail_and_never_see_a_mixture(tmp_path: Path) -> None:
    table = tmp_path / "table"
    publish_many.publish_next(table)
    program = [sys.executable, "-m", "tests.support.publish_many", str(table)]
    seen: list[int] = []
    with subprocess.Popen([*program, str(PUBLICATIONS - 1)]) as publisher:
        while True:
            last = publisher.poll() is not None
            for reader in READERS:
                version = (table / "current").resolve()
                seen.append(whole(version, reader(version)))
            if last:
                break
    assert publisher.returncode == 0
    assert seen == sorted(seen)
    assert seen[-1] == PUBLICATIONS
    assert len(set(seen)) > 3, "the readers must have read while it was published"


def test_a_reader_that_follows_the_link_file_by_file_cannot_be_given_other_content(
    tmp_path: Path,
) -> None:
    """It may fail to open a file that was replaced; a name never gets another content."""
    table = tmp_path / "table"
    publish_many.publish_next(table)
    listed = list((table / "current").rglob("*.parquet"))
    before = {path: path.read_bytes() for path in listed}
    publish_many.publish_next(table)
    gone = 0
    for path in listed:
        try:
            assert path.read_bytes() == before[path]
        except FileNotFoundError:
            gone += 1
    assert gone == 2


@pytest.mark.parametrize("reader", READERS)
def test_a_version_that_was_opened_stays_readable_within_the_grace_period(
    reader: Callable[[Path], Reading], tmp_path: Path
) -> None:
    table = tmp_path / "table"
    publish_many.publish_next(table)
    opened = (table / "current").resolve()
    for _ in range(5):
        publish_many.publish_next(table)
    assert whole(opened, reader(opened)) == 1


def test_what_the_docs_tell_readers_to_write_reads_the_rows(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "results.md").read_text()
    # What it says of buckets is read where there is one.
    text = page.partition("S3FileSystem")[0]
    told = dict(re.findall(r"^\| (pandas|polars|DuckDB) \| `(.+)` \|$", text, re.MULTILINE))
    assert set(told) == {"pandas", "polars", "DuckDB"}
    table = tmp_path / "table"
    publish_many.publish_next(table)
    names = {"pd": pd, "pl": pl, "duckdb": duckdb, "version": (table / "current").resolve()}
    for reader, expression in told.items():
        rows = eval(expression, names)  # noqa: S307  # what the page says
        found = rows.fetchall() if reader == "DuckDB" else rows
        assert len(found) == len(publish_many.row_values(1))
