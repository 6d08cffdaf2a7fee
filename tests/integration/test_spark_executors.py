"""Spark's executors, as processes of their own, over results in a bucket of a real S3 server.

Its certificate is of a private authority, which no process of the test knows by itself.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest
from edge_etl_spark import table
from edge_etl_spark.aggregate import aggregate
from edge_etl_spark.documents import AggregationDocument
from edge_etl_spark.results import latest
from edge_etl_spark.trust import trusting

from tests.support.bucket_job import BucketJob
from tests.support.cluster.pki import Authority
from tests.support.node_results import frame
from tests.support.s3_server import SECRET, S3Server, s3_serving
from tests.support.table_oracle import assert_table

FIRST, SECOND = "20260101-000000", "20260102-000000"
OWN = "def aggregate(spark, clean, features):\n    return clean.groupBy('day').count()\n"
CONF = {
    "spark.driver.memory": "512m",
    "spark.executor.memory": "512m",
    "spark.executor.cores": "1",
    "spark.eventLog.compress": "false",
}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[S3Server]:
    authority = Authority(tmp_path / "pki")
    authority.create()
    authority.issue("s3", "/CN=s3", ["IP:127.0.0.1"])
    options = ("--cert", tmp_path / "pki/s3.crt", "--key", tmp_path / "pki/s3.key")
    with s3_serving(tmp_path / "s3", *options, scheme="https") as server:
        shutil.copy(authority.certificate, server.credentials.with_name("ca.crt"))
        yield server


def readings(seed: int, start: str) -> Any:
    generator = np.random.default_rng(seed)
    times = pd.date_range(start, periods=60, freq="37min", tz="UTC")
    return frame([(t.isoformat(), "ab"[n % 2], generator.normal()) for n, t in enumerate(times)])


def with_executors(job: BucketJob, scratch: Path, *nodes: str) -> tuple[dict[str, Any], str]:
    """Aggregate with two executors; return what the program reports, and all that it logs."""
    own, document = scratch / "own.py", scratch / "document.json"
    own.write_text(OWN)
    told = job.document(SECOND, *nodes, master="local-cluster[2,1,512]")
    told["application"] = {"path": str(own), "name": "own.py"}
    # In a pod `executor` does this.
    trust = trusting(job.credentials.with_name("ca.crt"), scratch)
    conf = {**CONF, "spark.executor.extraJavaOptions": trust}
    told["spark"] |= {"eventLog": True, "conf": conf}
    document.write_text(json.dumps(told))
    place = ["--results", job.location, "--s3-credentials", str(job.credentials)]
    options = ["--document", str(document), *place, "--summary", str(scratch / "summary")]
    done = subprocess.run(
        [sys.executable, "-m", "edge_etl_spark", "run", *options],
        cwd=scratch, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((scratch / "summary").read_text()), done.stdout + done.stderr


@pytest.mark.usefixtures("shared_session")
def test_executors_go_on_with_the_table_of_a_driver_and_read_and_write_the_bucket_themselves(
    server: S3Server, tmp_path: Path
) -> None:
    job = BucketJob(tmp_path / "nodes", bucket=server.bucket())
    one, two = readings(1, "2026-01-01"), readings(2, "2026-01-02T03:00:00")
    job.deliver(FIRST, "pi-1", one)
    document = msgspec.json.decode(
        json.dumps(job.document(FIRST, "pi-1")), type=AggregationDocument
    )
    assert aggregate(document, job.location, credentials=job.credentials).rows == 60
    before = set(job.bucket.files())

    # A node delivers the same readings again, and another value: the row that is there stays.
    job.deliver(SECOND, "pi-10", two)
    job.deliver(SECOND, "pi-2", one.assign(pm10=-1.0))
    report, log = with_executors(job, tmp_path, "pi-10", "pi-2")
    assert (report["version"], report["rowsAdded"], report["rowsDuplicate"]) == (2, 60, 60)
    assert_table(job, [one, two])
    assert job.read("application")["count"].sum() == 120
    newest = latest(job.results)
    assert newest is not None
    assert list(table.verify(job.results, newest)) == []

    added = job.bucket.files().keys() - before
    assert not [key for key in added if "/staging/" in key], "what executors wrote is gone"
    events = b"".join(job.bucket.files()[key] for key in added if "/spark-events/" in key).decode()
    # On a busy machine one of them may come when the other has done all.
    assert set(re.findall(r'"Executor ID":"(\w+)"', events)) & {"0", "1"}
    for said in (log, events):
        assert SECRET not in said
