"""A job whose results are in a bucket: delivered by the edge program's own client."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow as pa
import pyarrow.dataset as ds
from edge_etl_job.results import open_store
from edge_etl_job.results.layout import Attempt
from pyarrow.fs import S3FileSystem

from tests.support.node_results import Job
from tests.support.s3_server import KEY_ID, SECRET, TestBucket


@dataclass(frozen=True)
class BucketJob(Job):
    """Nodes write below ``root``, as a Pi does below its working directory, and then deliver."""

    bucket: TestBucket = field(kw_only=True)

    @property
    def location(self) -> str:
        return self.bucket.location()

    @property
    def credentials(self) -> Path:
        return self.bucket.server.credentials

    def read(self, kind: str) -> Any:
        return read_bucket(self.bucket, f"results/{self.namespace}/{self.name}", kind).to_pandas()

    def deliver(
        self,
        run: str,
        node: str,
        rows: Any,
        attempt: str = "a1",
        lacks: Sequence[str] = (),
        invalid: Sequence[str] = (),
    ) -> Path:
        path = super().deliver(run, node, rows, attempt, lacks, invalid)
        manifest = path.read_bytes()
        store = open_store(
            self.location,
            Attempt(self.namespace, self.name, run, node, attempt),
            credentials=self.credentials,
        )
        store.dataset_id()
        for file in json.loads(manifest)["files"]:
            store.put(file["name"], path.parent / attempt / file["name"], file["sha256"])
        store.commit(manifest)
        return path


def read_bucket(bucket: TestBucket, job: str, kind: str) -> Any:
    """Return the newest version's rows or features, found as docs/results.md tells readers."""
    endpoint = urlsplit(bucket.server.endpoint)
    region = parse_qs(urlsplit(bucket.location()).query)["region"][0]
    authority = bucket.server.credentials.with_name("ca.crt")
    trust: Any = {"tls_ca_file_path": str(authority)} if authority.exists() else {}
    s3 = S3FileSystem(
        access_key=KEY_ID,
        secret_key=SECRET,
        region=region,
        scheme="https" if endpoint.scheme == "https" else "http",
        endpoint_override=endpoint.netloc,
        **trust,
    )
    table = f"{bucket.name}/{job}/table"
    with s3.open_input_stream(f"{table}/current.json") as stream:
        version = json.loads(stream.read())
    paths = [
        f"{table}/data/{file['path']}"
        for file in version["files"]
        if file["path"].startswith(f"{kind}/")
    ]
    if not paths:
        return pa.table({})
    return ds.dataset(paths, filesystem=s3, partitioning="hive").to_table()
