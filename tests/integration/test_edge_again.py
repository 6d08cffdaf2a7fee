"""After a rule has changed: what was rejected is read again on request, or all of a file."""

import gzip
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from edge_etl_job.documents import Input
from edge_etl_job.engine import MOST_RANGES

from tests.support.edge import Pi, csv, reading

HIGH = reading(2, value="1500")
WIDER: dict[str, Any] = {
    "fields": [
        {"name": "sensor_id", "type": "string"},
        {"name": "pm10", "from": ["P1"], "type": "double", "min": 0, "max": 2000},
    ]
}


@pytest.fixture
def pi(tmp_path: Path) -> Pi:
    return Pi.at(tmp_path)


def run(pi: Pi, **over: Any) -> list[Input]:
    """Do the next run; return what its manifest says of each file."""
    pi.deliver(f"20190305-{len(pi.manifests()):06}", **over)
    return list(pi.manifests()[-1].inputs)


def seconds(pi: Pi) -> list[int]:
    return [row["timestamp"].minute * 60 + row["timestamp"].second for row in pi.delivered()]


def test_exactly_the_rejected_rows_are_read_again_once(pi: Pi) -> None:
    pi.write("a.csv", csv(reading(1), HIGH, "broken", reading(3)))
    pi.write("b.csv", csv(reading(4)))
    run(pi)
    assert run(pi, schema=WIDER) == []
    (again,) = run(pi, schema=WIDER, replay="first", quality={"maxRejectedRatio": "10%"})
    assert again.bytes_read == len(f"{HIGH}\nbroken\n")
    assert (again.rows_read, again.rows_clean, again.read_again) == (2, 1, True)
    assert seconds(pi) == [1, 3, 4, 2]
    first, *_, last = pi.manifests()
    assert first.schema_version != last.schema_version
    row = pi.delivered("rejected")[-1]
    assert (row["line"], row["raw"]) == (4, "broken")
    # Each request is heard once; what is still rejected can be asked for again.
    assert run(pi, schema=WIDER, replay="first") == []
    (again,) = run(pi, schema=WIDER, replay="second")
    assert (again.rows_read, again.rows_rejected) == (1, 1)


def test_what_was_rejected_is_found_in_a_file_that_was_renamed_and_grew(pi: Pi) -> None:
    path = pi.write("a.csv", csv(HIGH, reading(3)))
    run(pi)
    path = path.rename(pi.source / "b.csv")
    run(pi)
    with path.open("a") as file:
        file.write(f"{reading(4)}\n{reading(5, value='1600')}\n")
    (grown,) = run(pi)
    assert grown.rows_rejected == 1
    with path.open("a") as file:
        file.write(f"{reading(6)}\n")
    (again,) = run(pi, schema=WIDER, replay="first")
    assert (again.path, again.rows_read, again.rows_clean) == ("b.csv", 3, 3)
    assert seconds(pi) == [3, 4, 2, 5, 6]


def test_a_last_line_that_was_cut_and_goes_on_is_read_once(pi: Pi) -> None:
    path = pi.write("a.csv", csv(reading(1)) + HIGH[:12])
    assert run(pi)[0].rows_rejected == 1
    with path.open("a") as file:
        file.write(HIGH[12:] + "\n")
    (again,) = run(pi, schema=WIDER, replay="first")
    assert (again.rows_read, again.rows_clean) == (1, 1)


def test_a_copy_is_not_read_again_beside_its_original(pi: Pi) -> None:
    for name in ("a.csv", "b.csv"):
        pi.write(name, csv(reading(1), HIGH))
    run(pi)
    first, second = run(pi, schema=WIDER, replay="first")
    assert (first.rows_clean, second.rows_read, second.message) == (1, 0, "the same bytes as a.csv")
    assert seconds(pi) == [1, 2]


def test_of_a_file_that_was_written_anew_nothing_old_is_read(pi: Pi) -> None:
    path = pi.write("a.csv", csv(reading(1), HIGH, reading(3)))
    run(pi)
    path.write_text(csv(reading(7), reading(8)))
    (anew,) = run(pi, schema=WIDER, replay="first")
    assert (anew.rows_read, anew.read_again) == (2, False)
    assert seconds(pi) == [1, 3, 7, 8]


def test_a_quarantined_file_is_tried_again_and_its_delivered_part_is_not(pi: Pi) -> None:
    path = pi.write("a.csv", csv(HIGH, reading(3)))
    run(pi)
    with path.open("a") as file:
        file.writelines(f"{reading(second)};9\n" for second in range(10, 30))
    run(pi)
    (again,) = run(pi, replay="first", schema=WIDER)
    assert (again.status, again.rows_read, again.rows_clean) == ("quarantined", 1, 1)
    assert again.message == "wrong_field_count: 4 fields in rows, 3 in the header"
    assert run(pi, schema=WIDER, replay="first") == [
        Input(
            path="a.csv", bytes_read=0, rows_read=0, rows_clean=0, rows_rejected=0,
            rows_duplicate=0, status="quarantined", message=again.message,
        )
    ]  # fmt: skip
    assert seconds(pi) == [3, 2]


def test_so_many_rejected_rows_that_rows_between_them_come_again(pi: Pi) -> None:
    lines = [reading(at, value="1500" if at % 2 else "1") for at in range(3000)]
    pi.write("a.csv", csv(*lines))
    run(pi)
    (again,) = run(pi, schema=WIDER, replay="first")
    # So many ranges are kept apart; behind them all is read, which the table has already.
    rows = MOST_RANGES + 2 * (1500 - MOST_RANGES)
    assert (again.rows_read, again.rows_clean) == (rows, rows)
    assert set(seconds(pi)) == set(range(3000))


