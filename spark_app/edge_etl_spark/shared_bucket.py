"""Results in a bucket that Spark reads and writes itself, where its executors are on other nodes.

They use Hadoop's client of S3 (S3A). Each process takes the key from the file that its pod mounts:
the configuration names that file and nothing of what is in it.

Executors write below ``table/staging/``, where an attempt that was given up may go on for a while.
The driver has the server copy each of those files to a name that no executor knows, and measures
the copy: what a version lists can no longer change.
"""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from edge_etl_spark.bucket import BucketResults, at_once
from edge_etl_spark.bucket_garbage import DATA, STAGING
from edge_etl_spark.trust import AUTHORITY_VARIABLE, trusting
from edge_etl_spark.versions import Version

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

_WORK: Final = ".work"
_S3A: Final = {
    "path.style.access": "true",
    "aws.credentials.provider": "org.apache.hadoop.fs.s3a.auth.ProfileAWSCredentialsProvider",
    "auth.profile.name": "default",
    # The stream for analytics would hold whole files in memory, beside the heap.
    "input.stream.type": "classic",
    "experimental.input.fadvise": "random",
    # Parts wait in the heap for their upload: Spark is set to a local file system without
    # checksums, and S3A's buffers on disk ask for the one that has them.
    "fast.upload.buffer": "array",
    "multipart.size": "16M",
    # Names are new each time: nothing has to be asked for before, nor marked afterwards.
    "performance.flags": "create,delete,mkdir",
}


class SharedBucketResults(BucketResults):
    """Results in a bucket; paths of the scratch directory only stand for objects."""

    def __init__(self, location: str, namespace: str, job: str, credentials: Path | None) -> None:
        super().__init__(location, namespace, job, credentials)
        self._staged: set[Path] = set()

    @property
    def can_share(self) -> bool:
        """Let Spark write what is merged: a bucket knows no links."""
        return False

    @property
    def spark_conf(self) -> Mapping[str, str]:
        """Say where the server and the key are."""
        address, authority = self._objects.address, self._objects.authority
        settings = {
            **_S3A,
            "endpoint": address.endpoint,
            "endpoint.region": address.region,
            "auth.profile.file": str(self._objects.credentials.absolute()),
        }
        conf = {f"spark.hadoop.fs.s3a.{name}": value for name, value in settings.items()}
        # A task's files go to their place when it commits: one copy by the server, not two. Two
        # attempts of a task write the same rows under the same names.
        conf["spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version"] = "2"
        if authority:
            self._scratch.mkdir(parents=True, exist_ok=True)
            option = trusting(authority, self._scratch)
            conf["spark.driver.extraJavaOptions"] = option
            conf[f"spark.executorEnv.{AUTHORITY_VARIABLE}"] = str(authority.absolute())
        return conf

    def named(self, path: Path) -> str:
        """Return the object's address."""
        address = self._objects.address
        return f"s3a://{address.bucket}/{address.prefix}/{self._key(path)}"

    def numbered(
        self,
        spark: "SparkSession",
        schema: "StructType",
        numbers: Mapping[Path, int],
        scratch: Path,
    ) -> "DataFrame":
        """Join them with the numbers: there are no links."""
        from edge_etl_spark import rows

        named = {self.named(path): number for path, number in numbers.items()}
        return rows.numbered_by_name(spark, schema, named)

    def fetch(self, paths: Iterable[Path]) -> list[Path]:
        """Do nothing: who reads a file gets it from the server."""
        return list(paths)

    def measured(self, path: Path) -> tuple[int, str]:
        """Read the object."""
        return self._objects.measure(self._key(path))

    def taken(self, spark: "SparkSession", written: Path, target: Path) -> list[Path]:
        """Have the server copy the objects; their names are new each time."""
        below = self._key(written)
        keys = [item["path"] for item in self._objects.list(below)]
        found = {
            key: target / Path(key).relative_to(below) for key in keys if key.endswith(".parquet")
        }
        at_once(lambda each: self._objects.copy(each[0], self._key(each[1])), found.items())
        self._staged |= {*found.values()}
        self._there |= {self._key(path).removeprefix(f"{DATA}/") for path in found.values()}
        # By S3A, which also knows the objects that stand for directories.
        java: Any = spark._jvm
        directory = java.org.apache.hadoop.fs.Path(self.named(written))
        directory.getFileSystem(spark._jsc.hadoopConfiguration()).delete(directory, True)
        return sorted(found.values())

    def below(self, directory: Path) -> list[Path]:
        """Return what was brought there."""
        return sorted(path for path in self._staged if directory in path.parents)

    def carry_over(
        self, version: Version, staging: Path, paths: Collection[str], *, readable: bool
    ) -> None:
        """Note that they are there: to list them is enough."""
        self._staged |= {staging / path for path in paths}

    def _key(self, path: Path) -> str:
        top, *parts = path.relative_to(self._scratch).parts
        if top != "staging":
            return "/".join((top, *parts))
        run, *parts = parts
        return "/".join((f"{STAGING}/{run}" if run.endswith(_WORK) else DATA, *parts))
