"""Start Spark as small as it goes, and end it."""

import math
import os
import re
import sys
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pyspark.conf import SparkConf
from pyspark.sql import SparkSession

from edge_etl_spark.documents import LOCAL, Spark
from edge_etl_spark.errors import NO_EXECUTORS, AggregationError
from edge_etl_spark.java import class_path
from edge_etl_spark.logs import log, progress

_LOG_CONFIG: Final = Path(__file__).with_name("log4j2.properties")
_MEBIBYTE: Final = 1024 * 1024
_PARTITION_BYTES: Final = 16 * _MEBIBYTE
"""Compressed Parquet for each task: about 150 MB as rows, which sort in the smallest heap."""
_EXECUTOR_WAIT_SECONDS: Final = 600
"""A Pi needs minutes to pull the image for the first time."""

# Fixed for the table's sake, so that the document cannot change them.
_FIXED: Final = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.sql.caseSensitive": "true",
    "spark.sql.adaptive.enabled": "true",
    # Plain files: no .crc beside each, which every reader but Hadoop takes for garbage.
    "spark.hadoop.fs.file.impl": "org.apache.hadoop.fs.RawLocalFileSystem",
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
}
_DEFAULTS: Final = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.parquet.compression.codec": "zstd",
    # A broadcast table is held in memory by each JVM; small heaps sort and merge instead.
    "spark.sql.autoBroadcastJoinThreshold": "-1",
    # Listing files of a mounted volume is not worth a Spark job.
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "100000",
    # Says otherwise that it shortened a plan which nobody asked to see.
    "spark.sql.debug.maxToStringFields": "1000",
    # The operator makes no service for the driver and no claims for executors: without these,
    # Spark asks at its end to delete them, which its service account is not allowed to.
    "spark.kubernetes.driver.service.deleteOnTermination": "false",
    "spark.kubernetes.driver.ownPersistentVolumeClaim": "false",
}
# Serial GC and the first compiler tier: 680-750 MB peak instead of 860 and 17-21 s instead of
# 22-27 s for 9 million rows in local[2] with 512m.
SMALL_JVM: Final = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData"


_CLASSES: Final = Path(sys.prefix) / "classes.jsa"
"""Java's archive of loaded classes, which the image has (class_archive.py); Java ignores it where
it does not fit."""
# Java puts the archive at another address each time (JDK-8294323), for which it changes each page:
# 0.3 s, and more than 100 MB that the kernel could take back otherwise. The archive has no code.
_AT_ITS_ADDRESS: Final = "-XX:+UnlockDiagnosticVMOptions -XX:ArchiveRelocationMode=0"


def configuration(
    spark: Spark,
    bytes_read: int,
    environment: Mapping[str, str],
    event_log: Path | None = None,
    storage: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the whole Spark configuration: defaults, then the document's, then what is fixed.

    ``environment`` tells the driver's address (POD_IP), ``storage`` how files are reached.
    """
    jvm = SMALL_JVM
    if _CLASSES.exists():
        jvm = f"{jvm} {_AT_ITS_ADDRESS} -XX:SharedArchiveFile={_CLASSES}"
    conf = {
        **_DEFAULTS,
        "spark.sql.shuffle.partitions": str(shuffle_partitions(bytes_read, cores(spark))),
        # Spark adds its own class path, whose order is the directory's; the first one counts.
        "spark.driver.extraClassPath": class_path(),
        "spark.driver.defaultJavaOptions": jvm,
        "spark.executor.defaultJavaOptions": jvm,
    }
    if environment.get("POD_IP"):
        conf["spark.driver.host"] = environment["POD_IP"]
    conf |= {**spark.conf, **_FIXED, **(storage or {})}
    if event_log:
        conf |= {"spark.eventLog.enabled": "true", "spark.eventLog.dir": event_log.as_uri()}
    log_option = f"-Dlog4j2.configurationFile={_LOG_CONFIG.as_uri()}"
    for role in ("driver", "executor"):
        name = f"spark.{role}.defaultJavaOptions"
        conf[name] = f"{conf[name]} {log_option}"
    return conf


def cores(spark: Spark) -> int:
    """Return how many tasks run at once."""
    if local := re.fullmatch(LOCAL, spark.master):
        count = local[1] or "1"
        return len(os.sched_getaffinity(0)) if count == "*" else int(count)
    executors = int(spark.conf.get("spark.executor.instances", "2"))
    return executors * int(spark.conf.get("spark.executor.cores", "1"))


def shuffle_partitions(bytes_read: int, cores: int) -> int:
    """Return the number of tasks after a shuffle: enough for memory, no more than useful."""
    return min(200, max(cores, math.ceil(bytes_read / _PARTITION_BYTES)))


@contextmanager
def session(
    spark: Spark,
    name: str,
    bytes_read: int,
    event_log: Path | None = None,
    storage: Mapping[str, str] | None = None,
) -> Iterator[SparkSession]:
    """Start a session for the block, and stop it afterwards; events are logged to a directory.

    ``storage`` is what Spark is told of the files' place (`Files.spark_conf`).

    Raises AggregationError (NoExecutors) when a cluster gives the driver no executor in time.
    """
    progress("spark", "starting Spark", master=spark.master)
    # With pandas installed Spark warns that it may not support it; nothing here uses it.
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
    # Spark looks for python3 on PATH otherwise, which may be another one.
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    conf = configuration(spark, bytes_read, os.environ, event_log, storage)
    if spark.master.startswith("local") and "spark.driver.host" not in conf:
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    builder = SparkSession.builder.master(spark.master).appName(name)
    active = builder.config(
        conf=SparkConf(loadDefaults=False).setAll(list(conf.items()))
    ).getOrCreate()
    try:
        if spark.has_executors:
            _wait_for_executor(active)
        yield active
    finally:
        try:
            active.stop()
        except Exception as error:  # the JVM died: what it did is judged elsewhere
            log.warning(f"Spark did not stop cleanly: {error}", extra={"event": "spark-stop"})


def _wait_for_executor(active: SparkSession) -> None:
    """Return as soon as one executor registered; without any, Spark would wait for ever."""
    context = active.sparkContext
    deadline = time.monotonic() + _EXECUTOR_WAIT_SECONDS
    # The driver itself is listed too.
    while context._jsc.sc().getExecutorMemoryStatus().size() < 2:
        if time.monotonic() > deadline:
            raise AggregationError(
                NO_EXECUTORS,
                f"no executor registered within {_EXECUTOR_WAIT_SECONDS // 60} minutes; look at "
                f"the pods with label spark-app-selector={context.applicationId}, and whether the "
                "driver's service account may create pods",
            )
        time.sleep(0.5)
