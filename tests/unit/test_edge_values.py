"""Values in every spelling, and those that mean that there is none: both engines agree."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.edge import clean, reading

numbers = st.one_of(
    st.floats(width=32).map(str),
    st.integers(-300, 70_000).map(str),
    st.sampled_from(
        ["-200", "-200.0", "-2e2", "+65535", "999.9", "0x10", "1e400", "-0", ".5", "5."]
    ),
    st.text("0123456789.,+-eE naif", max_size=10),
)


def over(decimal: str, policy: str, *, required: bool) -> dict[str, Any]:
    nulls = {
        "nullValues": ["65535", "nan", "-0", "1" + decimal + "5"],
        "nullRanges": [{"min": 999.9}, {"min": 16, "max": 17}],
    }
    limits = {"min": -250, "max": 998, "required": required}
    return {
        "source": {"csv": {"decimal": decimal, "delimiter": ";"}},
        "schema": {
            "nullValues": ["", "NA", "-200"],
            "onInvalidField": policy,
            "fields": [
                {"name": "sensor_id", "type": "string"},
                {"name": "one", "type": "double", **limits, **nulls},
                {"name": "two", "from": ["one"], "type": "double"},
                {"name": "ticks", "type": "long", **limits, **nulls},
            ],
        },
    }


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(numbers, numbers), min_size=1, max_size=15),
    st.sampled_from([".", ","]),
    st.sampled_from(["RejectRow", "SetNull"]),
    st.booleans(),
    st.sampled_from(["\n", "\r\n"]),
)
def test_both_engines_read_the_same_values(
    cells: list[tuple[str, str]], decimal: str, policy: str, required: bool, ending: str
) -> None:
    lines = ["timestamp;sensor_id;ticks;one"]
    for second, (one, ticks) in enumerate(cells):
        time = reading(second).split(";")[0]
        lines.append(f"{time};a;{ticks};{one.replace('.', decimal)}")
    content = ending.join([*lines, ""])
    with TemporaryDirectory() as folder:
        clean(Path(folder), [content], **over(decimal, policy, required=required))


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_sentinel_at_the_end_of_a_line_means_null(ending: str, tmp_path: Path) -> None:
    content = ending.join(["timestamp;sensor_id;P1", reading(1, value="-200"), ""])
    fields = [
        {"name": "sensor_id", "type": "string"},
        {"name": "pm10", "from": ["P1"], "type": "double"},
    ]
    cleaned = clean(tmp_path, [content], schema={"fields": fields, "nullValues": ["-200"]})
    assert [row["pm10"] for row in cleaned.rows] == [None]
