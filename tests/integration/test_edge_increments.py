"""What a run reads of files that changed in every way that files change; with each run, once."""

import gzip
import os
import shutil
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import Mock

import pytest
from edge_etl_job.ledger import Ledger

from tests.support.edge import HEADER, Pi, csv, reading

LONG = [reading(second, value=f"{second / 100}") for second in range(60_000)]
"""More than a MiB of lines: the digests of such a file have several parts."""


@pytest.fixture
def pi(tmp_path: Path) -> Pi:
    return Pi.at(tmp_path)


def runs(pi: Pi, *, settle: int = 0) -> str:
    """Do the next run; return what the manifest says of each file, by name."""
    run = f"20190305-{len(pi.manifests()):06}"
    summary = pi.deliver(run, source={"settleSeconds": settle})
    assert summary.succeeded
    lines = []
    for each in pi.manifests()[-1].inputs:
        line = f"{each.path} {each.status} {each.rows_read}"
        lines.append(line + (f": {each.message}" if each.message else ""))
    return "\n".join(lines)


def seconds(pi: Pi) -> list[int]:
    """Return the seconds of the day of all delivered rows, as they were delivered."""
    return [
        each["timestamp"].hour * 3600 + each["timestamp"].minute * 60 + each["timestamp"].second
        for each in pi.delivered()
    ]


def test_a_file_is_read_once(pi: Pi) -> None:
    pi.write("a.csv", csv(reading(1)))
    assert runs(pi) == "a.csv read 1"
    assert runs(pi) == ""
    assert seconds(pi) == [1]


