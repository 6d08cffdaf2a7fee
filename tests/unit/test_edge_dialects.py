"""One content in every way in which CSV files are written gives the same rows."""

import bz2
import gzip
import lzma
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.edge import Pi, clean, csv, reading

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

UCI = Path(__file__).parents[1] / "data" / "uci-air-quality"
FIELDS = {
    "co": ["CO(GT)", "CO_GT"],
    "nmhc": ["NMHC(GT)", "NMHC_GT"],
    "c6h6": ["C6H6(GT)", "C6H6_GT"],
    "nox": ["NOx(GT)", "NOx_GT"],
    "t": ["T"],
    "rh": ["RH"],
    "ah": ["AH"],
}
AIR: dict[str, Any] = {
    "schema": {
        "timestamp": {
            "join": ["Date", "Time"],
            "formats": ["%Y-%m-%d %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H.%M.%S"],
            "notBefore": "2000-01-01T00:00:00Z",
        },
        "fields": [{"name": name, "from": each, "type": "double"} for name, each in FIELDS.items()],
        "nullValues": ["", "-200", "NaN"],
    },
    "key": ["timestamp"],
    "features": {"groupBy": []},
}
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd.compress,
}


def test_each_dialect_of_the_same_data_gives_the_same_rows(tmp_path: Path) -> None:
    found = {}
    for path in sorted(UCI.glob("*.csv")):
        cleaned = clean(tmp_path / path.stem, [path.read_bytes()], **AIR)
        assert cleaned.rejected == []
        found[path.stem] = cleaned.rows
    assert len(found) == 4
    assert [len(rows) for rows in found.values()] == [40] * 4
    assert all(rows == found["semicolons"] for rows in found.values())


@pytest.mark.parametrize("compression", PACKERS)
def test_compressed_files_are_read_as_what_they_hold(compression: str, tmp_path: Path) -> None:
    content = csv(reading(1), "broken", reading(2)).encode()
    plain = clean(tmp_path / "plain", [content])
    packed = clean(tmp_path / "packed", [PACKERS[compression](content)])
    assert (packed.rows, packed.rejected) == (plain.rows, plain.rejected)


