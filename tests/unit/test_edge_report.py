"""The termination message fits, and says what a person needs to know."""

import json

import msgspec
import pytest
from edge_etl_job.documents import Input, NodeManifest, NodeSummary
from edge_etl_job.report import LIMIT, delivered, encoded, failed


def manifest(**over: object) -> NodeManifest:
    empty = NodeManifest(
        namespace="default",
        job="air",
        run="20190304-235959",
        node="pi-1",
        attempt="a",
        schema_version="0",
        window="1h",
        group_by=(),
        created_at="2019-03-05T00:00:00Z",
        rows_read=0,
        rows_clean=0,
        rows_rejected=0,
        rows_duplicate=0,
        rejected_by_reason={},
        bytes_read=0,
        bytes_written=0,
        watermark=None,
        columns_missing=(),
        columns_seen=(),
        inputs=(),
        files=(),
    )
    return msgspec.structs.replace(empty, **over)


def one(status: str, message: str | None = None, size: int = 0) -> Input:
    return Input(
        path=f"{status}.csv",
        bytes_read=size,
        rows_read=0,
        rows_clean=0,
        rows_rejected=0,
        rows_duplicate=0,
        status="quarantined" if status == "quarantined" else "read",
        message=message,
    )


def test_a_delivery_is_summed_up() -> None:
    summary = delivered(manifest(rows_read=9, rows_clean=4, rows_rejected=3, rows_duplicate=2))
    assert (summary.succeeded, summary.reason) == (True, "Delivered")
    assert summary.message == "4 of 9 new rows are clean, 3 rejected, 2 duplicates"


def test_quarantine_and_missing_columns_are_said_even_when_nothing_is_new() -> None:
    inputs = (one("quarantined", "not_text: a picture"), one("read", "delivered before"))
    summary = delivered(manifest(inputs=inputs, columns_missing=("pressure", "pm10")))
    assert summary.reason == "NothingNew"
    assert summary.message == (
        "no new rows since the last run; no file has pressure, pm10; 1 file quarantined, "
        "quarantined.csv: not_text: a picture"
    )
    assert (summary.files_read, summary.files_quarantined) == (0, 1)


@pytest.mark.parametrize("length", [0, 10, 3_000, 100_000])
@pytest.mark.parametrize("names", [0, 5, 500])
@pytest.mark.parametrize("letter", ["a", "ä", "\x01", "💧"])
def test_the_summary_always_fits_and_keeps_its_numbers(
    length: int, names: int, letter: str
) -> None:
    columns = tuple(letter * 50 + str(number) for number in range(names))
    reasons = {f"reason_{number}": 10**12 for number in range(16)}
    whole = msgspec.structs.replace(
        delivered(manifest(rows_read=10**15, rejected_by_reason=reasons)),
        message=letter * length,
        columns_seen=columns,
        columns_missing=columns,
    )
    content = encoded(whole)
    assert len(content) <= LIMIT
    short = msgspec.json.decode(content, type=NodeSummary)
    assert (short.rows_read, short.rejected_by_reason) == (10**15, reasons)
    assert short.message[:10] == whole.message[:10]
    assert json.loads(content)["kind"] == "NodeSummary"


def test_a_failure_says_that_nothing_was_delivered() -> None:
    summary = failed("", "pi-1", "a", "JobInvalid", "job.json: key[0]: no")
    assert (summary.succeeded, summary.rows_read, summary.reason) == (False, 0, "JobInvalid")
