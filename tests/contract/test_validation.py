"""The local validator and a real API server give the same verdicts in the same words."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from edge_etl_operator import structural, validation, yaml_reader

from tests.support.cluster import ApiServer
from tests.support.cluster.kube import CommandError

ROOT = Path(__file__).parents[2]
COLUMNS = ["NAME", "PHASE", "NODES", "ROWS", "REJECTED", "LAST-RUN", "NEXT-RUN", "AGE"]
CRD = ROOT / "operator/edge_etl_operator/crd.yaml"
SAMPLE = ROOT / "manifests/samples/air-quality.yaml"

MINIMAL = """
apiVersion: pi-edge-spark.io/v1alpha1
kind: EdgeETLJob
metadata: {name: job}
spec:
  nodes: {selector: {}}
  source: {name: sensors}
  schema: {fields: [{name: a, type: double}, {name: b, type: string}]}
  key: [b, timestamp]
"""

# Changes of MINIMAL: the path of a value and what is put there; None takes it away.
Change = dict[str, Any]
ABSENT = object()

GOOD: dict[str, Change] = {
    "minimal": {},
    "all node selectors": {
        "spec.nodes.selector": {
            "matchLabels": {"role": "edge"},
            "matchExpressions": [
                {"key": "a", "operator": "In", "values": ["x"]},
                {"key": "b", "operator": "Exists"},
            ],
        },
        "spec.nodes.tolerations": [{"key": "a", "operator": "Exists", "effect": "NoSchedule"}],
    },
    "a bucket": {
        "spec.results": {
            "s3": {
                "endpoint": "http://nas.home:9000",
                "bucket": "readings",
                "prefix": "garden/2026",
                "region": "garden",
                "secretRef": {"name": "bucket-key"},
            }
        }
    },
    "a volume claim": {"spec.results": {"volumeClaim": {"name": "results", "subPath": "a/b"}}},
    "a null where a default is": {"spec.features": None, "spec.source.settleSeconds": None},
    "a null where nothing is": {"spec.schema.fields.0.unit": None},
    "integers as whole numbers": {"spec.activeDeadlineSeconds": 60.0},
    "a range": {"spec.schema.fields.0.min": -1, "spec.schema.fields.0.max": 1.5},
    "an equal range": {"spec.schema.fields.0.min": 1, "spec.schema.fields.0.max": 1.0},
    "a tab": {"spec.source.csv": {"delimiter": "\t", "decimal": ","}},
    "files without a header": {"spec.source.csv": {"header": "absent", "columns": ["t", "b"]}},
    "thousands": {"spec.source.csv": {"thousands": ",", "decimal": "."}},
    "a time in two columns": {"spec.schema.timestamp": {"join": ["Date", "Time"]}},
    "quantities": {
        "spec.edge.resources": {"requests": {"cpu": 1, "memory": "1.5Gi"}, "limits": {}}
    },
    "a status": {"status": {"phase": "Succeeded", "rows": 5}},
    "labels": {"metadata.labels": {"a": "b"}, "metadata.annotations": {"a": "b c"}},
    "features by group": {"spec.features": {"groupBy": ["b"], "statistics": ["mean"]}},
    "a schedule": {
        "spec.schedule": "*/15 8-17 1,15 * MON-FRI",
        "spec.timeZone": "Europe/London",
        "spec.startingDeadlineSeconds": 600,
        "spec.concurrencyPolicy": "Replace",
        "spec.suspend": True,
    },
    "rules of one's own": {
        "spec.edge": {"transform": {"configMap": {"name": "my-rules", "key": "clean.py"}}},
        "spec.reprocess": "Changed",
    },
    "a share of the rows": {"spec.quality": {"maxRejectedRatio": "0.5%"}},
    "a number of nodes": {"spec.nodes.minSuccess": 2, "spec.nodes.offlinePolicy": "Wait"},
    "a share of the nodes": {
        "spec.nodes.minSuccess": "100%",
        "spec.nodes.lateDataPolicy": "Reaggregate",
    },
    "a schedule by name": {"spec.schedule": "@hourly"},
    "the longest name": {"metadata.name": "a" * 52},
    "seconds in parts": {"spec.schema.timestamp": {"notBefore": "2015-01-01T00:00:00.5+01:00"}},
    "rules that look back": {
        "spec.schema.fields.0.stuckAfter": "6h",
        "spec.schema.fields.0.maxRatePerMinute": 0.5,
    },
    "a number of readings": {"spec.schema.fields.0.stuckAfter": 20},
    "all statistics": {
        "spec.schema.fields.0.circular": 360,
        "spec.features": {"statistics": ["p1", "p50", "p99", "first", "last", "circular_mean"]},
    },
    "null values of a field": {
        "spec.schema.fields.0.nullValues": ["-200", "65535"],
        "spec.schema.fields.0.nullRanges": [{"min": 999.9}, {"max": -5}, {"min": 1, "max": 1}],
    },
    "times of many kinds": {
        "spec.schema.timestamp": {
            "formats": ["ISO8601", "EpochMillis", "%d %b %Y %I:%M %p", "%y/%m/%d %H.%M.%S.%f%z"]
        }
    },
    "all of the aggregation": {
        "spec.features": {"groupBy": ["b"]},
        "spec.results": {"landing": {}, "keepVersions": 1, "gracePeriodSeconds": 0},
        "spec.aggregate": {
            "mode": "Auto",
            "window": "1d",
            "groupBy": ["site", "b"],
            "nodeLabels": {"site": "topology.kubernetes.io/zone"},
            "sparkConf": {
                "spark.sql.shuffle.partitions": "8",
                "spark.sql.autoBroadcastJoinThreshold": "-1",
                "spark.network.timeout": "300s",
                "spark.executor.maxNumFailures": "5",
            },
            "eventLog": True,
            "application": {"configMap": {"name": "my-report", "key": "aggregate.py"}},
        },
    },
    "the whole fleet": {"spec.aggregate": {"groupBy": []}},
    "local with least memory": {"spec.aggregate": {"mode": "Local", "driver": {"memory": "512m"}}},
}

BAD: dict[str, Change] = {
    "no spec": {"spec": ABSENT},
    "a spec that is a number": {"spec": 5},
    "an empty spec": {"spec": {}},
    "an unknown field": {"spec.nodez": 1},
    "unknown fields everywhere": {
        "foo": 1,
        "metadata.foo": 1,
        "spec.foo": 1,
        "spec.schema.fields.0.nope": 1,
        "spec.results": {"landing": {"x": 1}},
        "status": {"nope": 1},
    },
    "an unknown field beside other mistakes": {"spec.foo": 1, "spec.key": 5},
    "a field of a later version": {"spec.minSuccess": "75%"},
    "a schedule of six fields": {"spec.schedule": "0 5 * * * *"},
    "a schedule with a time zone": {"spec.schedule": "TZ=UTC 5 * * * *"},
    "a schedule of an unknown name": {"spec.schedule": "@reboot"},
    "an empty schedule": {"spec.schedule": ""},
    "an empty time zone": {"spec.timeZone": ""},
    "no time to start": {"spec.startingDeadlineSeconds": 0},
    "an unknown concurrency": {"spec.concurrencyPolicy": "Allow"},
    "a suspension in words": {"spec.suspend": "yes"},
    "no selector": {"spec.nodes": {}},
    "no node": {"spec.nodes.minSuccess": 0},
    "what only rows can tell": {
        "spec.reprocess": "Changed",
        "spec.results": {"landing": {}, "ship": ["features"]},
    },
    "an unknown way to reprocess": {"spec.reprocess": "Always"},
    "rules in a file of a path": {
        "spec.edge": {"transform": {"configMap": {"name": "my-rules", "key": "../clean.py"}}}
    },
    "more than all rows": {"spec.quality": {"maxRejectedRatio": "101%"}},
    "a share of rows as a number": {"spec.quality": {"maxRejectedRatio": 25}},
    "no share of the nodes": {"spec.nodes.minSuccess": "0%"},
    "more than all nodes": {"spec.nodes.minSuccess": "101%"},
    "half a node": {"spec.nodes.minSuccess": 0.5},
    "a share without its sign": {"spec.nodes.minSuccess": "75"},
    "an unknown policy for absent nodes": {"spec.nodes.offlinePolicy": "Ignore"},
    "an unknown policy for drift": {"spec.schema.onDrift": "Ignore"},
    "an unknown policy for late data": {"spec.nodes.lateDataPolicy": "Never"},
    "an expression without values": {
        "spec.nodes.selector": {"matchExpressions": [{"key": "a", "operator": "In"}]}
    },
    "an expression with values too many": {
        "spec.nodes.selector": {
            "matchExpressions": [{"key": "a", "operator": "Exists", "values": ["x"]}]
        }
    },
    "an unknown operator": {
        "spec.nodes.selector": {"matchExpressions": [{"key": "a", "operator": "Gt"}]}
    },
    "a label that is a number": {"spec.nodes.selector": {"matchLabels": {"a": 5}}},
    "a long label": {"spec.nodes.selector": {"matchLabels": {"a": "ä" * 64}}},
    "too many tries": {"spec.nodes.backoffLimit": 21},
    "a negative deadline": {"spec.activeDeadlineSeconds": -1},
    "half a second": {"spec.source.settleSeconds": 1.5},
    "a number beyond integers": {"spec.activeDeadlineSeconds": 10**20},
    "a number as source": {"spec.source.name": 5},
    "a path as source": {"spec.source.name": "/srv/data"},
    "no source name": {"spec.source.name": None},
    "an empty include": {"spec.source.include": []},
    "an absolute include": {"spec.source.include": ["/etc/*", "a/../b", ""]},
    "a decimal of the wrong type": {"spec.source.csv": {"decimal": 5}},
    "a comma twice": {"spec.source.csv": {"decimal": ",", "delimiter": ","}},
    "a comma for thousands and decimals": {"spec.source.csv": {"decimal": ",", "thousands": ","}},
    "a comma for thousands and columns": {"spec.source.csv": {"delimiter": ",", "thousands": ","}},
    "no header and no columns": {"spec.source.csv": {"header": "absent"}},
    "an unknown encoding": {"spec.source.csv": {"encoding": "latin1"}},
    "a time in one of two columns": {"spec.schema.timestamp": {"join": ["Date"]}},
    "a list that is text": {"spec.schema.nullValues": "NA"},
    "a field without type": {"spec.schema.fields.0.type": ABSENT},
    "a field with an unknown type": {"spec.schema.fields.0.type": "float"},
    "a field that is a number": {"spec.schema.fields": [{"name": "a", "type": "long"}, 5, None]},
    "no fields": {"spec.schema.fields": []},
    "two fields of one name": {
        "spec.schema.fields": [{"name": "b", "type": "long"}, {"name": "b", "type": "string"}]
    },
    "a field called timestamp": {"spec.schema.fields.0.name": "timestamp"},
    "a field's name in capitals": {"spec.schema.fields.0.name": "P1"},
    "min above max": {"spec.schema.fields.0.min": 5, "spec.schema.fields.0.max": 3},
    "a range for text": {"spec.schema.fields.1.min": 5},
    "rules that look back, of text": {"spec.schema.fields.1.stuckAfter": 5},
    "rules that look back, out of range": {
        "spec.schema.fields.0.stuckAfter": 0,
        "spec.schema.fields.0.maxRatePerMinute": -1,
    },
    "a time to be stuck that is none": {"spec.schema.fields.0.stuckAfter": "6 hours"},
    "null ranges for text": {"spec.schema.fields.1.nullRanges": [{"min": 5}]},
    "null ranges without and beyond limits": {
        "spec.schema.fields.0.nullRanges": [{}, {"min": 5, "max": 3}]
    },
    "a range of text": {"spec.schema.fields.0.min": "low", "spec.schema.fields.0.max": True},
    "a date that is none": {"spec.schema.timestamp": {"notBefore": "2015-13-01T00:00:00Z"}},
    "a date without time": {"spec.schema.timestamp": {"notBefore": "2015-01-01"}},
    "a time format without its year": {"spec.schema.timestamp": {"formats": ["%d.%m. %H:%M"]}},
    "a time format of an unknown directive": {
        "spec.schema.timestamp": {"formats": ["%Y-%m-%d %Q"]}
    },
    "a time of morning or evening": {"spec.schema.timestamp": {"formats": ["%Y-%m-%d %I:%M"]}},
    "a count of unknown units": {"spec.schema.timestamp": {"formats": ["EpochDays"]}},
    "a time format without pattern": {"spec.schema.timestamp": {"formats": ["YYYY-MM-DD"]}},
    "a duration without unit": {"spec.schema.timestamp": {"maxFuture": "60"}},
    "an unknown policy": {"spec.schema.onInvalidField": "Ignore"},
    "an empty key": {"spec.key": []},
    "a key of unknown fields": {"spec.key": ["x", "timestamp"]},
    "a key twice": {"spec.key": ["b", "b"]},
    "a key with a null": {"spec.key": [None, "b"]},
    "a key too long": {"spec.key": [f"f{n}" for n in range(17)]},
    "groups of unknown fields": {"spec.features": {"groupBy": ["x"]}},
    "groups of a field of type double": {"spec.features": {"groupBy": ["a"]}},
    "a group that is a column of features": {
        "spec.schema.fields.1.name": "count",
        "spec.key": ["timestamp"],
        "spec.features": {"groupBy": ["count"]},
    },
    "an unknown statistic": {"spec.features": {"statistics": ["p100"]}},
    "no field that goes round": {"spec.features": {"statistics": ["circular_mean"]}},
    "a text that goes round": {"spec.schema.fields.1.circular": 360},
    "a round of nothing": {"spec.schema.fields.0.circular": 0},
    "a window of nothing": {"spec.features": {"window": "0h"}},
    "no place for results": {"spec.results": {}},
    "two places for results": {"spec.results": {"landing": {}, "volumeClaim": {"name": "a"}}},
    "a claim and a bucket": {
        "spec.results": {
            "volumeClaim": {"name": "a"},
            "s3": {"bucket": "readings", "secretRef": {"name": "key"}},
        }
    },
    "a bucket without a key": {"spec.results": {"s3": {"bucket": "readings"}}},
    "a bucket's name that is none": {
        "spec.results": {"s3": {"bucket": "a/b", "secretRef": {"name": "key"}}}
    },
    "a bucket's prefix upwards": {
        "spec.results": {
            "s3": {"bucket": "readings", "prefix": "a/../b", "secretRef": {"name": "key"}}
        }
    },
    "an endpoint with a path": {
        "spec.results": {
            "s3": {
                "bucket": "readings",
                "endpoint": "http://nas/$(POD_UID)",
                "secretRef": {"name": "key"},
            }
        }
    },
    "a claim without name": {"spec.results": {"volumeClaim": {}}},
    "a claim's path upwards": {"spec.results": {"volumeClaim": {"name": "a", "subPath": "../b"}}},
    "shipping something else": {"spec.results": {"landing": {}, "ship": ["raw"]}},
    "a quantity that is none": {
        "spec.edge.resources": {"requests": {"cpu": True, "memory": "1GB"}}
    },
    "quantities that are a list": {"spec.edge.resources": {"limits": []}},
    "too many quantities": {"spec.edge.resources": {"limits": dict.fromkeys("abcdefghi", 1)}},
    "too little memory for Spark": {"spec.aggregate": {"driver": {"memory": "100m"}}},
    "memory without unit": {"spec.aggregate": {"executor": {"memory": "1024"}}},
    "no executors": {"spec.aggregate": {"executor": {"instances": 0, "cores": 65}}},
    "groups that the nodes do not make": {"spec.aggregate": {"groupBy": ["elsewhere"]}},
    "a label's column with the name of a field": {"spec.aggregate": {"nodeLabels": {"b": "zone"}}},
    "a label's column with a name of every table": {
        "spec.aggregate": {"nodeLabels": {"timestamp": "zone"}}
    },
    "a label's column in capitals": {"spec.aggregate": {"nodeLabels": {"Site": "zone"}}},
    **{
        f"Spark's {name}": {"spec.aggregate": {"sparkConf": {name: "x"}}}
        for name in (
            "spark.kubernetes.namespace",
            "spark.kubernetes.authenticate.driver.serviceAccountName",
            "spark.kubernetes.container.image",
            "spark.driver.extraJavaOptions",
            "spark.executor.instances",
            "spark.executorEnv.HOME",
            "spark.jars",
            "spark.local.dir",
            "spark.eventLog.dir",
            "spark.sql.warehouse.dir",
            "spark.sql.extensions",
            "spark.sql.session.timeZone",
            "spark.hadoop.fs.s3a.endpoint",
            "spark.submit.pyFiles",
            "spark.master",
        )
    },
    "an application without its key": {
        "spec.aggregate": {"application": {"configMap": {"name": "my-report"}}}
    },
    "no version kept": {"spec.results": {"landing": {}, "keepVersions": 0}},
    "an unknown mode": {"spec.aggregate": {"mode": "Yarn"}},
    "no name": {"metadata": {}},
    "a name in capitals": {"metadata.name": "Job"},
    "a name with dots": {"metadata.name": "a.b"},
    "a name too long": {"metadata.name": "a" * 53},
    "many mistakes at once": {
        "spec.key": ["x"],
        "spec.results": {},
        "spec.schema.fields.0.min": 5,
        "spec.schema.fields.0.max": 3,
    },
}


@pytest.fixture(scope="module")
def server(api_server: ApiServer) -> ApiServer:
    api_server.install_crd(CRD)
    return api_server


def changed(change: Change) -> dict[str, Any]:
    """Return MINIMAL with changes."""
    document: dict[str, Any] = yaml.safe_load(MINIMAL)
    for path, value in change.items():
        *parents, last = (int(part) if part.isdigit() else part for part in path.split("."))
        inner: Any = document
        for part in parents:
            inner = inner[part] if isinstance(part, int) else inner.setdefault(part, {})
        if value is ABSENT:
            del inner[last]
        else:
            inner[last] = value
    return document


def server_problems(server: ApiServer, text: str) -> list[str]:
    """Ask the API server; return what it finds wrong, without the envelope."""
    try:
        server.kubectl("create", "--dry-run=server", "-f", "-", stdin=text)
    except CommandError as error:
        return sorted(_findings(error.errors))
    return []


def _findings(said: str) -> Iterator[str]:
    if "strict decoding error: " in said:
        yield from said.strip().split("strict decoding error: ")[1].split(", ")
        return
    text = re.sub(r'^The EdgeETLJob ".*?" is invalid: ', "", said.strip())
    for finding in text.removeprefix("\n* ").split("\n* "):
        if "some validation rules were not checked" not in finding:
            yield finding.strip()


def local_problems(document: Any) -> list[str]:
    found = [*validation.envelope_problems(document)] or [*validation.job_problems(document)]
    return sorted(map(str, found))


@pytest.mark.parametrize("change", GOOD.values(), ids=GOOD)
def test_a_good_document_is_good_for_both_and_gets_the_same_defaults(
    server: ApiServer, change: Change
) -> None:
    text = yaml.safe_dump(changed(change), allow_unicode=True)
    assert server_problems(server, text) == []
    printed = server.kubectl("create", "--dry-run=server", "-o", "yaml", "-f", "-", stdin=text)
    (document,) = yaml_reader.parse(text, "job.yaml")
    assert validation.validate(document)["spec"] == yaml.safe_load(printed)["spec"]


@pytest.mark.parametrize("change", BAD.values(), ids=BAD)
def test_a_bad_document_is_refused_in_the_same_words(server: ApiServer, change: Change) -> None:
    text = yaml.safe_dump(changed(change), allow_unicode=True)
    (document,) = yaml_reader.parse(text, "job.yaml")
    expected = server_problems(server, text)
    assert expected
    assert local_problems(document.value) == expected


def test_the_sample_is_good_for_both(server: ApiServer) -> None:
    assert server_problems(server, SAMPLE.read_text()) == []
    assert validation.load_job(SAMPLE)["metadata"]["name"] == "air-quality"


# How kubectl's YAML library reads scalars, which PyYAML by itself would read otherwise.
SCALARS = """
[yes, 'yes', on, y, Off, 1:30, 017, 0o17, 0x1F, 1_000, 1e3, -1.5e-3, .5, 5., +3, 1.0, 2015-01-01,
 2015-01-01T00:00:00Z, "", ~, null, Null, 9007199254740993, 1.2.3, -, 0b101, 08, 1e400x]
