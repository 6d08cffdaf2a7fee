"""The edge program as a process: real readings, what people get wrong, disks that refuse."""

import fcntl
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.cluster import cgroups
from tests.support.cluster.cache import REPOSITORY
from tests.support.edge import Pi, csv, reading

EXTRACT = REPOSITORY / "tests" / "data" / "air-quality"
AIR: dict[str, Any] = {
    "schema": {
        "fields": [
            {"name": "sensor_id", "type": "string", "required": True},
            {"name": "pm10", "from": ["P1"], "type": "double", "min": 0, "max": 999.8},
            {"name": "humidity", "type": "double", "min": 0, "max": 99.8},
            {"name": "wind", "type": "double"},
        ]
    }
}
RUN = "20190401-000000"
LATER = "20190401-000001"


@pytest.fixture
def pi(tmp_path: Path) -> Pi:
    return Pi.at(tmp_path)


def _mount(mount: str) -> str:
    options, place, *what = mount.split(":")
    kind = "--bind" if options == "bind" else f"-t tmpfs -o {options}"
    return f"mount {kind} '{what[0] if what else 'none'}' '{place}'"


def confined(*mounts: str) -> list[str]:
    """Return what runs a command where tmpfs with these options lie: ``options:directory``.

    Or where something else is bound: ``bind:place:what``.
    """
    script = " && ".join(map(_mount, mounts))
    prefix = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("this machine does not let its users make mount namespaces")
    return [*prefix, f'{script} && exec "$@"', "sh"]


def summary_of(pi: Pi, prefix: list[str], run: str = RUN, **over: Any) -> dict[str, Any]:
    done = subprocess.run(
        [*prefix, *pi.arguments(run, "a", **over)], capture_output=True, text=True, check=False
    )
    assert "Traceback" not in done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == (0 if answer["succeeded"] else 1), done.stderr
    return answer


