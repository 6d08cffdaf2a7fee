"""Make Java's archive of loaded classes: ``class_archive.py TARGET``.

Java starts Spark from thousands of classes, which it finds, checks and links each time. From an
archive (OpenJDK, "Class Data Sharing") it maps them into memory. What is archived is what two small
aggregations load in one process: of new rows, and of rows and features that meet older ones.

The archive fits only the very Java and class path that it was made with. It is therefore made
while the image is built, and Java ignores one that does not fit.
"""

import hashlib
import sys
import tempfile
from pathlib import Path

import msgspec
from edge_etl_spark import features
from edge_etl_spark.aggregate import aggregate
from edge_etl_spark.documents import (
    AggregationDocument,
    DeliveredFile,
    Field,
    NodeAttempt,
    NodeManifest,
    Spark,
)
from edge_etl_spark.java import java_home
from edge_etl_spark.session import session
from edge_etl_spark.statistics import Statistics
from pyspark import SparkContext
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

RUNS = ("20260101-000000", "20260102-000000")
NODES = ("pi-1", "pi-2")
DAY = "2026-01-01"
FIELDS = (
    Field(name="sensor_id", type="string"),
    Field(name="pm10", type="double"),
    Field(name="count", type="long"),
    Field(name="open", type="boolean"),
)
GROUP_BY = ("sensor_id",)
STATISTICS = ("count", "mean", "p50")


def readings(spark: SparkSession) -> DataFrame:
    """Return readings of one day; all deliveries have the same, so that there are duplicates."""
    number = f.col("id")
    return spark.range(500, numPartitions=1).select(
        f.timestamp_seconds(f.lit(1767225600) + number * 60).alias("timestamp"),
        f.concat(f.lit("s"), (number % 5).cast("string")).alias("sensor_id"),
        f.rand(1).alias("pm10"),
        number.alias("count"),
        (number % 2 == 0).alias("open"),
    )


def deliver(spark: SparkSession, runs: Path, run: str, node: str) -> None:
    """Write and commit what a node would."""
    attempt = runs / run / node / "a"
    rows = readings(spark)
    windows = features.Windows(3600, GROUP_BY, FIELDS, Statistics(STATISTICS))
    states = features.from_rows(rows, windows).coalesce(1)
    files = [
        _file(rows, "rows", attempt),
        _file(states, "features", attempt),
    ]
    manifest = NodeManifest(
        api_version="pi-edge-spark.io/v1alpha1",
        kind="NodeManifest",
        run=run,
        node=node,
        attempt="a",
        schema_version="",
        window="1h",
        group_by=GROUP_BY,
        watermark=None,
        files=tuple(files),
    )
    (attempt.parent / "manifest.json").write_bytes(msgspec.json.encode(manifest))


def _file(table: DataFrame, kind: str, attempt: Path) -> DeliveredFile:
    name = f"{kind}-{DAY}.parquet"
    with tempfile.TemporaryDirectory() as scratch:
        table.write.mode("overwrite").parquet(scratch)
        (written,) = Path(scratch).glob("*.parquet")
        content = written.read_bytes()
    attempt.mkdir(parents=True, exist_ok=True)
    (attempt / name).write_bytes(content)
    return DeliveredFile(
        name=name,
        kind="rows" if kind == "rows" else "features",
        day=DAY,
        rows=table.count(),
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )


def document(run: str, spark: Spark) -> AggregationDocument:
    """Return the task of one aggregation."""
    return AggregationDocument(
        api_version="pi-edge-spark.io/v1alpha1",
        kind="Aggregation",
        namespace="build",
        job="classes",
        run=run,
        nodes=tuple(NodeAttempt(node=node, attempt="a") for node in NODES),
        fields=FIELDS,
        key=("sensor_id", "timestamp"),
        window="1h",
        group_by=GROUP_BY,
        statistics=STATISTICS,
        ship=("rows", "features"),
        spark=spark,
    )


def main(target: Path) -> None:
    """Aggregate twice, and end Java, which then writes the archive."""
    options = f"-XX:ArchiveClassesAtExit={target} -Xlog:cds*=error,class*=error"
    spark = Spark(master="local[1]", conf={"spark.driver.extraJavaOptions": options})
    with tempfile.TemporaryDirectory() as directory, java_home(None):
        results = Path(directory)
        for run in RUNS:
            with session(spark, "classes", 0) as active:
                for node in NODES:
                    deliver(active, results / "build" / "classes" / "runs", run, node)
            aggregate(document(run, spark), results)
        java = SparkContext._gateway.proc
        java.stdin.close()
        java.wait()
    sys.exit(0 if target.exists() else f"Java wrote no {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
