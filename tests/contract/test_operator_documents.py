"""What passes between the operator and the other programs, checked from both sides."""

import json
from pathlib import Path
from typing import Any

import edge_etl_job.documents as edge
import edge_etl_spark.documents as spark
import jsonschema
import msgspec
import pytest
import yaml
from edge_etl_operator import api, documents
from edge_etl_operator.builders import aggregate
from edge_etl_operator.builders import edge as edge_builder
from edge_etl_operator.documents import Delivery

from tests.support import operator_facts as facts
from tests.support.cluster import ApiServer

ROOT = Path(__file__).parents[2]
RUN = "20260301-120000"
SAMPLE = yaml.safe_load((ROOT / "manifests" / "samples" / "air-quality.yaml").read_text())

FULL: dict[str, Any] = {
    "source": {
        "name": "sensors",
        "include": ["a/*.csv"],
        "settleSeconds": 0,
        "csv": {"delimiter": ";", "decimal": ",", "thousands": ".", "columns": ["time", "n"]},
    },
    "schema": {
        "timestamp": {
            "from": ["time"],
            "join": ["Date", "Time"],
            "formats": ["ISO8601", "%d/%m/%Y %H.%M.%S"],
            "timeZone": "Europe/Rome",
            "notBefore": "2015-01-01T00:00:00Z",
            "maxFuture": "2h",
        },
        "fields": [
            {"name": "sensor_id", "type": "string", "required": True},
            {"name": "n", "type": "long", "min": 0, "max": 10},
        ],
        "nullValues": ["", "-200"],
        "onInvalidField": "SetNull",
    },
    "features": {"window": "15m", "groupBy": ["sensor_id"], "statistics": ["count", "mean"]},
    "results": {"volumeClaim": {"name": "nfs", "subPath": "air"}, "ship": ["features"]},
    "aggregate": {"mode": "Cluster"},
    "quality": {"maxRejectedRatio": "12.5%"},
}


def jobs() -> list[api.EdgeETLJob]:
    return [api.parse(SAMPLE), facts.job(), facts.job(**FULL)]


def schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((ROOT / "docs" / "contracts" / name).read_text())
    return loaded


@pytest.mark.parametrize("job", jobs())
def test_the_edge_program_reads_the_job_document(job: api.EdgeETLJob) -> None:
    document = documents.job_document(job, RUN, "")
    jsonschema.validate(document, schema("job.schema.json"))
    parsed = msgspec.json.decode(msgspec.json.encode(document), type=edge.JobDocument)
    for part in ("source", "schema", "features", "quality"):
        ours = api.as_document(getattr(job.spec, part))
        ours.pop("onDrift", None)  # a matter of the aggregation
        theirs = api.as_document(getattr(parsed, part))
        assert theirs == ours
    assert parsed.results.ship == job.spec.results.ship


@pytest.mark.parametrize("job", jobs())
def test_the_aggregation_reads_its_document(job: api.EdgeETLJob) -> None:
    config = aggregate.driver_config(
        job,
        facts.run(),
        facts.spark_plan(job),
        [Delivery("pi-1", "a-b")],
        facts.SETTINGS,
        missing={"pi-2": "NodeNotReady: gone"},
    )
    text = config["data"]["aggregation.json"]
    jsonschema.validate(json.loads(text), schema("aggregation.schema.json"))
    parsed = msgspec.json.decode(text, type=spark.AggregationDocument)
    assert parsed.nodes == (spark.NodeAttempt(node="pi-1", attempt="a-b"),)
    assert [field.name for field in parsed.fields] == [each.name for each in job.spec.schema.fields]


def test_the_operator_reads_the_summary_of_a_node() -> None:
    said = edge.NodeSummary(
        run=RUN,
        node="pi-1",
        attempt="a",
        succeeded=True,
        reason="Delivered",
        message="delivered",
        rows_read=5,
        rows_clean=3,
        rows_rejected=1,
        rows_duplicate=1,
        rejected_by_reason={"out_of_range": 1},
        watermark="2026-03-01T00:00:00Z",
        columns_missing=("pm10",),
        columns_seen=("P2",),
    )
    heard = documents.node_summary(msgspec.json.encode(said).decode())
    assert heard is not None
    same = {field: getattr(said, field) for field in heard.__struct_fields__}
    assert {field: getattr(heard, field) for field in heard.__struct_fields__} == same


def test_the_operator_reads_the_report_of_the_aggregation() -> None:
    said = spark.AggregationReport(
        run=RUN, succeeded=True, reason="Published", message="", version=2, rows=7
    )
    heard = documents.aggregation_report(msgspec.json.encode(said).decode())
    assert heard is not None
    assert (heard.version, heard.rows) == (2, 7)


@pytest.mark.parametrize("text", ["", "killed", "[]", "{}", '{"kind": "Other"}', '{"kind": 3}'])
def test_any_other_last_words_are_no_answer(text: str) -> None:
    assert documents.node_summary(text) is None
    assert documents.aggregation_report(text) is None


def test_our_defaults_are_those_of_the_crd(api_server: ApiServer, api_namespace: str) -> None:
    """`edge-etl local` reads YAML that no API server has filled with defaults."""
    api_server.install_crd(ROOT / "operator" / "edge_etl_operator" / "crd.yaml")
    resource = {
        "apiVersion": "pi-edge-spark.io/v1alpha1",
        "kind": "EdgeETLJob",
        "metadata": {"name": "air"},
        "spec": facts.spec(),
    }
    api_server.apply(resource, api_namespace)
    theirs = api.parse(api_server.get("eej", "air", "-n", api_namespace)).spec
    ours = api.parse(resource).spec
    assert api.as_document(theirs) == api.as_document(ours)
    assert (theirs.hash, theirs.settings_hash) == (ours.hash, ours.settings_hash)


@pytest.mark.parametrize("job", [facts.job(), facts.job(**FULL)])
def test_the_api_server_takes_what_we_build(
    api_server: ApiServer, api_namespace: str, job: api.EdgeETLJob
) -> None:
    """Strict field validation refuses an unknown field, and every pod is a valid one."""
    for account in ("edge", "spark"):
        api_server.kubectl("create", "serviceaccount", account, "-n", api_namespace)
    deliveries = [Delivery("pi-1", "a")]
    plan = facts.spark_plan(job)
    config = aggregate.driver_config(job, facts.run(), plan, deliveries, facts.SETTINGS)
    template = aggregate.executor_template(job, RUN, plan, facts.SETTINGS)
    template["metadata"]["name"] = "executor"
    template["spec"]["containers"][0]["image"] = "set-by-spark"
    for manifest in (
        edge_builder.edge_config(job, RUN),
        facts.node_job(job, RUN, facts.node("pi-1"), facts.SETTINGS),
        config,
        aggregate.driver_pod(
            job, facts.run(), plan, config["metadata"]["name"], 60, facts.SETTINGS
        ),
        template,
    ):
        manifest["metadata"]["namespace"] = api_namespace
        api_server.kubectl(
            *("create", "--dry-run=server", "--validate=strict", "-f", "-"),
            stdin=json.dumps(manifest),
        )
