"""The report fits Kubernetes' termination message, and failures become one readable line."""

import errno
import json
import socket

import pytest
from edge_etl_spark import report
from edge_etl_spark.documents import AggregationReport
from edge_etl_spark.errors import AggregationError
from edge_etl_spark.failures import diagnose
from pyspark.errors import PySparkException


@pytest.mark.parametrize("message", ["x" * 10_000, "µ€𝄞" * 3_000, '\n"\\' * 5_000])
def test_a_long_message_is_cut_at_the_end(message: str) -> None:
    failed = AggregationReport(run="r", succeeded=False, reason="SparkFailed", message=message)
    content = report.encode(failed)
    assert 3000 < len(content) <= 4096
    said = json.loads(content)["message"]
    assert said.endswith("…")
    assert message.startswith(said[:-1])


def test_a_short_message_stays_as_it_is() -> None:
    done = AggregationReport(run="r", succeeded=True, reason="Published", message="all well")
    assert json.loads(report.encode(done))["message"] == "all well"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("java.io.IOException: No space left on device", "DiskFull"),
        ("java.lang.OutOfMemoryError: Java heap space", "OutOfMemory"),
        (
            "Job aborted due to stage failure: Task 0 in stage 1.0 failed 4 times: "
            "ExecutorLostFailure (executor 2 exited caused by one of the running tasks)",
            "ExecutorLost",
        ),
        (
            "ExecutorLostFailure (executor 2 exited unrelated to the running tasks) Reason: "
            "The executor with id 2 exited with exit code 137(SIGKILL, possible container OOM).",
            "OutOfMemory",
        ),
        (
            'pods is forbidden: User "system:serviceaccount:a:b" cannot create resource "pods"',
            "PermissionDenied",
        ),
        ("IllegalStateException: Spark context stopped while waiting for backend", "NoExecutors"),
        ("something else", "SparkFailed"),
    ],
)
def test_a_failure_of_spark_has_its_reason_and_its_words(text: str, reason: str) -> None:
    said = diagnose(PySparkException(f"An error occurred.\n\tat {text}\n\tat more"))
    assert said is not None
    assert said.reason == reason
    assert "\n" not in said.message


def test_the_line_with_the_sign_is_shown() -> None:
    said = diagnose(PySparkException("first line\njava.io.IOException: No space left on device\nx"))
    assert said is not None
    assert said.message.startswith("java.io.IOException: No space left on device; free space")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (PermissionError(errno.EACCES, "Permission denied", "/results/a"), "ResultsUnavailable"),
        (OSError(errno.ENOSPC, "No space left on device", "/results/a"), "DiskFull"),
    ],
)
def test_a_volume_that_fails_is_named(error: OSError, reason: str) -> None:
    said = diagnose(error)
    assert said is not None
    assert said.reason == reason
    assert said.message.startswith("/results/a: ")


def test_a_known_failure_stays_itself_and_a_mistake_of_ours_is_unknown() -> None:
    known = AggregationError("ManifestMissing", "there")
    assert diagnose(known) is known
    assert diagnose(ZeroDivisionError()) is None


def test_a_machine_that_does_not_know_localhost_is_no_matter_of_the_volume() -> None:
    said = diagnose(socket.gaierror(-2, "Name or service not known"))
    assert said is not None
    assert said.reason == "SparkFailed"
    assert "/etc/hosts" in said.message
