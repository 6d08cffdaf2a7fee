"""What integration tests can ask for."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from edge_etl_spark.documents import Spark
from edge_etl_spark.java import java_home

from tests.support.cluster import ApiServer
from tests.support.cluster.api_server import QUIET_CONTROLLERS
from tests.support.landing_fixtures import landing, landing_token, pod, pods, service
from tests.support.operator_site import Site
from tests.support.s3_server import S3Server, s3_serving

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["landing", "landing_token", "pod", "pods", "service"]

CRD = Path(__file__).parents[2] / "operator" / "edge_etl_operator" / "crd.yaml"


@pytest.fixture(scope="session")
def spark() -> "Iterator[SparkSession]":
    """Give a Spark session as the program makes it, the same one to all tests."""
    from edge_etl_spark.session import session

    with java_home(None), session(Spark(master="local[2]"), "tests", bytes_read=0) as active:
        yield active


@pytest.fixture
def shared_session(spark: "SparkSession", monkeypatch: pytest.MonkeyPatch) -> "SparkSession":
    """Let aggregations in this process use that session instead of one of their own each."""

    @contextmanager
    def same(*_: object) -> "Iterator[SparkSession]":
        yield spark

    monkeypatch.setattr("edge_etl_spark.session.session", same)
    return spark


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Give an S3 server, one for all tests of the session; each has buckets of its own."""
    with s3_serving(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="session")
def job_server() -> Iterator[ApiServer]:
    """Give an API server whose Job controller works and that knows EdgeETLJobs."""
    with ApiServer(controllers=(*QUIET_CONTROLLERS, "job-controller")) as server:
        server.install_crd(CRD)
        yield server


@pytest.fixture
def site(job_server: ApiServer, tmp_path: Path) -> Iterator[Site]:
    """Give a namespace for one test's jobs, operator and nodes."""
    name = f"site-{secrets.token_hex(3)}"
    job_server.kubectl("create", "namespace", name)
    for account in ("edge", "spark"):
        job_server.kubectl("create", "serviceaccount", account, "-n", name)
    yield Site(job_server, name, tmp_path)
    job_server.kubectl("delete", "nodes", "-l", f"site={name}", "--wait=false")
    job_server.kubectl("delete", "namespace", name, "--wait=false")
