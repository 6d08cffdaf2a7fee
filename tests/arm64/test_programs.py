"""The programs for a Pi, run emulated: the same results, byte for byte where the format allows."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from tests.arm64.conftest import Root
from tests.support import image_root, sbom, spark_start
from tests.support.cluster import images
from tests.support.cluster.cache import REPOSITORY
from tests.support.edge import document

PIS = ("pi-1", "pi-2", "pi-3", "pi-4")
RUN = "20190401-000000"
AIR = {
    "fields": [
        {"name": "sensor_id", "type": "string", "required": True},
        {"name": "pm10", "from": ["P1"], "type": "double", "min": 0, "max": 999.8},
        {"name": "humidity", "type": "double", "min": 0, "max": 99.8},
    ]
}
# What tells when something ran.
OWN = ("createdAt",)


def delivered(root: Path) -> dict[str, Any]:
    """Clean the demo's readings in an image; return every file of the results by its name."""
    demo = root / "demo"
    shutil.copytree(REPOSITORY / "tests/data/air-quality", demo / "sources")
    for file in demo.rglob("*.csv"):
        os.utime(file, (1_600_000_000, 1_600_000_000))
    (demo / "job.json").write_text(json.dumps(document(run=RUN, schema=AIR)))
    for pi in PIS:
        for name in ("state", "work", "results"):
            (demo / name / (pi if name != "results" else "")).mkdir(parents=True, exist_ok=True)
        image_root.run(
            root,
            [
                *("python3", "-m", "edge_etl_job", "run", "--job", "/demo/job.json"),
                *("--node", pi, "--attempt", "a", "--source", f"/demo/sources/{pi}"),
                *("--state", f"/demo/state/{pi}", "--work", f"/demo/work/{pi}"),
                *("--results", "/demo/results"),
            ],
        )
    results = demo / "results"
    return {
        str(path.relative_to(results)): content(path)
        for path in sorted(results.rglob("*"))
        if path.is_file() and path.name != "dataset.json"
    }


def content(path: Path) -> Any:
    return (
        without(json.loads(path.read_bytes()), OWN) if path.suffix == ".json" else path.read_bytes()
    )


def without(value: Any, names: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        return {name: without(each, names) for name, each in value.items() if name not in names}
    return [without(each, names) for each in value] if isinstance(value, list) else value


def every_row(folder: Path) -> pd.DataFrame:
    """Return the rows of all files below a folder by time and sensor."""
    files = sorted(path for path in folder.rglob("*.parquet") if "features" not in path.name)
    rows = pd.concat(pd.read_parquet(file) for file in files)
    return rows.sort_values(["timestamp", "sensor_id"], ignore_index=True)


def test_a_pi_delivers_the_same_bytes_as_this_machine(root: Root) -> None:
    theirs, ours = (delivered(root("edge", name)) for name in ("arm64", "amd64"))
    assert sum(name.endswith(".parquet") for name in ours) > 20
    assert list(theirs) == list(ours)
    assert [name for name in ours if theirs[name] != ours[name]] == []


def test_the_transform_image_has_what_rules_are_written_in(root: Root) -> None:
    script = "import pandas as pd; print(pd.DataFrame({'a': [1.5, 2.5]}).a.convert_dtypes().mean())"
    done = image_root.run(root("edge-transform", "arm64"), ["python3", "-c", script])
    assert done.stdout == "2.0\n"


def test_the_operator_starts_and_reads_the_sample(root: Root) -> None:
    place = root("operator", "arm64")
    shutil.copy(REPOSITORY / "manifests/samples/air-quality.yaml", place / "tmp/job.yaml")
    program = ["python3", "-m", "edge_etl_operator.cli"]
    assert "air-quality" in image_root.run(place, [*program, "validate", "/tmp/job.yaml"]).stdout
    assert "kopf" in image_root.run(place, ["kopf", "--version"]).stdout


def test_spark_publishes_what_four_nodes_have_delivered(root: Root) -> None:
    place = root("spark", "arm64")
    job = spark_start.deliver(place / "results")
    spark_start.aggregate(place, job, {})
    delivered = every_row(job.directory / "runs")
    assert len(delivered) == 20_000
    published = every_row(job.table / "current" / "rows")[delivered.columns]
    pd.testing.assert_frame_equal(published, delivered)


def test_the_list_of_materials_names_each_jar(root: Root, tmp_path: Path) -> None:
    place = root("spark", "arm64")
    sbom.write(images.project("spark", "arm64"), tmp_path / "spark.cdx.json")
    listed = sbom.packages(tmp_path / "spark.cdx.json")
    jars = [jar.name for jar in place.glob("opt/edge-etl/lib/python3.11/site-packages/**/*.jar")]
    assert len(jars) > 50
    known = (*listed["maven"], *listed["generic"])
    assert [jar for jar in jars if not jar.startswith(known)] == []
    assert len(listed["generic"]) < len(jars) / 4
    assert {"openjdk-17-jre-headless", "libc6"} <= set(listed["deb"])
    assert {"pyspark", "py4j"} <= set(listed["pypi"])