def test_what_was_found_unchanged_is_not_compared_again_until_something_changes(
    pi: Pi, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pi.write("a.csv", csv(reading(1)))
    pi.write("empty.csv", "")
    assert [runs(pi), runs(pi)] == ["a.csv read 1", ""]
    compared = Mock(wraps=Ledger.delivered)
    monkeypatch.setattr(Ledger, "delivered", lambda ledger, wanted: compared(ledger, wanted))
    assert [runs(pi), runs(pi)] == ["", ""]
    assert compared.call_count == 0
    with path.open("a") as file:
        file.write(f"{reading(2)}\n")
    pi.write("b.csv", csv(reading(3)))
    assert runs(pi) == "a.csv read 1\nb.csv read 1"
    assert compared.call_count == 1
    assert seconds(pi) == [1, 2, 3]


def test_a_line_that_waits_is_read_when_its_file_has_settled_and_nothing_else_changed(
    pi: Pi,
) -> None:
    pi.write("a.csv", csv(reading(1)) + reading(2))
    assert [runs(pi, settle=3600) for _ in range(4)] == ["a.csv read 1", "", "", ""]
    assert runs(pi) == "a.csv read 1"
    assert seconds(pi) == [1, 2]


@pytest.mark.parametrize("before", [["x"], LONG], ids=["short", "long"])
def test_of_an_appended_file_only_the_new_lines_are_read(pi: Pi, before: list[str]) -> None:
    path = pi.write("a.csv", csv(*before))
    runs(pi)
    with path.open("a") as file:
        file.write(f"{reading(70_000)}\nbroken\n")
    assert runs(pi) == "a.csv read 2"
    manifest = pi.manifests()[-1]
    assert manifest.bytes_read == len(reading(70_000)) + len("\nbroken\n")
    assert seconds(pi)[-1] == 70_000
    row = pi.delivered("rejected")[-1]
    assert (row["line"], row["offset"]) == (len(before) + 3, path.stat().st_size - 7)
    assert runs(pi) == ""


def test_many_appends_go_on_where_they_were(pi: Pi) -> None:
    path = pi.write("a.csv", csv())
    for part in range(0, 60_000, 10_000):
        with path.open("a") as file:
            file.write("".join(f"{line}\n" for line in LONG[part : part + 10_000]))
        assert runs(pi) == "a.csv read 10000"
    assert seconds(pi) == list(range(60_000))


def test_the_last_line_of_a_young_file_waits_for_its_newline(pi: Pi) -> None:
    path = pi.write("a.csv", csv(reading(1)) + reading(2)[:-3])
    assert runs(pi, settle=3600) == "a.csv read 1"
    assert runs(pi, settle=3600) == ""
    with path.open("a") as file:
        file.write(reading(2)[-3:] + "\n")
    assert runs(pi, settle=3600) == "a.csv read 1"
    assert seconds(pi) == [1, 2]


def test_a_young_file_without_any_newline_waits(pi: Pi) -> None:
    path = pi.write("a.csv", HEADER[:5])
    assert runs(pi, settle=3600) == ""
    path.write_text(csv(reading(1)))
    assert runs(pi, settle=3600) == "a.csv read 1"


def test_the_last_line_of_a_settled_file_is_read_without_newline(pi: Pi) -> None:
    path = pi.write("a.csv", csv(reading(1)) + reading(2))
    assert runs(pi, settle=3600) == "a.csv read 1"
    os.utime(path, (0, 0))
    assert runs(pi, settle=3600) == "a.csv read 1"
    with path.open("a") as file:
        file.write("\n" + reading(3) + "\n")
    assert runs(pi) == "a.csv read 1"
    assert seconds(pi) == [1, 2, 3]
    assert pi.delivered("rejected") == []


def test_a_last_line_that_grows_after_all_is_read_again_as_a_whole(pi: Pi) -> None:
    path = pi.write("a.csv", csv(reading(1)) + reading(2)[:12])
    runs(pi)
    with path.open("a") as file:
        file.write(reading(2)[12:] + "\n")
    assert runs(pi) == "a.csv read 1"
    assert seconds(pi) == [1, 2]
    assert [row["line"] for row in pi.delivered("rejected")] == [3]


def test_a_renamed_file_is_known_and_goes_on(pi: Pi) -> None:
    path = pi.write("a.csv", csv(reading(1)))
    runs(pi)
    renamed = path.rename(pi.source / "b.csv")
    assert runs(pi) == "b.csv read 0: delivered before as a.csv"
    with renamed.open("a") as file:
        file.write(reading(2) + "\n")
    assert runs(pi) == "b.csv read 1"
    assert seconds(pi) == [1, 2]


def test_rotation_by_renaming_delivers_each_line_once(pi: Pi) -> None:
    path = pi.write("a.csv", csv(reading(1)))
    runs(pi)
    with path.open("a") as file:
        file.write(reading(2) + "\n")
    path.rename(pi.source / "a.csv.1.csv")
    pi.write("a.csv", csv(reading(3)))
    assert runs(pi) == (
        "a.csv read 1: another content than before, read from its start\n"
        f"a.csv.1.csv read 1: continued from byte {len(csv(reading(1)))}, "
        "delivered before as a.csv"
    )
    (pi.source / "a.csv.1.csv").rename(pi.source / "a.csv.2.csv")
    path.rename(pi.source / "a.csv.1.csv")
    pi.write("a.csv", csv(reading(4)))
    runs(pi)
    assert runs(pi) == ""
    assert sorted(seconds(pi)) == [1, 2, 3, 4]


def test_a_log_that_is_rotated_and_then_compressed_is_delivered_once(pi: Pi) -> None:
    source = {"include": ["*.csv", "*.csv.*"], "settleSeconds": 0}
    log, old = pi.write("x.csv", csv(reading(0))), pi.source / "x.csv.1"
    for day in range(1, 4):
        pi.deliver(f"20190305-00{day}000", source=source)
        with log.open("a") as file:
            file.write(reading(2 * day - 1) + "\n")
        for number in (2, 1):  # logrotate with delaycompress
            older = pi.source / f"x.csv.{number}.gz"
            if older.exists():
                older.rename(pi.source / f"x.csv.{number + 1}.gz")
        if old.exists():
            (pi.source / "x.csv.1.gz").write_bytes(gzip.compress(old.read_bytes()))
        log.rename(old)
        log = pi.write("x.csv", csv(reading(2 * day)))
        pi.deliver(f"20190305-00{day}001", source=source)
        if day == 3:
            (pi.source / "x.csv.1.gz").write_bytes(gzip.compress(old.read_bytes()))
            old.unlink()
            pi.deliver("20190305-005000", source=source)
    assert sorted(seconds(pi)) == list(range(7))


def test_rotation_by_copying_and_truncating_delivers_each_line_once(pi: Pi) -> None:
    path = pi.write("a.csv", csv(reading(1), reading(2)))
    runs(pi)
    with path.open("a") as file:
        file.write(reading(3) + "\n")
    shutil.copyfile(path, pi.source / "a.1.csv")
    with path.open("r+") as file:
        file.truncate()
        file.write(csv(reading(4)))
    runs(pi)
    assert runs(pi) == ""
    assert Counter(seconds(pi)) == Counter([1, 2, 3, 4])


@pytest.mark.parametrize("lines", [[reading(5)], [reading(s) for s in range(5, 50)]])
def test_a_file_written_anew_is_read_from_its_start(pi: Pi, lines: list[str]) -> None:
    path = pi.write("a.csv", csv(*(reading(second) for second in range(5))))
    runs(pi)
    path.write_text(csv(*lines))
    assert runs(pi) == (
        f"a.csv read {len(lines)}: another content than before, read from its start"
    )
    assert sorted(seconds(pi)) == list(range(5 + len(lines)))


def test_a_changed_middle_of_the_same_size_is_seen(pi: Pi) -> None:
    path = pi.write("a.csv", csv(reading(1), reading(2)))
    runs(pi)
    path.write_text(csv(reading(1), reading(3)))
    assert "another content than before" in runs(pi)
    assert sorted(set(seconds(pi))) == [1, 2, 3]


def test_a_changed_middle_of_a_large_file_is_seen_when_another_file_took_its_place(pi: Pi) -> None:
    lines = [reading(second, "some-sensor-with-a-long-name" * 2) for second in range(40_000)]
    path = pi.write("a.csv", csv(*lines))
    assert path.stat().st_size > 3 << 20
    runs(pi)
    lines[20_000] = lines[20_000].replace("1.5", "2.5")
    pi.write("another", csv(*lines)).replace(path)
    assert runs(pi).startswith("a.csv read 40000: another content than before")


def test_the_same_bytes_under_another_name_are_counted_and_not_read(pi: Pi) -> None:
    content = csv(*LONG)
    pi.write("a.csv", content)
    pi.write("b.csv", content)
    assert runs(pi) == "a.csv read 60000\nb.csv read 0: the same bytes as a.csv"
    pi.write("c.csv", content)
    assert runs(pi).startswith("c.csv read 0: delivered before as ")
    assert runs(pi) == ""
    assert len(seconds(pi)) == 60_000


def test_a_copy_of_what_was_overwritten_is_still_known(pi: Pi) -> None:
    path = pi.write("a.csv", csv(reading(1)))
    backup = path.read_bytes()
    runs(pi)
    path.write_text(csv(reading(2)))
    runs(pi)
    pi.write("restored.csv", backup)
    assert runs(pi) == "restored.csv read 0: delivered before"
    path.write_bytes(backup)
    assert runs(pi).startswith("a.csv read 0: delivered before")
    assert sorted(seconds(pi)) == [1, 2]


def test_a_touched_or_restored_file_is_not_read_again(pi: Pi) -> None:
    path = pi.write("a.csv", csv(reading(1)))
    runs(pi)
    os.utime(path, (0, 0))
    assert runs(pi) == ""
    shutil.copyfile(path, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)
    assert runs(pi) == ""
    assert seconds(pi) == [1]


def test_a_quarantined_file_is_reported_each_time_and_read_when_it_changes(pi: Pi) -> None:
    path = pi.write("a.csv", "time;sensor_id;P1\n")
    expected = (
        "a.csv quarantined 0: missing_column: no column for timestamp (timestamp); "
        "columns seen: time, sensor_id, P1"
    )
    assert runs(pi) == expected
    assert runs(pi) == expected
    path.write_text(csv(reading(1)))
    assert runs(pi) == "a.csv read 1"


def test_a_quarantined_file_is_read_when_the_schema_changes(pi: Pi) -> None:
    pi.write("a.csv", "time;sensor_id;P1\n" + reading(1))
    runs(pi)
    schema = {"timestamp": {"from": ["timestamp", "time"]}}
    summary = pi.deliver("20190305-000001", schema=schema)
    assert (summary.rows_clean, summary.files_quarantined) == (1, 0)
    assert pi.deliver("20190305-000002", schema=schema).reason == "NothingNew"


def test_what_is_delivered_is_not_read_again_when_the_schema_changes(pi: Pi) -> None:
    pi.write("a.csv", csv(reading(1)))
    runs(pi)
    summary = pi.deliver("20190305-000001", schema={"nullValues": ["-"]})
    assert (summary.reason, summary.rows_read) == ("NothingNew", 0)


def test_a_bad_increment_is_quarantined_and_the_delivered_part_stays(pi: Pi) -> None:
    path = pi.write("a.csv", csv(reading(1)))
    runs(pi)
    wide = "".join(f"{reading(second)};9\n" for second in range(10, 30))
    with path.open("a") as file:
        file.write(wide)
    expected = "a.csv quarantined 0: wrong_field_count: 4 fields in rows, 3 in the header"
    assert runs(pi) == expected
    assert runs(pi) == expected
    path.write_text(csv(reading(1)) + wide.replace(";9", ""))
    assert runs(pi) == "a.csv read 20"
    assert sorted(seconds(pi)) == [1, *range(10, 30)]


def test_copies_share_the_fate_of_the_file_that_is_read_for_them(pi: Pi) -> None:
    for name in ("a.csv", "b.csv"):
        pi.write(name, "time;sensor_id;P1\n" + reading(1))
    assert [line.split(":")[0] for line in runs(pi).split("\n")] == [
        "a.csv quarantined 0",
        "b.csv quarantined 0",
    ]
    schema = {"timestamp": {"from": ["time"]}}
    assert pi.deliver("20190305-000001", schema=schema).rows_clean == 1


def test_a_file_that_may_not_be_read_waits_and_the_others_go_on(pi: Pi) -> None:
    pi.write("a.csv", csv(reading(1)))
    vanished = pi.write("b.csv", csv(reading(2)))
    vanished.unlink()
    vanished.symlink_to(pi.source / "a.csv")
    assert runs(pi) == "a.csv read 1"


def test_a_pi_whose_clock_is_not_set_knows_the_time_of_its_run(pi: Pi) -> None:
    pi.write("a.csv", csv(reading(1), "2019-03-06T00:00:00;a;1", "2019-03-07T00:00:00;a;1"))
    boot = datetime(1970, 1, 1, tzinfo=UTC)
    summary = pi.deliver("20190306-000000", clock=lambda: boot)
    assert (summary.rows_clean, summary.rejected_by_reason) == (2, {"timestamp_in_future": 1})


def test_a_changed_separator_or_header_is_a_change_of_content(pi: Pi) -> None:
    path = pi.write("a.csv", csv(reading(1)))
    runs(pi)
    path.write_text(csv(reading(1), reading(2)).replace(";", ","))
    assert runs(pi) == "a.csv read 2: another content than before, read from its start"
