"""The archive of classes that the image's build makes is one that the program can use."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from edge_etl_spark.java import java_home

from tests.support.node_results import Job, frame

SCRIPT = Path(__file__).parents[2] / "spark_app" / "class_archive.py"
RUN = "20260101-000000"


def test_spark_takes_its_classes_from_the_archive(tmp_path: Path) -> None:
    with java_home(None) as home:
        if not (home / "lib" / "server" / "classes.jsa").exists():
            pytest.skip("this Java has no archive of its own classes, which another builds on")
    loaded = tmp_path / "loaded"
    archive = Path(sys.prefix) / "classes.jsa"  # `make java` has made it
    if not archive.exists():
        archive = tmp_path / "classes.jsa"
        subprocess.run([sys.executable, SCRIPT, archive], check=True, capture_output=True)

    mapped = tmp_path / "mapped"
    use = f"-XX:SharedArchiveFile={archive} -Xlog:class+load:file={loaded} -Xlog:cds:file={mapped}"
    job = Job(tmp_path / "results", conf={"spark.driver.extraJavaOptions": use})
    job.deliver(RUN, "pi-1", frame([("2026-01-01T00:00:00Z", "a", 1.0)]))
    document = tmp_path / "aggregation.json"
    document.write_text(json.dumps(job.document(RUN, "pi-1")))
    program = [sys.executable, "-m", "edge_etl_spark", "run", "--document", str(document)]
    places = ["--results", str(job.root), "--summary", str(tmp_path / "summary")]
    subprocess.run([*program, *places], check=True, capture_output=True)
    lines = loaded.read_text().splitlines()
    # Java makes the classes of Scala's lambdas anew: they are serializable, and it archives none.
    spark = [line for line in lines if " org.apache.spark." in line and "$$Lambda" not in line]
    missed = [line for line in spark if "shared objects file" not in line]
    assert len(spark) > 1000
    assert len(missed) < len(spark) / 10, missed[:10]
    if archive.parent == Path(sys.prefix):
        assert "Mapped dynamic region" in mapped.read_text()
        assert "alternative address" not in mapped.read_text()