def test_real_readings_are_delivered_with_all_that_a_person_asks_for(pi: Pi) -> None:
    shutil.copytree(EXTRACT / "pi-4", pi.source, dirs_exist_ok=True)
    summary = pi.run(RUN, **AIR)
    assert (summary.reason, summary.files_read, summary.rows_read) == ("Delivered", 11, 6141)
    assert summary.rejected_by_reason == {"out_of_range": 1080}
    assert summary.rows_read == (
        summary.rows_clean + summary.rows_rejected + summary.rows_duplicate
    )
    assert summary.columns_missing == ("wind",)
    assert "no file has wind" in summary.message
    assert summary.watermark == "2019-03-07T23:58:12Z"
    assert len(pi.delivered()) == summary.rows_clean == 5061
    (manifest,) = pi.manifests()
    folder = pi.job_results / "runs" / RUN / "pi-1" / "a"
    assert {path.name for path in folder.iterdir()} == {file.name for file in manifest.files}
    for file in manifest.files:
        content = (folder / file.name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (file.bytes, file.sha256)
    assert (manifest.window, manifest.group_by) == ("1h", ("sensor_id",))
    assert sum(file.bytes for file in manifest.files) == manifest.bytes_written
    for row in pi.delivered("rejected"):
        raw = (pi.source / row["file"]).read_bytes()[row["offset"] :]
        assert raw.startswith(row["raw"].encode())
    assert list((pi.root / "work").iterdir()) == []


def test_the_log_is_json_and_ends_at_all_bytes(pi: Pi) -> None:
    pi.write("a.csv", csv(*(reading(second) for second in range(1000))))
    process = pi.start(RUN, "a")
    _, log = process.communicate()
    lines = [json.loads(line) for line in log.splitlines()]
    progress = [line for line in lines if line["event"] == "progress"]
    size = (pi.source / "a.csv").stat().st_size
    assert (progress[-1]["bytesDone"], progress[-1]["bytesTotal"]) == (size, size)
    assert [line["event"] for line in lines if line["event"] != "progress"] == [
        "start",
        "committing",
        "committed",
        "done",
    ]


def test_a_run_with_nothing_new_commits_that_it_took_part(pi: Pi) -> None:
    pi.write("a.csv", csv(reading(1)))
    pi.run(RUN)
    summary = pi.run(LATER)
    assert (summary.succeeded, summary.reason) == (True, "NothingNew")
    assert [len(manifest.files) for manifest in pi.manifests()] == [2, 0]


def test_a_run_with_nothing_new_imports_little(pi: Pi) -> None:
    pi.write("a.csv", csv(reading(1)))
    pi.run(RUN)
    command = [sys.executable, "-X", "importtime", *pi.arguments(LATER, "a")[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "edge_etl_job.run" in imported
    slow = {"argparse", "dataclasses", "hashlib", "inspect", "ipaddress", "logging", "platform"}
    assert imported & (slow | {"xxhash", "edge_etl_job.intake", "edge_etl_job.dialect"}) == set()


def test_what_a_start_leaves_out_can_be_imported_later() -> None:
    script = (
        "from edge_etl_job import lean; lean.load(); import msgspec.inspect, urllib.parse, uuid; "
        "print(uuid.uuid4().version, urllib.parse.quote('a b'), msgspec.inspect.type_info(int))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("4 a%20b IntType(")


def test_a_retry_of_a_delivered_run_reports_it_again(pi: Pi) -> None:
    pi.write("a.csv", csv(reading(1)))
    first = pi.run(RUN, "first")
    pi.write("b.csv", csv(reading(2)))
    again = pi.run(RUN, "second")
    assert again == first
    assert again.attempt == "first"
    assert pi.run(LATER).rows_clean == 1
    assert len(pi.delivered()) == 2


def test_a_damaged_ledger_is_set_aside_and_made_again_from_the_results(pi: Pi) -> None:
    path = pi.write("a.csv", csv(reading(1)))
    pi.run(RUN)
    (pi.state / "ledger.db").write_bytes(b"no database" * 1000)
    with path.open("a") as file:
        file.write(reading(2) + "\n")
    process = pi.start(LATER, "a")
    _, log = process.communicate()
    assert process.returncode == 0
    assert "the ledger is damaged" in log
    assert (pi.state / "ledger.db.damaged").exists()
    assert [row["timestamp"].second for row in pi.delivered()] == [1, 2]
    assert pi.run("20190401-000002").reason == "NothingNew"


def test_what_is_damaged_of_a_ledger_is_noticed_before_it_is_used(pi: Pi) -> None:
    for number in range(40):
        pi.write(f"{number}.csv", csv(reading(number)))
    pi.run(RUN)
    assert pi.run(LATER).reason == "NothingNew"
    path = pi.state / "ledger.db"
    with closing(sqlite3.connect(path)) as db:
        (size,) = db.execute("PRAGMA page_size").fetchone()
        (page,) = db.execute("SELECT rootpage FROM sqlite_master WHERE name='entries'").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    assert pi.run("20190401-000002").reason == "NothingNew"
    pi.write("40.csv", csv(reading(40)))
    process = pi.start("20190401-000003", "a")
    _, log = process.communicate()
    assert process.returncode == 0
    assert "the ledger is damaged" in log
    assert sorted(row["timestamp"].second for row in pi.delivered()) == list(range(41))
    assert pi.run("20190401-000004").reason == "NothingNew"


def test_other_results_begin_another_ledger(pi: Pi) -> None:
    pi.write("a.csv", csv(reading(1)))
    pi.run(RUN)
    shutil.rmtree(pi.results)
    pi.results.mkdir()
    process = pi.start(LATER, "a")
    _, log = process.communicate()
    assert "the results are others than before" in log
    assert pi.manifests()[-1].rows_clean == 1
    assert pi.run("20190401-000002").reason == "NothingNew"


def test_an_empty_directory_is_a_success_that_names_what_was_looked_for(pi: Pi) -> None:
    pi.write("readme.txt", "no csv")
    summary = pi.run(RUN, source={"include": ["*.csv", "**/*.log"]})
    assert (summary.succeeded, summary.reason) == (True, "NoFiles")
    assert summary.message == f"no file of {pi.source} on pi-1 matches *.csv, **/*.log"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("photo.csv", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "not_text"),
        ("other.csv", b"when,what\n1,2\n", "columns seen: when, what"),
    ],
)
def test_a_file_that_is_none_of_the_job_is_named_and_the_others_go_on(
    name: str, content: bytes, said: str, pi: Pi
) -> None:
    pi.write(name, content)
    pi.write("good.csv", csv(reading(1)))
    summary = pi.run(RUN)
    assert (summary.succeeded, summary.rows_clean, summary.files_quarantined) == (True, 1, 1)
    assert name in summary.message
    assert said in summary.message


def test_a_mistake_in_the_job_document_is_named(pi: Pi) -> None:
    summary = pi.run(RUN, code=3, key=["sensor"])
    assert summary.reason == "JobInvalid"
    assert "key[0]: there is no field 'sensor' in schema.fields" in summary.message
    assert not pi.state.exists()


def test_a_source_that_is_not_there_is_an_error(pi: Pi) -> None:
    pi.source.rmdir()
    summary = pi.run(RUN, code=1)
    assert summary.reason == "SourceUnreadable"
    assert summary.message == f"the source directory {pi.source} does not exist on this node"


def test_a_wrong_command_line_is_refused(pi: Pi) -> None:
    arguments = pi.arguments(RUN, "a")
    arguments[arguments.index("pi-1")] = "../pi"
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "argument --node" in done.stderr


def test_files_and_directories_without_permission_are_named_with_the_uid(pi: Pi) -> None:
    pi.write("open.csv", csv(reading(1)))
    pi.write("closed.csv", csv(reading(2))).chmod(0)
    pi.write("folder/a.csv", csv(reading(3)))
    (pi.source / "folder").chmod(0)
    prefix = [] if os.getuid() else ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]
    try:
        summary = summary_of(pi, prefix)
    finally:
        (pi.source / "folder").chmod(0o700)
    assert (summary["rowsClean"], summary["filesQuarantined"]) == (1, 2)
    assert f"closed.csv: unreadable: may not be read by uid {os.getuid()}" in summary["message"]
    assert "folder/: unreadable" in summary["message"]
    (pi.source / "closed.csv").chmod(0o600)
    assert pi.run(LATER).rows_clean == 2


def test_links_pipes_devices_and_circles_are_passed_over_and_the_others_go_on(pi: Pi) -> None:
    pi.write("good/a.csv", csv(reading(1)))
    folders = {name: pi.source / name for name in ("circle", "bound")}
    folders["circle"].symlink_to(pi.source)
    folders["bound"].mkdir()
    os.mkfifo(pi.source / "pipe.csv")
    os.mknod(pi.source / "socket.csv", 0o140644)
    (pi.source / "link.csv").symlink_to("good/a.csv")
    (pi.source / "device.csv").touch()
    # A directory that is mounted within itself, and a device that would give bytes for ever.
    prefix = confined(
        f"bind:{folders['bound']}:{pi.source}", f"bind:{pi.source / 'device.csv'}:/dev/zero"
    )
    process = subprocess.run(
        [*prefix, *pi.arguments(RUN, "a")], capture_output=True, text=True, check=True
    )
    assert json.loads(process.stdout)["rowsClean"] == 1
    # Three of them are in the bound directory, too.
    said = "bound/link.csv, bound/pipe.csv, bound/socket.csv, device.csv, link.csv and 2 more"
    assert f"passed over: {said}" in process.stderr


def test_a_source_of_nothing_but_links_says_so(pi: Pi) -> None:
    (pi.source / "latest.csv").symlink_to("/var/log/readings.csv")
    summary = pi.run(RUN)
    assert summary.reason == "NoFiles"
    assert summary.message.endswith("links, pipes and devices are passed over: latest.csv")


def test_a_read_only_state_directory_is_an_error(pi: Pi) -> None:
    pi.state.mkdir()
    summary = summary_of(pi, confined(f"ro:{pi.state}"))
    assert summary["reason"] == "StateUnwritable"
    assert "Read-only file system" in summary["message"]
    assert pi.manifests() == []


@pytest.mark.parametrize("which", ["state", "work"])
def test_a_full_disk_is_an_error_and_nothing_is_delivered(which: str, pi: Pi) -> None:
    # Values that do not repeat: the same value again and again would need next to no room.
    values = (str(second * 7919 % 99_991 / 1000) for second in range(40_000))
    lines = (reading(second, value=value) for second, value in enumerate(values))
    pi.write("a.csv", csv(*lines))
    for folder in ("state", "work"):
        (pi.root / folder).mkdir()
    # The state needs little room; where no file may be made there is none at all.
    options = "nr_inodes=2" if which == "state" else "size=64k"
    summary = summary_of(pi, confined(f"{options}:{pi.root / which}"))
    assert summary["reason"] == "DiskFull"
    assert str(pi.root / which) in summary["message"]
    assert pi.manifests() == []
    assert pi.run(RUN, "b").rows_clean == 40_000


def test_sigterm_ends_it_with_nothing_half(pi: Pi) -> None:
    lines = [reading(second, sensor) for sensor in "abcd" for second in range(86_400)]
    pi.write("a.csv", csv(*lines))
    process = pi.start(RUN, "a")
    assert process.stderr is not None
    assert any('"progress"' in line for line in process.stderr)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 1
    summary = json.loads((pi.root / "summary.json").read_bytes())
    assert summary["reason"] == "Stopped"
    assert list((pi.root / "work").iterdir()) == []
    assert pi.manifests() == []
    assert pi.run(RUN, "b").rows_clean == len(lines)


def test_what_a_file_grows_by_while_it_is_read_comes_with_the_next_run(pi: Pi) -> None:
    path = pi.write("a.csv", csv(*(reading(second) for second in range(80_000))))
    process = pi.start(RUN, "a")
    assert process.stderr is not None
    assert any('"start"' in line for line in process.stderr)
    with path.open("a") as file:
        file.write(reading(80_000) + "\n")
    process.communicate()
    assert pi.run(LATER).rows_clean == 1
    assert len(pi.delivered()) == 80_001


def test_two_attempts_on_a_node_never_run_at_once(pi: Pi) -> None:
    pi.write("a.csv", csv(*(reading(second) for second in range(100))))
    state = pi.root / "state"
    state.mkdir(exist_ok=True)
    # Another attempt holds the node until both have come to wait for it.
    with (state / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        processes = [pi.start(RUN, attempt) for attempt in ("first", "second")]
        for process in processes:
            assert process.stderr is not None
            assert any("waiting for another attempt" in line for line in process.stderr)
    logs = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sum('"event": "standing"' in log for log in logs) == 1
    assert len(pi.delivered()) == 100


def test_rows_that_are_too_bad_are_not_delivered_but_read_again(pi: Pi) -> None:
    (pi.source / "a.csv").write_text(csv(*[reading(n) for n in range(3)], "broken;x;1"))
    refused = pi.run(RUN, code=3, quality={"maxRejectedRatio": "20%"})
    assert (refused.succeeded, refused.reason) == (False, "TooManyRejected")
    assert (refused.rows_read, refused.rows_rejected) == (4, 1)
    assert not list(pi.results.rglob("*.parquet"))
    assert pi.manifests() == []
    again = pi.run(LATER, quality={"maxRejectedRatio": "25%"})
    assert (again.rows_read, again.rows_clean) == (4, 3)


@pytest.fixture
def group_of_64_mb() -> Iterator[str]:
    """Return a cgroup in which processes, and what is cached for them, have 64 MB."""
    if not cgroups.available():
        pytest.skip("this user may not make cgroups")
    name = f"edge-{os.getpid()}"
    cgroups.create(name)
    (limit,) = [
        folder / file
        for folder in cgroups.exists(name)
        for file in ("memory.max", "memory.limit_in_bytes")
        if (folder / file).exists()
    ]
    limit.write_text("64000000")
    yield name
    cgroups.remove(name)


def test_fifty_megabytes_are_cleaned_in_a_cgroup_of_64_mb(pi: Pi, group_of_64_mb: str) -> None:
    devices, days = [f"aq{number:03}" for number in range(16)], range(1, 7)
    for day in days:
        rows = [
            f"2019-03-{day:02}T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02};{name};"
            f"{(second + number) % 9973 / 100}"
            for second in range(0, 86_400, 5)
            for number, name in enumerate(devices)
        ]
        pi.write(f"{day}.csv", csv(*rows))
    assert sum(path.stat().st_size for path in pi.source.iterdir()) > 50e6
    join = [f"echo $$ > '{folder}/cgroup.procs'" for folder in cgroups.exists(group_of_64_mb)]
    core = str(min(os.sched_getaffinity(0)))
    script = f'{" && ".join(join)} && exec taskset -c {core} "$@"'
    # As edge_job_image/Dockerfile has it.
    env = os.environ | {"MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_ARENA_MAX": "8"}
    command = ["sh", "-c", script, "sh", *pi.arguments(RUN, "a")]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["rowsClean"] == len(days) * 17_280 * len(devices)