@pytest.mark.parametrize("compression", PACKERS)
def test_a_damaged_archive_is_quarantined(compression: str, tmp_path: Path) -> None:
    content = csv(*(reading(second) for second in range(20_000))).encode()
    packed = PACKERS[compression](content)
    (result,) = clean(tmp_path, [packed[: len(packed) // 2]]).inputs
    assert result.quarantined is not None
    assert result.quarantined.reason == "damaged_archive"


def test_an_archive_that_only_grows_is_quarantined(tmp_path: Path) -> None:
    pi = Pi.at(tmp_path)
    pi.write("a.csv.bz2", bz2.compress(b"timestamp;sensor_id;P1\n" + b"\n" * (70 << 20)))
    pi.deliver("20190401-000000")
    (manifest,) = pi.manifests()
    (message,) = [each.message or "" for each in manifest.inputs]
    assert message.startswith("archive_too_large: it expands to more than 1000 times")


def test_a_log_that_is_compressed_after_its_rotation_gives_no_row_twice(tmp_path: Path) -> None:
    pi = Pi.at(tmp_path)
    first = csv(reading(1), reading(2)).encode()
    path = pi.write("a.csv", first)
    pi.deliver("20190401-000000")
    path.unlink()
    pi.write("a.csv.gz", gzip.compress(first + reading(3).encode() + b"\n"))
    pi.deliver("20190401-000001")
    assert len(pi.delivered()) == 3
    (seen,) = pi.manifests()[1].inputs
    assert (seen.rows_read, seen.dialect) == (1, "unpacked from gz")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_what_is_appended_is_read_as_the_file_began(
    encoding: str, ending: str, tmp_path: Path
) -> None:
    pi = Pi.at(tmp_path)
    over: dict[str, Any] = {"source": {"settleSeconds": 0}}
    lines = [reading(second, "Küche", f"{second},5") for second in range(1, 5)]
    text = ending.join(["timestamp;sensor_id;P1", *lines, ""])
    encoded = text.encode(encoding)
    cut = len(ending.join(["timestamp;sensor_id;P1", *lines[:2], ""]).encode(encoding))
    pi.write("a.csv", encoded[:cut])
    pi.deliver("20190401-000000", **over)
    pi.write("a.csv", encoded + "broken".encode(encoding))
    pi.deliver("20190401-000001", **over)
    rows = [(row["sensor_id"], row["pm10"]) for row in pi.delivered()]
    assert rows == [("Küche", second + 0.5) for second in range(1, 5)]
    (rejected,) = pi.delivered("rejected")
    assert (rejected["line"], rejected["offset"]) == (6, len(encoded))


CELLS = st.text("abcü;,|\t\"' 07.-#€", max_size=8)


@given(
    st.lists(st.tuples(st.integers(0, 86_399), CELLS, st.integers(-999, 99_999)), max_size=12),
    st.sampled_from(";,\t|"),
    st.sampled_from(".,"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.integers(0, 2),
    st.sampled_from(["", "# banner\n", "Station\n\n"]),
)
@settings(max_examples=60, deadline=None)
def test_both_engines_read_any_dialect_alike(
    rows: list[tuple[int, str, int]],
    delimiter: str,
    decimal: str,
    encoding: str,
    ending: str,
    extra: int,
    banner: str,
) -> None:
    def quoted(cell: str) -> str:
        return '"' + cell.replace('"', '""') + '"'

    lines = [delimiter.join(["timestamp", "sensor_id", "P1"]) + delimiter * extra]
    for second, name, value in rows:
        time = reading(second).split(";")[0]
        number = f"{value / 100:.2f}".replace(".", decimal)
        lines.append(delimiter.join([time, quoted(name), quoted(number)]) + delimiter * extra)
    content = (banner + "\n".join([*lines, ""])).replace("\n", ending)
    declared = {"decimal": decimal, "delimiter": delimiter}
    if delimiter == decimal == ",":
        declared.pop("delimiter")
    with tempfile.TemporaryDirectory() as work:
        cleaned = clean(
            Path(work), [content.encode(encoding)], source={"csv": declared}, key=["timestamp"]
        )
    (result,) = cleaned.inputs
    assert result.quarantined is None
    wanted = [row for row in rows if 0 <= row[2] / 100 <= 999.8]
    assert result.rows_clean + result.rows_duplicate <= len(rows)
    if all(name.strip() for _, name, _ in rows):
        assert result.rows_clean + result.rows_duplicate == len(wanted)


def test_a_comma_between_columns_is_none_in_a_number_without_quotes(tmp_path: Path) -> None:
    time = "2019-03-04T00:{:02}:00Z".format
    lines = [
        "timestamp,a,b,c",
        f'{time(0)},21,40,"3,5"',
        f'{time(1)},21,39,"3,5"',
        f'{time(2)},"21,5",39,"3,5"',
        f'{time(3)},21,38,"3,5"',
        f"{time(4)},21,40,5,6",
        f'{time(5)},21,38,"3,5"',
    ]
    fields = [{"name": name, "type": "double"} for name in "abc"]
    over: dict[str, Any] = {"source": {"csv": {"decimal": ","}}, "schema": {"fields": fields}}
    content = "\n".join([*lines, ""])
    cleaned = clean(tmp_path, [content], **over, key=["timestamp"], features={"groupBy": []})
    values = [(row["a"], row["b"], row["c"]) for row in cleaned.rows]
    whole = [(21, number, 3.5) for number in (40, 39, 39, 38, 38)]
    assert values == [*whole[:2], (21.5, 39, 3.5), *whole[3:]]
    assert [row["line"] for row in cleaned.rejected] == [6]
    assert cleaned.reasons == ["wrong_field_count"]
