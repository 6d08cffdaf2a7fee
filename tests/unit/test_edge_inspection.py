"""What is found out of CSV files without a schema."""

from pathlib import Path

import pytest
from edge_etl_job.errors import EdgeError
from edge_etl_job.inspection import inspect
from edge_etl_job.inspection_document import InspectedColumn, Inspection


def look(tmp_path: Path, *texts: str | bytes) -> Inspection:
    files = []
    for at, text in enumerate(texts):
        files.append(tmp_path / f"{at}.csv")
        files[-1].write_bytes(text if isinstance(text, bytes) else text.encode())
    return inspect(files)


def column(of: Inspection, name: str) -> InspectedColumn:
    return next(each for each in of.columns if each.name == name)


@pytest.mark.parametrize(
    ("times", "formats"),
    [
        (("2024-05-06T07:08:09Z", "2024-05-06T07:09:09Z"), ("ISO8601",)),
        (("06.05.2024 07:08", "07.05.2024 07:08"), ("%d.%m.%Y %H:%M",)),
        (("05/14/2024 07:08 PM", "05/15/2024 07:08 AM"), ("%m/%d/%Y %I:%M %p",)),
        (("1715000000", "1715000060"), ("EpochSeconds",)),
        (("1715000000123", "1715000060123"), ("EpochMillis",)),
        (("2024-05-06", "2024-05-07"), ("%Y-%m-%d",)),
    ],
)
def test_the_format_of_times(tmp_path: Path, times: tuple[str, ...], formats: object) -> None:
    rows = "".join(f"{time},{at}.5\n" for at, time in enumerate(times))
    (found,) = look(tmp_path, f"when,value\n{rows}").times
    assert (found.columns, found.formats) == (("when",), formats)


def test_numbers_that_count_from_1970_are_times_only_where_the_column_says_so(
    tmp_path: Path,
) -> None:
    with pytest.raises(EdgeError, match="no column holds times"):
        look(tmp_path, "pulses,value\n1715000000,1\n1715000060,2\n")


def test_the_order_of_day_and_month_by_which_readings_lie_closest(tmp_path: Path) -> None:
    (found,) = look(tmp_path, "t,v\n10/03/2024 10:00,1\n11/03/2024 10:00,2\n").times
    assert (found.formats, found.ambiguous) == (("%d/%m/%Y %H:%M",), True)
    (found,) = look(tmp_path, "t,v\n10/30/2024 10:00,1\n11/03/2024 10:00,2\n").times
    assert (found.formats, found.ambiguous) == (("%m/%d/%Y %H:%M",), False)


def test_a_decimal_comma_and_what_stands_for_no_value(tmp_path: Path) -> None:
    rows = "".join(f"2024-05-06T07:08:{at:02};{at},5;n/a;\n" for at in range(20))
    found = look(tmp_path, f"time;temp;hum;none\n{rows}2024-05-06T07:09:00;-127;55,0;\n")
    temp = column(found, "temp")
    assert (temp.kind, temp.min, temp.max, temp.sentinels) == ("double", 0.5, 19.5, ("-127",))
    assert column(found, "hum").nulls == ("n/a",)
    assert column(found, "none").kind == "empty"


def test_a_file_without_a_header(tmp_path: Path) -> None:
    found = look(tmp_path, "2024-05-06T07:08:09,a,1.5\n2024-05-06T07:08:19,a,1.6\n")
    assert not found.files[0].header
    assert [each.name for each in found.columns] == ["column_2", "column_3"]


def test_who_measured_is_a_key_and_text_though_it_is_a_number(tmp_path: Path) -> None:
    rows = "".join(f"2024-05-06T07:08:{at // 2:02},{at % 2},4{at}\n" for at in range(20))
    found = look(tmp_path, f"time,sensor_id,value\n{rows}")
    assert (found.key, found.unique) == (("sensor_id",), True)
    assert column(found, "sensor_id").kind == "string"


def test_files_of_several_sensors_are_put_together(tmp_path: Path) -> None:
    found = look(
        tmp_path,
        "time,temp\n2024-05-06T07:08:09,1\n",
        "time;dust;temp\n2024-05-06T07:08:09;7,25;2,5\n",
    )
    assert [(each.name, each.min, each.max) for each in found.columns] == [
        ("temp", 1.0, 2.5),
        ("dust", 7.25, 7.25),
    ]
