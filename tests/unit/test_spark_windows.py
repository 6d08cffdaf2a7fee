"""On which days windows begin, and which days' rows they hold."""

import pytest
from edge_etl_spark.windows import covered_days, start_days, window_seconds
from hypothesis import given
from hypothesis import strategies as st

HOUR, DAY = 3600, 86400


@pytest.mark.parametrize(
    ("duration", "seconds"), [("90s", 90), ("15m", 900), ("1h", 3600), ("7d", 604800)]
)
def test_a_duration_is_read(duration: str, seconds: int) -> None:
    assert window_seconds(duration) == seconds


@pytest.mark.parametrize("window", [60, HOUR, 6 * HOUR, DAY])
def test_windows_that_divide_a_day_stay_on_it(window: int) -> None:
    assert start_days("2026-03-01", window) == {"2026-03-01"}
    assert covered_days("2026-03-01", window) == {"2026-03-01"}


def test_a_window_of_seven_hours_crosses_midnight() -> None:
    # 2026-03-01 is day 20513 since 1970: 20513 * 24 hours are 70330 * 7 + 2.
    assert start_days("2026-03-01", 7 * HOUR) == {"2026-02-28", "2026-03-01"}
    assert covered_days("2026-03-01", 7 * HOUR) == {"2026-03-01", "2026-03-02"}


def test_a_week_begins_on_thursday_like_1970() -> None:
    assert start_days("2026-03-01", 7 * DAY) == {"2026-02-26"}
    assert min(covered_days("2026-02-26", 7 * DAY)) == "2026-02-26"
    assert max(covered_days("2026-02-26", 7 * DAY)) == "2026-03-04"


def test_days_before_1970_are_days_too() -> None:
    assert start_days("1969-12-31", 7 * DAY) == {"1969-12-25"}


@given(
    st.dates().map(lambda day: day.isoformat()).filter(lambda day: "0010" < day < "9980"),
    st.integers(1, 40 * DAY),
)
def test_a_day_is_covered_by_the_windows_that_begin_for_it(day: str, window: int) -> None:
    assert any(day in covered_days(start, window) for start in start_days(day, window))
