"""What the edge program takes and gives is what docs/contracts says, by another validator."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from edge_etl_job.errors import EdgeError
from edge_etl_job.inspection import inspect
from edge_etl_job.job import load_job
from edge_etl_job.probe import encoded, probe
from edge_etl_operator.cli.doctor.seen import parsed
from edge_etl_spark.documents import NodeManifest as SparkNodeManifest
from msgspec import json as msgjson

from tests.support.cluster.cache import REPOSITORY
from tests.support.edge import Pi, csv, document, job, reading

CONTRACTS = REPOSITORY / "docs" / "contracts"


def validator(name: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((CONTRACTS / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.fixture(scope="module")
def pi(tmp_path_factory: pytest.TempPathFactory) -> Pi:
    """Make a node that has done a run in which all happened that a manifest can say."""
    pi = Pi.at(tmp_path_factory.mktemp("contract") / "pi")
    pi.write("a.csv", csv(reading(1), reading(1), "2018-12-31T00:00:00;b;2", "broken"))
    pi.write("b.csv", csv(reading(1), reading(1), "2018-12-31T00:00:00;b;2", "broken"))
    pi.write("photo.csv", b"\x89PNG\0")
    pi.run("20190401-000000")
    return pi


@pytest.mark.parametrize(
    "over",
    [
        {},
        {"results": {"ship": ["features"]}},
        {"source": {"csv": {"delimiter": ";", "decimal": ","}}},
        {"features": {"window": "7d", "groupBy": [], "statistics": ["count"]}},
    ],
)
def test_job_documents_that_the_program_takes_are_valid(over: dict[str, Any]) -> None:
    validator("job").validate(document(**over))


@pytest.mark.parametrize(
    "over",
    [
        {"surprise": 1},
        {"run": "today"},
        {"key": []},
        {"schema": {"fields": []}},
        {"schema": {"fields": [{"name": "P1", "type": "double"}]}},
        {"source": {"csv": {"delimiter": ":"}}},
        {"results": {"ship": []}},
    ],
)
def test_documents_that_the_schema_refuses_are_refused_by_the_program(
    over: dict[str, Any], pi: Pi
) -> None:
    with pytest.raises(jsonschema.ValidationError):
        validator("job").validate(document(**over))
    arguments = pi.arguments("20190401-000002", "a")
    path = Path(arguments[arguments.index("--job") + 1])
    path.write_text(json.dumps(document(**over)))

    with pytest.raises(EdgeError, match="JobInvalid"):
        load_job(path)


def test_manifests_are_as_the_contract_says(pi: Pi) -> None:
    path = pi.job_results / "runs" / "20190401-000000" / "pi-1" / "manifest.json"
    manifest = json.loads(path.read_text())
    validator("manifest").validate(manifest)
    assert [each["path"] for each in manifest["inputs"]] == ["a.csv", "b.csv", "photo.csv"]
    assert {file["kind"] for file in manifest["files"]} == {"rows", "features", "rejected"}
    assert manifest["rowsRead"] == 4
    read = msgjson.decode(path.read_bytes(), type=SparkNodeManifest)
    assert {file.day for file in read.files} == {"2018-12-31", "2019-03-04", None}


def test_the_summary_is_as_the_contract_says(pi: Pi) -> None:
    summary = json.loads((pi.root / "summary.json").read_text())
    validator("summary").validate(summary)
    assert summary["rejectedByReason"] == {"wrong_field_count": 1}


def test_a_failed_summary_is_as_the_contract_says(tmp_path: Path) -> None:
    pi = Pi.at(tmp_path / "pi")
    pi.run("20190401-000000", code=3, key=["nothing"])
    validator("summary").validate(json.loads((pi.root / "summary.json").read_text()))


def test_what_a_probe_tells_is_valid_and_what_doctor_reads(tmp_path: Path) -> None:
    pi = Pi.at(tmp_path)
    pi.write("a.csv", csv(reading(1), "broken", "2999-01-01T00:00:00;b;2"))
    pi.write("b.csv", "when;what\n1;2\n")
    (tmp_path / "work").mkdir(exist_ok=True)
    content = encoded(probe(job(), "pi-1", pi.source, tmp_path / "work"))
    validator("probe").validate(json.loads(content))
    seen = parsed(content.decode())
    assert seen is not None
    assert {each.file for each in seen.samples} == {"a.csv", "b.csv"}


def test_what_an_inspection_tells_is_valid(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(csv(reading(1), reading(2)))
    validator("inspection").validate(json.loads(msgjson.encode(inspect([file]))))
