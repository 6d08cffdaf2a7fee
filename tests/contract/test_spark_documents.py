"""What the aggregation reads and writes is what docs/contracts says."""

import json
import typing
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from edge_etl_job import documents as edge
from edge_etl_spark import report
from edge_etl_spark.documents import (
    AggregationDocument,
    AggregationReport,
    Field,
    NodeManifest,
)

from tests.support.node_results import Job, frame
from tests.support.publish_and_die import manifest

CONTRACTS = Path(__file__).parents[2] / "docs" / "contracts"


def check(document: Any, name: str) -> None:
    schema = json.loads((CONTRACTS / f"{name}.schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(document)


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_a_manifest_of_the_edge_program_is_understood() -> None:
    """Every field that the edge program's class has is filled; the aggregation reads its part."""
    file = edge.DeliveredFile(
        name="rows-2026-01-01.parquet", kind="rows", day="2026-01-01", rows=3, bytes=7,
        sha256="0" * 64,
    )  # fmt: skip
    rejected = edge.DeliveredFile(
        name="rejected.parquet", kind="rejected", day=None, rows=1, bytes=7, sha256="f" * 64
    )
    written = edge.NodeManifest(
        namespace="garden", job="air-quality", run="20260101-000000", node="pi-1.local",
        attempt="5f0c954e-9d4b-4c3e-a54b-3b0f5dd3f1d4", schema_version="0123456789ab",
        window="15m", group_by=("sensor_id",), created_at="2026-01-01T00:00:00Z",
        rows_read=4, rows_clean=3, rows_rejected=1,
        rows_duplicate=0, rejected_by_reason={"bad_number": 1}, bytes_read=99, bytes_written=14,
        watermark="2026-01-01T12:00:00Z", columns_missing=("pm25",), columns_seen=("pm10",),
        inputs=(
            edge.Input(path="a.csv", bytes_read=99, rows_read=4, rows_clean=3, rows_rejected=1,
                       rows_duplicate=0),
        ),
        files=(file, rejected),
    )  # fmt: skip
    content = msgspec.json.encode(written)
    check(json.loads(content), "manifest")
    read = msgspec.json.decode(content, type=NodeManifest)
    for name in NodeManifest.__struct_fields__:
        if name != "files":
            assert getattr(read, name) == getattr(written, name)
    assert [msgspec.structs.asdict(item) for item in read.files] == [
        msgspec.structs.asdict(item) for item in written.files
    ]


def test_manifests_that_the_tests_write_keep_to_the_contract(job: Job) -> None:
    path = job.deliver("20260101-000000", "pi-1", frame([("2026-01-01T00:00:00Z", "a", 1.0)]))
    check(json.loads(path.read_text()), "manifest")


def test_an_aggregation_that_the_contract_allows_is_understood(job: Job) -> None:
    document = job.document("20260101-000000", "pi-1", "pi-2")
    document["spark"]["conf"] = {"spark.driver.memory": "512m"}
    document["fields"][1] = {"name": "pm10", "type": "double", "unit": "µg/m³"}
    check(document, "aggregation")
    read = msgspec.json.decode(json.dumps(document), type=AggregationDocument)
    assert [item.node for item in read.nodes] == ["pi-1", "pi-2"]
    assert read.fields[1].unit == "µg/m³"


def test_what_the_aggregation_does_not_know_of_a_field_is_ignored(job: Job) -> None:
    document = job.document("20260101-000000", "pi-1")
    document["fields"][1] = {"name": "pm10", "type": "double", "min": 0, "max": 999.8}
    check(document, "aggregation")
    msgspec.json.decode(json.dumps(document), type=AggregationDocument)


@pytest.mark.parametrize(
    "change",
    [{"surprise": 1}, {"run": "today"}, {"key": []}, {"ship": ["all"]}, {"window": "1 hour"}],
)
def test_what_the_contract_forbids_is_refused(job: Job, change: dict[str, Any]) -> None:
    document = job.document("20260101-000000", "pi-1") | change
    with pytest.raises(jsonschema.ValidationError):
        check(document, "aggregation")
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps(document), type=AggregationDocument)


def test_versions_and_reports_keep_to_the_contract() -> None:
    check(json.loads(msgspec.json.encode(manifest(3))), "version")
    failed = AggregationReport(run="", succeeded=False, reason="Stopped", message="µ" * 9000)
    check(json.loads(report.encode(failed)), "report")


def test_both_programs_name_the_same_kinds_of_field() -> None:
    """A type that only one side knows would reach the other as an invalid document."""

    def kinds(field: type) -> set[str]:
        return set(typing.get_args(typing.get_type_hints(field)["type"]))

    assert kinds(edge.Field) == kinds(Field)
