"""The configuration with which Spark starts."""

from pathlib import Path

import pytest
from edge_etl_spark import session
from edge_etl_spark.documents import Spark
from edge_etl_spark.java import class_path

OPTIONS = ("spark.driver.defaultJavaOptions", "spark.executor.defaultJavaOptions")


def test_the_archive_of_classes_is_used_by_driver_and_executors_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "classes.jsa"
    monkeypatch.setattr(session, "_CLASSES", archive)
    without = session.configuration(Spark(master="local"), 0, {})
    archive.touch()
    made = session.configuration(Spark(master="local"), 0, {})
    for name in OPTIONS:
        assert "SharedArchiveFile" not in without[name]
        assert f"-XX:ArchiveRelocationMode=0 -XX:SharedArchiveFile={archive} " in made[name]


def test_the_class_path_is_sorted_and_whole() -> None:
    jars = class_path().split(":")
    assert jars == sorted(jars)
    assert any("/spark-core_" in jar for jar in jars)
    conf = session.configuration(Spark(master="local"), 0, {})
    assert conf["spark.driver.extraClassPath"] == class_path()
