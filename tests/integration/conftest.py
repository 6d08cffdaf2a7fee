"""What integration tests can ask for."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from edge_etl_spark.documents import Spark
from edge_etl_spark.java import java_home

from tests.support.landing_fixtures import landing, landing_token, pods

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["landing", "landing_token", "pods"]


@pytest.fixture
def spark() -> "Iterator[SparkSession]":
    """Give a Spark session as the program makes it; the JVM is started once for all tests."""
    from edge_etl_spark.session import session

    with java_home(None), session(Spark(master="local[2]"), "tests", bytes_read=0) as active:
        yield active