"""


def test_scalars_are_read_as_kubectl_reads_them(server: ApiServer) -> None:
    values = SCALARS.replace("\n", " ").strip()
    text = f"apiVersion: v1\nkind: List\nitems: []\nvalues: {values}\n"
    raw = server.kubectl(
        "create",
        "--dry-run=client",
        "--validate=false",
        "-o",
        "json",
        "-f",
        "-",
        stdin=text.replace("kind: List\nitems: []\n", "kind: ConfigMap\nmetadata: {name: a}\n"),
    )
    (document,) = yaml_reader.parse(text, "job.yaml")
    assert document.value["values"] == yaml.safe_load(raw)["values"]


def test_explain_describes_every_field(server: ApiServer) -> None:
    def walk(schema: structural.Schema, path: str) -> Iterator[str]:
        for name, part in schema.get("properties", {}).items():
            if not part.get("description"):
                yield f"{path}.{name}"
            yield from walk(part, f"{path}.{name}")
            yield from walk(part.get("items", {}), f"{path}.{name}[]")

    schema = validation.crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert [*walk(schema["properties"]["spec"], "spec")] == []
    assert [*walk(schema["properties"]["status"], "status")] == []
    assert "strptime" in server.kubectl("explain", "edgeetljob.spec.schema.timestamp.formats")


def test_the_resource_shows_its_columns_and_a_time_to_come(
    server: ApiServer, api_namespace: str
) -> None:
    server.apply(MINIMAL, api_namespace)
    status = '{"status": {"phase": "Succeeded", "nodesSummary": "3/4", "rows": 7, \
"rejectedRatio": "1.2%", "lastRunTime": "2020-01-01T00:00:00Z", \
"nextRunTime": "2999-01-01T00:00:00Z"}}'
    patch = ("patch", "eej", "job", "-n", api_namespace, "--subresource=status", "--type=merge")
    server.kubectl(*patch, "-p", status)
    header, row = server.kubectl("get", "eej", "-n", api_namespace).splitlines()
    assert header.split() == COLUMNS
    assert re.fullmatch(
        r"job +Succeeded +3/4 +7 +1.2% +[0-9]+y\S* +2999-01-01T00:00:00Z +\S+\s*", row
    )
    server.kubectl("delete", "eej", "job", "-n", api_namespace)


def test_the_definition_is_small_enough_for_client_side_apply() -> None:
    assert CRD.stat().st_size < 64 * 1024
