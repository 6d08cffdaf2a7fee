"""Rules that look back: the same rows are refused wherever a run, a file or a block ends."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from edge_etl_job.engine_python import history as plain
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.edge import HEADER, Part, Pi, clean, clean_ranges, csv, reading

RULES: dict[str, Any] = {
    "fields": [
        {"name": "sensor_id", "type": "string"},
        {"name": "pm10", "from": ["P1"], "type": "double", "stuckAfter": 2, "max": 50,
         "maxRatePerMinute": 100},
        {"name": "ticks", "from": ["P1"], "type": "double", "stuckAfter": "4s"},
    ]
}  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.sampled_from(["1", "1", "1", "2", "9", "99", "", "x"])),
        min_size=1,
        max_size=30,
    ),
    st.lists(st.integers(0, 30), max_size=3),
    st.sampled_from(["RejectRow", "SetNull"]),
)
def test_it_makes_no_difference_where_an_increment_ends(
    values: list[tuple[str, str]], cuts: list[int], policy: str
) -> None:
    rules = RULES | {"onInvalidField": policy}
    lines = [reading(second, *value) for second, value in enumerate(values)]
    content = csv(*lines)
    starts = sorted({0, *(min(cut, len(lines)) for cut in cuts)})
    at = [0 if cut == 0 else len(csv(*lines[:cut])) for cut in starts]
    with TemporaryDirectory() as folder:
        whole = clean(Path(folder), [content], schema=rules)
        rows, rejected, history = [], [], None
        path = Path(folder, "source", "0.csv")
        for number, (start, end) in enumerate(zip(at, [*at[1:], len(content)], strict=True)):
            part = Part("0.csv", path, start, end, content[:start].count("\n"))
            out = Path(folder, f"part-{number}")
            cleaned = clean_ranges(out, [part], schema=rules, history=history)
            rows += cleaned.rows
            rejected += cleaned.rejected
            history = cleaned.result.history
    order = [(row["timestamp"], row["sensor_id"]) for row in rows]
    assert [row for _, row in sorted(zip(order, rows, strict=True), key=lambda each: each[0])] == (
        whole.rows
    )
    assert rejected == whole.rejected
    assert json.loads(history or "null") == json.loads(whole.result.history or "null")


def test_a_quarantined_file_is_not_looked_back_at(tmp_path: Path) -> None:
    bad = csv(*(f"{reading(second)};9" for second in range(60_000)), reading(70_000))
    good = csv(reading(1), reading(2), reading(3))
    cleaned = clean(tmp_path, [bad, good], schema=RULES)
    assert cleaned.inputs[0].quarantined is not None
    assert cleaned.reasons == ["stuck_value"]


def test_rules_go_on_across_the_blocks_in_which_a_file_is_read(tmp_path: Path) -> None:
    lines = [reading(second, value=f"{abs(second // 3 % 80 - 40)}") for second in range(30_000)]
    cleaned = clean(tmp_path, [csv(*lines)], schema=RULES)
    assert {row["reason"] for row in cleaned.rejected} == {"stuck_value"}
    assert [row["line"] - 2 for row in cleaned.rejected] == list(range(2, 30_000, 3))
    assert cleaned.rejected[0]["raw"] == lines[2]


def test_what_other_rules_knew_is_of_no_use(tmp_path: Path) -> None:
    one = clean(tmp_path / "1", [csv(reading(1), reading(2))], schema=RULES)
    rules = {"fields": [RULES["fields"][0], RULES["fields"][1] | {"name": "pm"}]}
    (tmp_path / "2").mkdir()
    path = tmp_path / "2" / "a.csv"
    path.write_text(csv(reading(3)))
    part = Part("a.csv", path, 0, path.stat().st_size, 0)
    history = one.result.history
    assert clean_ranges(tmp_path / "out", [part], schema=RULES, history=history).rejected
    other = clean_ranges(tmp_path / "3", [part], schema=rules, history=history)
    assert other.rejected == []


def test_only_so_many_series_are_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plain, "MOST_SERIES", 3)
    monkeypatch.setattr("edge_etl_job.engine_native.MOST_SERIES", 3)
    lines = [reading(second, f"s{second % 20}", "1") for second in range(60)]
    history = json.loads(clean(tmp_path, [csv(*lines)], schema=RULES).result.history or "")
    assert [key for key, _ in history["series"]] == [["s17"], ["s18"], ["s19"]]


def test_what_is_known_moves_forward_with_the_ledger(tmp_path: Path) -> None:
    pi = Pi.at(tmp_path)
    rules = RULES | {"fields": RULES["fields"][:2]}
    pi.write("a.csv", csv(reading(1), reading(2)))
    assert pi.deliver("20190304-000001", schema=rules).rows_rejected == 0
    pi.write("a.csv", csv(reading(1), reading(2), reading(3)))
    pi.write("b.csv", csv(reading(4), reading(5, value="2")))
    summary = pi.deliver("20190304-000002", schema=rules)
    assert summary.rejected_by_reason == {"stuck_value": 2}
    # What was refused by what came before cannot be judged alone.
    summary = pi.deliver("20190304-000003", schema=rules, replay="again")
    assert (summary.rows_read, summary.rows_clean) == (0, 0)


def test_rules_that_are_not_declared_keep_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{HEADER}\n{reading(1)}\n")
    part = Part("a.csv", path, 0, path.stat().st_size, 0)
    assert clean_ranges(tmp_path / "out", [part]).result.history is None
