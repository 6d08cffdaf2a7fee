"""What lies in a job's bucket: the aggregation's program brings it."""

import base64
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import msgspec

from edge_etl_operator.api import S3, EdgeETLJob
from edge_etl_operator.cli import SPARK, UsageError
from edge_etl_operator.cli.session import Session
from edge_etl_operator.kube import Part


class _Secret(Part, frozen=True, kw_only=True):
    data: dict[str, str] = msgspec.field(default_factory=dict)


class Bucket:
    """The results of a job in its bucket, which this machine must reach at the job's endpoint.

    The key to it is the job's own, which the person must be allowed to read, or a file.
    """

    def __init__(
        self, within: Session, job: EdgeETLJob, bucket: S3, credentials: Path | None
    ) -> None:
        path, _, query = bucket.location.partition("?")
        self._place = f"{path}/{job.namespace}/{job.name}?{query}"
        if find_spec(SPARK) is None:
            raise UsageError(
                f"the results of {job.name} are in a bucket, below {self._place}: look at them "
                f"there, or have the program {SPARK} in this environment, which brings them"
            )
        self._within = within
        self._secret = bucket.secret_ref.name
        self._credentials = credentials

    def reports(self) -> bytes:
        """Return the runs that left a report, as the landing service lists them."""
        return self._run("reports")

    def report(self, run: str) -> bytes:
        """Return the report of a run."""
        return self._run("reports", "--run", run)

    def manifests(self) -> bytes:
        """Return what the nodes committed, one in a line, in the order of the runs."""
        return self._run("deliveries")

    def rejected(self, run: str, node: str, attempt: str) -> bytes:
        """Return the Parquet file of the rows that an attempt rejected, empty if there is none."""
        return self._run("deliveries", "--rejected", run, node, attempt)

    def _run(self, command: str, *arguments: str) -> bytes:
        with self._key() as key:
            asked = [command, self._place, "--s3-credentials", str(key), *arguments]
            done = subprocess.run(
                [sys.executable, "-m", SPARK, *asked], capture_output=True, check=False
            )
        if done.returncode:
            raise UsageError(done.stderr.decode(errors="replace").strip())
        return done.stdout

    @contextmanager
    def _key(self) -> Iterator[Path]:
        """Give the key as a file, which nobody else may read and which is removed afterwards."""
        if self._credentials:
            yield self._credentials
            return
        place = f"/api/v1/namespaces/{self._within.namespace}/secrets/{self._secret}"
        found = msgspec.json.decode(self._within.connection.call("GET", place), type=_Secret)
        with tempfile.TemporaryDirectory() as folder:
            for name in ("credentials", "ca.crt"):
                if name in found.data:
                    (Path(folder) / name).write_bytes(base64.b64decode(found.data[name]))
            yield Path(folder) / "credentials"
