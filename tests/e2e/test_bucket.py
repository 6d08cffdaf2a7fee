"""Results in a bucket: real pods deliver to an S3 server, and Spark publishes the table there."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import independent
from tests.support.cluster import AnyCluster, until
from tests.support.jobs import (
    NAMESPACE,
    SOURCES,
    Object,
    condition,
    finished,
    objects,
    sample,
    status,
)
from tests.support.s3_server import REGION, SECRET, S3Server, TestBucket, s3_serving

FILES = "2019-03-05*.csv"
NODES = ("pi-1", "pi-2", "pi-3")
JOB, KEYLESS, BUCKETLESS = "in-bucket", "no-key", "no-bucket"


@pytest.fixture(scope="module")
def bucket(pis: AnyCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestBucket]:
    """Give a bucket of a server on this machine, and apply all jobs of this file at once."""
    with s3_serving(tmp_path_factory.mktemp("s3"), address=pis.host) as server:
        bucket = server.bucket()
        _key(pis, "bucket-key", server)
        executors = {"mode": "Cluster", "executor": {"instances": 2, "memory": "512m"}}
        pis.apply(_job(JOB, bucket, "bucket-key", **executors), namespace=NAMESPACE)
        pis.apply(_job(KEYLESS, bucket, "late-key"), namespace=NAMESPACE)
        absent = TestBucket(server, "absent-bucket")
        pis.apply(_job(BUCKETLESS, absent, "bucket-key"), namespace=NAMESPACE)
        yield bucket


def _key(cluster: AnyCluster, name: str, server: S3Server) -> None:
    file = f"--from-file=credentials={server.credentials}"
    cluster.kubectl("create", "secret", "generic", name, file, "-n", NAMESPACE)


def _job(name: str, bucket: TestBucket, secret: str, **spark: Any) -> Object:
    results = {
        "s3": {
            "endpoint": bucket.server.endpoint,
            "region": REGION,
            "bucket": bucket.name,
            "prefix": "garden/results",
            "secretRef": {"name": secret},
        }
    }
    spark = {"driver": {"memory": "512m"}, **spark}
    source = {"name": "sensors", "include": [FILES]}
    job = sample(name, source=source, results=results, aggregate=spark)
    job["spec"]["nodes"]["backoffLimit"] = 0
    return job


def _published(bucket: TestBucket, job: str, to: Path) -> independent.Table:
    """Read what the newest version lists, and nothing else."""
    table = bucket.folder / "garden/results" / NAMESPACE / job / "table"
    for file in json.loads((table / "current.json").read_text())["files"]:
        (to / file["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(table / "data" / file["path"], to / file["path"])
    return independent.published_version(to)


def _expected(cluster: AnyCluster) -> independent.Table:
    folders = {node: cluster.node(node).path(f"{SOURCES}/sensors") for node in NODES}
    return independent.expected(folders, FILES)


def test_executors_on_two_nodes_publish_the_table_of_all_readings(
    pis: AnyCluster, bucket: TestBucket, tmp_path: Path
) -> None:
    done = finished(pis, JOB, timeout=300)
    right = _expected(pis)
    independent.assert_equal(_published(bucket, JOB, tmp_path), right)
    assert done["rows"] == len(right.rows)
    assert done["nodesSummary"] == "3/3"
    events = pis.get("events", "-n", NAMESPACE, "--field-selector", "reason=Started")["items"]
    of = f"{JOB}-{done['run']['id']}-exec-"
    hosts = [e["source"]["host"] for e in events if e["involvedObject"]["name"].startswith(of)]
    assert len(set(hosts)) == len(hosts) == 2
    assert not [key for key in bucket.files() if f"/{JOB}/table/staging/" in key]


def test_the_report_is_brought_from_the_bucket_with_the_jobs_own_key(
    pis: AnyCluster, bucket: TestBucket, tmp_path: Path
) -> None:
    done = finished(pis, JOB, timeout=300)
    program = (sys.executable, "-m", "edge_etl_operator.cli", "report", JOB, "-n", NAMESPACE)
    ran = subprocess.run(
        [*program, "--kubeconfig", pis.kubeconfig],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    html = (tmp_path / f"{JOB}-{done['run']['id']}.html").read_text()
    for node in done["nodes"]:
        assert f'<th scope="row">{node["name"]}</th>' in html
    assert '<svg class="chart"' in html


def test_the_key_is_a_file_of_the_pods_and_nowhere_else(
    pis: AnyCluster, bucket: TestBucket
) -> None:
    finished(pis, JOB, timeout=300)
    pods = objects(pis, "pods", JOB)
    assert len(pods) == 4
    for pod in pods:
        assert SECRET not in json.dumps(pod)
        assert SECRET not in pis.kubectl("logs", pod["metadata"]["name"], "-n", NAMESPACE)
    assert SECRET not in json.dumps(pis.get("configmaps", "-n", NAMESPACE))
    assert SECRET not in json.dumps(pis.get("eej", JOB, "-n", NAMESPACE))


def test_a_key_that_is_missing_is_named_and_taken_up_when_it_comes(
    pis: AnyCluster, bucket: TestBucket, tmp_path: Path
) -> None:
    def said() -> str:
        edge = condition(status(pis, KEYLESS), "EdgeComplete")
        return str(edge["message"]) if edge.get("reason") == "ConfigMissing" else ""

    message = until(said, "the missing Secret is named", 120)
    assert "late-key" in message
    _key(pis, "late-key", bucket.server)
    assert finished(pis, KEYLESS, timeout=400)["nodesSummary"] == "3/3"
    independent.assert_equal(_published(bucket, KEYLESS, tmp_path), _expected(pis))


def test_a_bucket_that_is_missing_is_named(pis: AnyCluster, bucket: TestBucket) -> None:
    until(lambda: status(pis, BUCKETLESS).get("phase") == "Failed", "Failed", 240)
    (first, *_) = status(pis, BUCKETLESS)["nodes"]
    assert first["reason"] == "ResultsUnavailable"
    assert "bucket absent-bucket at http://" in first["message"]
    assert "NoSuchBucket" in first["message"]
