"""The command of an executor is made of what Spark's driver put into the environment."""

import ssl
from pathlib import Path

import pytest
from edge_etl_spark.errors import AggregationError
from edge_etl_spark.executor import command

from tests.support.cluster.pki import Authority

ENVIRONMENT = {
    "SPARK_DRIVER_URL": "spark://CoarseGrainedScheduler@10.0.0.7:7078",
    "SPARK_EXECUTOR_ID": "3",
    "SPARK_EXECUTOR_CORES": "1",
    "SPARK_EXECUTOR_MEMORY": "512m",
    "SPARK_EXECUTOR_POD_IP": "10.0.0.9",
    "SPARK_EXECUTOR_POD_NAME": "air-quality-exec-3",
    "SPARK_APPLICATION_ID": "spark-1",
    "SPARK_RESOURCE_PROFILE_ID": "0",
    "SPARK_CONF_DIR": "/opt/spark/conf",
    **{f"SPARK_JAVA_OPT_{number}": f"-Dnumber={number}" for number in (10, 2, 0, 1)},
}
JARS = "/jars/a.jar:/jars/b.jar"


def test_the_backend_gets_all_it_needs() -> None:
    line = command(ENVIRONMENT, Path("/jre/bin/java"), JARS)
    assert line[0] == "/jre/bin/java"
    assert line[line.index("-cp") + 1] == "/jars/a.jar:/jars/b.jar:/opt/spark/conf"
    assert " ".join(line).endswith(
        "org.apache.spark.scheduler.cluster.k8s.KubernetesExecutorBackend "
        "--driver-url spark://CoarseGrainedScheduler@10.0.0.7:7078 --executor-id 3 --cores 1 "
        "--app-id spark-1 --hostname 10.0.0.9 --resourceProfileId 0 --podName air-quality-exec-3"
    )
    assert "-Xmx512m" in line


def test_java_options_keep_the_order_of_their_numbers() -> None:
    line = command(ENVIRONMENT, Path("/jre/bin/java"), JARS)
    options = [part for part in line if part.startswith("-Dnumber")]
    assert options == ["-Dnumber=0", "-Dnumber=1", "-Dnumber=2", "-Dnumber=10"]


def test_the_authority_of_the_results_server_is_trusted(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    authority.create()
    told = {**ENVIRONMENT, "EDGE_ETL_AUTHORITY": str(authority.certificate)}
    options = command(told, Path("/jre/bin/java"), JARS)
    (store,) = (each for each in options if each.startswith("-Djavax.net.ssl.trustStore="))
    content = Path(store.partition("=")[2]).read_bytes()
    assert content.startswith(bytes.fromhex("feedfeed00000002"))
    assert ssl.PEM_cert_to_DER_cert(authority.certificate.read_text()) in content


def test_a_person_who_starts_it_is_told_who_does() -> None:
    with pytest.raises(AggregationError, match="SPARK_DRIVER_URL is not set"):
        command({}, Path("/jre/bin/java"), JARS)
