"""Whether what was cleaned is good enough to be delivered."""

import pytest
from edge_etl_job import gate
from edge_etl_job.documents import Input

from tests.support.edge import job


def read(path: str, rows: int, rejected: int) -> Input:
    return Input(
        path=path,
        bytes_read=rows,
        rows_read=rows,
        rows_clean=rows - rejected,
        rows_rejected=rejected,
        rows_duplicate=0,
        rejected_by_reason={"out_of_range": rejected} if rejected else {},
    )


@pytest.mark.parametrize(
    ("limit", "inputs", "refused"),
    [
        (None, [read("a", 10, 10)], False),
        ("25%", [], False),
        ("25%", [read("a", 4, 1)], False),
        ("25%", [read("a", 400, 101)], True),
        ("25%", [read("a", 2, 2), read("b", 6, 0)], False),
        ("0%", [read("a", 10, 0)], False),
        ("0%", [read("a", 1_000_000, 1)], True),
        ("100%", [read("a", 10, 10)], False),
        ("0.1%", [read("a", 1000, 1)], False),
        ("0.1%", [read("a", 1000, 2)], True),
    ],
)
def test_a_share_above_the_limit_is_refused(
    limit: str | None, inputs: list[Input], refused: bool
) -> None:
    quality = {} if limit is None else {"quality": {"maxRejectedRatio": limit}}
    assert (gate.refusal(job(**quality), inputs) is not None) == refused


def test_the_refusal_names_reasons_and_the_worst_file() -> None:
    inputs = [read("good.csv", 10, 1), read("bad.csv", 10, 9)]
    told = gate.refusal(job(quality={"maxRejectedRatio": "25%"}), inputs)
    assert told is not None
    assert "10 of 20 new rows (50.0%)" in told
    assert "10 out_of_range; most of them, 9, in bad.csv" in told
