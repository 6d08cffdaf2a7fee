"""Times in every format: both engines read them alike, and never guess."""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.edge import Part, clean, clean_ranges, csv

PATTERNS = [
    "ISO8601",
    "EpochSeconds",
    "EpochMillis",
    "EpochNanos",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
    "%y/%m/%d %H:%M:%S",
    "%Y%m%d%H%M%S%f",
    "%d.%m.%y %I:%M %p",
    "%a %d %B %Y %H%M %z",
]
ZONES = ["UTC", "Europe/London", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]

times = st.datetimes(datetime(1969, 1, 1), datetime(2040, 1, 1))
written = st.builds(
    lambda time, form, zone, extra: _written(time, form) + zone + extra,
    times,
    st.sampled_from(PATTERNS),
    st.sampled_from(["", "", "", "Z", "+0530", "-01:00"]),
    st.sampled_from(["", "", "", "0", ",5", " "]),
)
scraps = st.text("0123456789/-:.,+TZ AMP", max_size=24)


def _written(time: datetime, form: str) -> str:
    if form == "ISO8601":
        return time.isoformat()
    if form.startswith("Epoch"):
        return str(
            int(time.replace(tzinfo=UTC).timestamp() * {"S": 1, "M": 1e3, "N": 1e9}[form[5]])
        )
    return time.strftime(form.replace("%z", "+0100"))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(written | scraps, min_size=1, max_size=12),
    st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=4, unique=True),
    st.sampled_from(ZONES),
)
def test_both_engines_read_the_same_times(cells: list[str], formats: list[str], zone: str) -> None:
    lines = [f'"{cell}";{number};1' for number, cell in enumerate(cells)]
    rules = {"formats": formats, "timeZone": zone, "notBefore": None}
    with TemporaryDirectory() as folder:
        clean(Path(folder), [csv(*lines)], schema={"timestamp": rules})


@pytest.mark.parametrize(
    ("form", "time", "zone", "expected"),
    [
        ("EpochSeconds", "2147483648", "UTC", "2038-01-19T03:14:08Z"),
        ("EpochSeconds", "0", "Europe/London", "1970-01-01T00:00:00Z"),
        ("EpochMillis", "-1", "UTC", "1969-12-31T23:59:59.999Z"),
        ("%d/%m/%y %H:%M", "19/01/38 03:14", "Europe/London", "2038-01-19T03:14:00Z"),
        ("%d/%m/%y %H:%M", "19/07/38 03:14", "Europe/London", "2038-07-19T02:14:00Z"),
        ("%d/%m/%Y %H:%M", "25/03/2018 01:30", "Europe/London", None),
        ("%d/%m/%Y %H:%M", "28/10/2018 01:30", "Europe/London", None),
        ("%d/%m/%Y %H:%M %z", "28/10/2018 01:30 +0100", "Europe/London", "2018-10-28T00:30:00Z"),
        ("%d/%m/%Y %H:%M", "29/02/2016 00:00", "UTC", "2016-02-29T00:00:00Z"),
        ("%d/%m/%Y %H:%M", "29/02/2100 00:00", "UTC", None),
        ("%d/%m/%Y %I:%M %p", "01/02/2018 12:30 AM", "UTC", "2018-02-01T00:30:00Z"),
    ],
)
def test_times_of_other_formats(
    form: str, time: str, zone: str, expected: str | None, tmp_path: Path
) -> None:
    rules = {"formats": [form], "timeZone": zone, "notBefore": None}
    cleaned = clean(
        tmp_path, [csv(f"{time};a;1")], now=datetime(2050, 1, 1, tzinfo=UTC),
        schema={"timestamp": rules},
    )  # fmt: skip
    found = [row["timestamp"] for row in cleaned.rows]
    assert found == ([] if expected is None else [datetime.fromisoformat(expected)])


def test_what_earlier_runs_delivered_shows_the_order_too(tmp_path: Path) -> None:
    formats = ["%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"]
    content = csv("31/12/2018 18:00;a;1", "01/02/2018 18:00;a;2")
    path = tmp_path / "a.csv"
    path.write_text(content)
    out = tmp_path / "out"
    out.mkdir()
    part = Part("a.csv", path, content.index("01/02"), len(content), 2)
    cleaned = clean_ranges(out, [part], schema={"timestamp": {"formats": formats}})
    assert [row["timestamp"] for row in cleaned.rows] == [datetime(2018, 2, 1, 18, tzinfo=UTC)]


def test_the_order_is_each_files_own(tmp_path: Path) -> None:
    contents = [
        csv("31/12/2018 18:00;a;1", "01/02/2018 18:00;a;2"),
        csv("12/31/2018 18:00;b;1", "01/02/2018 18:00;b;2"),
        csv("01/02/2018 18:00;c;1"),
    ]
    formats = ["%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M"]
    cleaned = clean(tmp_path, contents, schema={"timestamp": {"formats": formats}})
    months = {row["sensor_id"]: row["timestamp"].month for row in cleaned.rows if row["pm10"] == 2}
    assert months == {"a": 2, "b": 1}
    assert cleaned.reasons == ["ambiguous_timestamp"]
