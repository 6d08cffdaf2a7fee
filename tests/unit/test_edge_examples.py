"""Where most rows are rejected, the node's message shows one of them."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.edge import Pi, csv, reading


@pytest.fixture
def pi(tmp_path: Path) -> Pi:
    return Pi.at(tmp_path)


def message(pi: Pi, **over: Any) -> str:
    return pi.deliver("20190305-000000", **over).message


def test_a_decimal_comma_is_shown_with_its_line(pi: Pi) -> None:
    rows = [reading(1), *(reading(at, value="4,5") for at in range(2, 20))]
    pi.write("a.csv", csv(*rows))
    said = message(pi, source={"csv": {"decimal": "."}})
    assert "such as invalid_value in line 3 of a.csv: pm10: '4,5' is not a double" in said


def test_the_most_frequent_reason_is_shown(pi: Pi) -> None:
    pi.write("a.csv", csv("broken", *(reading(at, value="1500") for at in range(9))))
    assert "such as out_of_range in line 3 of a.csv: pm10: 1500.0 is above 999.8" in message(pi)


def test_few_rejected_rows_are_only_counted(pi: Pi) -> None:
    pi.write("a.csv", csv(*(reading(at) for at in range(9)), "broken"))
    assert message(pi) == "9 of 10 new rows are clean, 1 rejected, 0 duplicates"


def test_what_is_appended_is_shown_by_its_line_in_the_file(pi: Pi) -> None:
    pi.write("a.csv", csv(*(reading(at) for at in range(9))))
    pi.deliver("20190305-000000")
    with (pi.source / "a.csv").open("a") as file:
        file.write("2019-03-04T01:00:00;a;x\n")
    said = pi.deliver("20190305-000001").message
    assert "such as invalid_value in line 11 of a.csv: pm10: 'x' is not a double" in said


def test_a_run_that_is_refused_shows_one_too(pi: Pi) -> None:
    pi.write("a.csv", csv(*(reading(at, value="1500") for at in range(9))))
    said = message(pi, quality={"maxRejectedRatio": "10%"})
    assert "reads these rows again; such as out_of_range in line 2 of a.csv" in said