def test_without_rows_none_is_read_twice_that_could_count_twice(pi: Pi) -> None:
    lines = [reading(at, value="1500" if at % 2 else "1") for at in range(3000)]
    path = pi.write("a.csv", csv(*lines[:1500]))
    ship = {"ship": ["features"]}
    run(pi, results=ship)
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines[1500:])
    run(pi, results=ship)
    (again,) = run(pi, schema=WIDER, results=ship, replay="first")
    assert (again.rows_read, again.rows_clean) == (MOST_RANGES - 1, MOST_RANGES - 1)
    # What was left out stays out, whatever else is refused and asked for again.
    assert run(pi, schema=WIDER, results=ship, replay="second") == []


def test_rows_that_rules_about_what_came_before_refused_do_not_come_back(pi: Pi) -> None:
    # Between rows that are out of range a sensor says the same for ever.
    values = ["1500", "1", "1"] * 1000
    pi.write("a.csv", csv(*(reading(at, value=value) for at, value in enumerate(values))))
    sensor, pm10 = WIDER["fields"]
    look = {"fields": [sensor, pm10 | {"max": 1000, "stuckAfter": 1}]}
    (first,) = run(pi, schema=look)
    assert first.rejected_by_reason == {"out_of_range": 1000, "stuck_value": 1999}
    wider = {"fields": [sensor, pm10 | {"stuckAfter": 1}]}
    (again,) = run(pi, schema=wider, replay="first")
    assert (again.rows_read, again.rows_clean) == (MOST_RANGES - 1, MOST_RANGES - 1)


@pytest.mark.parametrize("appended", [False, True])
def test_files_read_by_other_rules_are_read_again_where_the_job_says_so(
    appended: bool, pi: Pi
) -> None:
    path = pi.write("a.csv", csv(reading(1), HIGH))
    run(pi)
    if appended:
        with path.open("a") as file:
            file.write(reading(3) + "\n")
        assert run(pi, schema=WIDER)[0].rows_read == 1
    (again,) = run(pi, schema=WIDER, reprocess="Changed")
    assert again.message == "read again by the rules of now"
    assert (again.rows_read, again.rows_clean, again.read_again) == (
        2 + appended,
        2 + appended,
        True,
    )
    assert run(pi, schema=WIDER, reprocess="Changed") == []
    assert len(run(pi, reprocess="Changed")) == 1


def test_a_ledger_of_an_older_version_is_taken_over(pi: Pi) -> None:
    pi.write("a.csv", csv(reading(1), HIGH))
    run(pi)
    with sqlite3.connect(pi.state / "ledger.db") as db:
        for table in ("entries", "prepared"):
            db.execute(f"ALTER TABLE {table} DROP COLUMN whole")
            db.execute(f"ALTER TABLE {table} DROP COLUMN refused")
            db.execute(f"ALTER TABLE {table} DROP COLUMN continues")
        db.execute("ALTER TABLE pending DROP COLUMN replay")
        db.execute("DROP TABLE replayed")
        db.execute("PRAGMA user_version=1")
    db.close()
    assert run(pi) == []
    assert run(pi, replay="first") == []
    assert run(pi, schema=WIDER, reprocess="Changed")[0].rows_clean == 2


def _rotated(pi: Pi, step: int) -> None:
    """Do to the node's files what step by step happens to logs."""
    log = pi.source / "a.csv"
    if step == 0:
        pi.write("a.csv", csv(*(reading(at) for at in range(20_000, 60_000))))
        pi.write("b.csv", csv(reading(1)))
        pi.write("copy.csv", csv(reading(1)))
    elif step == 1:
        with log.open("a") as file:
            file.writelines(f"{reading(at)}\n" for at in range(60_000, 80_000))
        pi.write("c.csv", "time;sensor_id;P1\n1;2;3\n")
    elif step == 2:
        log.rename(pi.source / "a.1.csv")
        pi.write("a.csv", csv(reading(80_000)))
    elif step == 3:
        old = pi.source / "a.1.csv"
        pi.write("a.2.csv.gz", gzip.compress(old.read_bytes()))
        old.unlink()
        pi.write("b.csv", csv(reading(2)))


@pytest.mark.parametrize("ship", [["features"], ["rows", "features"]])
@pytest.mark.parametrize("lost", range(1, 5))
def test_a_ledger_that_is_lost_at_any_time_costs_no_row_and_doubles_none(
    pi: Pi, lost: int, ship: list[str]
) -> None:
    for step in range(5):
        if step == lost:
            shutil.rmtree(pi.state)
        _rotated(pi, step)
        run(pi, results={"ship": ship})
    assert sum(manifest.rows_clean for manifest in pi.manifests()) == 60_003
    assert sum(row["count"] for row in pi.delivered("features")) == 60_003


def test_a_manifest_that_cannot_be_read_costs_only_what_it_tells(pi: Pi) -> None:
    pi.write("a.csv", csv(reading(1)))
    run(pi)
    pi.write("b.csv", csv(reading(2)))
    run(pi)
    (pi.job_results / "runs" / "20190305-000000" / pi.node / "manifest.json").write_bytes(b"{")
    shutil.rmtree(pi.state)
    summary = pi.deliver("20190305-000009")
    assert (summary.rows_read, summary.rows_clean) == (1, 1)
