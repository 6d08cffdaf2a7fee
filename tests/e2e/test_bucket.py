"""Results in a bucket: real pods deliver to an S3 server, and Spark publishes the table there."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

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
        pis.apply(_job(JOB, bucket, "bucket-key"), namespace=NAMESPACE)
        pis.apply(_job(KEYLESS, bucket, "late-key"), namespace=NAMESPACE)
        absent = TestBucket(server, "absent-bucket")
        pis.apply(_job(BUCKETLESS, absent, "bucket-key"), namespace=NAMESPACE)
        yield bucket


def _key(cluster: AnyCluster, name: str, server: S3Server) -> None:
    file = f"--from-file=credentials={server.credentials}"
    cluster.kubectl("create", "secret", "generic", name, file, "-n", NAMESPACE)


def _job(name: str, bucket: TestBucket, secret: str) -> Object:
    results = {
        "s3": {
            "endpoint": bucket.server.endpoint,
            "region": REGION,
            "bucket": bucket.name,
            "prefix": "garden/results",
            "secretRef": {"name": secret},
        }
    }
    driver = {"memory": "512m"}
    source = {"name": "sensors", "include": [FILES]}
    job = sample(name, source=source, results=results, aggregate={"driver": driver})
    job["spec"]["nodes"]["backoffLimit"] = 0
    return job


def _published(bucket: TestBucket, job: str, to: Path) -> independent.Table:
    """Read what the newest version lists, and nothing else."""
    table = bucket.folder / "garden/results" / NAMESPACE / job / "table"
    for file in json.loads((table / "current.json").read_text())["files"]:
        (to / file["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(table / "data" / file["path"], to / file["path"])
    return independent.published_version(to)


def test_the_table_in_the_bucket_is_the_one_of_all_readings(
    pis: AnyCluster, bucket: TestBucket, tmp_path: Path
) -> None:
    done = finished(pis, JOB, timeout=300)
    folders = {node: pis.node(node).path(f"{SOURCES}/sensors") for node in NODES}
    right = independent.expected(folders, FILES)
    independent.assert_equal(_published(bucket, JOB, tmp_path), right)
    assert done["rows"] == len(right.rows)
    assert done["nodesSummary"] == "3/3"


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
    assert SECRET not in json.dumps(objects(pis, "configmaps", JOB))
    assert SECRET not in json.dumps(pis.get("eej", JOB, "-n", NAMESPACE))


def test_a_key_that_is_missing_is_named_and_taken_up_when_it_comes(
    pis: AnyCluster, bucket: TestBucket
) -> None:
    def said() -> str:
        edge = condition(status(pis, KEYLESS), "EdgeComplete")
        return str(edge["message"]) if edge.get("reason") == "ConfigMissing" else ""

    message = until(said, "the missing Secret is named", 120)
    assert "late-key" in message
    _key(pis, "late-key", bucket.server)
    assert finished(pis, KEYLESS, timeout=400)["nodesSummary"] == "3/3"


def test_a_bucket_that_is_missing_is_named(pis: AnyCluster, bucket: TestBucket) -> None:
    until(lambda: status(pis, BUCKETLESS).get("phase") == "Failed", "Failed", 240)
    (first, *_) = status(pis, BUCKETLESS)["nodes"]
    assert first["reason"] == "ResultsUnavailable"
    assert "bucket absent-bucket at http://" in first["message"]
    assert "NoSuchBucket" in first["message"]
