"""docs/cleaning.md says what the engine does: each of its examples is run."""

from pathlib import Path

import pytest
from edge_etl_job import reasons

from tests.support.cleaning_page import PAGE, Example, examples
from tests.support.edge import clean


@pytest.mark.parametrize("example", examples(), ids=lambda example: example.title)
def test_each_example_becomes_what_the_page_says(example: Example, tmp_path: Path) -> None:
    cleaned = clean(tmp_path, [example.content], **example.over)
    (result,) = cleaned.inputs
    if example.quarantined is not None:
        assert result.quarantined is not None
        assert f"{result.quarantined.reason}: {result.quarantined.message}" == example.quarantined
        return
    assert result.quarantined is None
    assert cleaned.notes == (example.note,)
    outcomes = [outcome.split(":")[0] for outcome in example.outcomes.values()]
    assert {row["line"]: f"`{row['reason']}`" for row in cleaned.rejected} == {
        line: outcome for line, outcome in example.outcomes.items() if outcome.startswith("`")
    }
    assert result.rows_clean == outcomes.count("clean") == len(cleaned.rows)
    assert result.rows_duplicate == outcomes.count("duplicate")
    assert len(outcomes) == result.rows_read + outcomes.count("no record")
    first = min(example.outcomes)
    assert sorted(example.outcomes) == list(range(first, example.content.count(b"\n") + 1))


@pytest.mark.parametrize(
    ("title", "values"),
    [
        (
            "Good rows",
            {"pm10": [8.45, 85.0, 0.45, None], "place": ["Aberdeen", 'the "old" town; upstairs']},
        ),
        ("Longs and booleans", {"ticks": [9007199254740993, 7], "raining": [True, False]}),
        (
            "Numbers that mean no value",
            {"pm10": [None], "ticks": [1, None, 2], "sensor_id": ["-200.0", "a"]},
        ),
        ("SetNull keeps the row", {"pm10": [None]}),
        ("Decimal comma", {"pm10": [8.45]}),
        ("Separator and decimal comma", {"pm10": [8.45, 0.5, 7.0]}),
        ("Thousands", {"pressure": [1013.25, 101325.0, 1013.0]}),
        ("Windows-1252", {"place": ["Aberdeen", "Köln, 20 °C"]}),
    ],
)
def test_clean_values_are_those_that_the_page_names(
    title: str, values: dict[str, list[object]], tmp_path: Path
) -> None:
    (example,) = [each for each in examples() if each.title == title]
    cleaned = clean(tmp_path, [example.content], **example.over)
    for field, expected in values.items():
        assert list(dict.fromkeys(row[field] for row in cleaned.rows)) == expected


def test_each_reason_of_a_row_or_a_file_is_on_the_page() -> None:
    known = [
        value for name, value in vars(reasons).items() if name.isupper() and isinstance(value, str)
    ]
    for_rows = [value for value in known if value.islower()]
    page = PAGE.read_text()
    assert len(for_rows) > 15
    assert [reason for reason in for_rows if f"`{reason}`" not in page] == []
