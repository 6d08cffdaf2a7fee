"""What every place for a table guarantees, the same tests for each of them; nothing needs Spark."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from edge_etl_job.results import open_store
from edge_etl_job.results.layout import Attempt
from edge_etl_spark import table
from edge_etl_spark.documents import MergedManifest
from edge_etl_spark.errors import AggregationError
from edge_etl_spark.results import Results, latest, open_results

from tests.support.landing import PLACE
from tests.support.publish_many import publish_version, row_values
from tests.support.s3_server import S3Server, TestBucket


@dataclass
class Place:
    """Where a table is: opens its results, and gives the files that hold its data."""

    open: Callable[[], Results]
    data: Callable[[], list[Path]]
    versions: Path


@pytest.fixture(params=["directory", "s3", "s3 with executors"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "directory":
        table = tmp_path / "garden/air-quality/table"
        return Place(
            lambda: open_results(tmp_path, "garden", "air-quality"),
            lambda: sorted((table / "current").resolve().rglob("*.parquet")),
            table / "versions",
        )
    executors = request.param == "s3 with executors"
    return in_bucket(request.getfixturevalue("s3_server").bucket(), executors=executors)


def in_bucket(bucket: TestBucket, *, executors: bool = False) -> Place:
    table = bucket.folder / "results/garden/air-quality/table"
    key = bucket.server.credentials
    place = {**PLACE, "namespace": "garden", "job": "air-quality"}
    open_store(bucket.location(), Attempt(**place), credentials=key).dataset_id()
    return Place(
        lambda: open_results(bucket.location(), "garden", "air-quality", key, executors=executors),
        lambda: sorted((table / "data").rglob("*.parquet")),
        table / "versions",
    )


@pytest.fixture
def bucket_place(request: pytest.FixtureRequest) -> Place:
    return in_bucket(request.getfixturevalue("s3_server").bucket())


def whole(place: Place, number: int) -> None:
    """Fail unless a version is whole and of one piece."""
    results = place.open()
    version = results.read(number)
    problems = list(table.verify(results, version))
    assert [told for told in problems if not told.startswith("current leads to")] == []
    rows = [file.rows for file in version.manifest.files if file.path.startswith("rows/")]
    assert sum(rows) == len(row_values(number))


def test_versions_follow_one_another_and_share_what_did_not_change(place: Place) -> None:
    assert latest(place.open()) is None
    assert [publish_version(place.open()) for _ in range(3)] == [1, 2, 3]
    results = place.open()
    assert (results.numbers(), results.current()) == ([1, 2, 3], 3)
    for number in results.numbers():
        whole(place, number)
    before, after = ({file.path for file in results.read(n).manifest.files} for n in (2, 3))
    assert len(after - before) == 3
    assert len(after & before) == 2


def test_old_versions_go_and_their_files_with_them(place: Place) -> None:
    for _ in range(5):
        publish_version(place.open(), grace_seconds=-1)
    assert place.open().numbers() == [3, 4, 5]
    age(place, place.data())
    place.open().prune(3, 0)
    listed = {
        Path(file.path).name
        for number in (3, 4, 5)
        for file in place.open().read(number).manifest.files
    }
    assert {path.name for path in place.data()} <= listed
    for number in (3, 4, 5):
        whole(place, number)


def age(place: Place, paths: list[Path], by: timedelta = timedelta(days=2)) -> None:
    then = (datetime.now(UTC) - by).timestamp()
    for path in paths:
        os.utime(path, (then, then))


def test_what_was_replaced_lately_stays(place: Place) -> None:
    for _ in range(5):
        publish_version(place.open(), grace_seconds=600)
    assert place.open().numbers() == [1, 2, 3, 4, 5]


def test_the_latest_reports_stay_and_are_found_again(place: Place) -> None:
    results = place.open()
    assert results.reports() == []
    runs = [f"2026010{day}-000000" for day in range(1, 5)]
    for run in runs:
        results.put_report(run, f"<p>{run}".encode(), keep=3)
    results.put_report(runs[3], b"<p>again", keep=3)
    results = place.open()
    assert results.reports() == runs[:0:-1]
    assert results.report(runs[3]) == b"<p>again"
    with pytest.raises(FileNotFoundError):
        results.report(runs[0])


def test_of_two_publishers_only_one_makes_a_version(place: Place) -> None:
    publish_version(place.open())
    made = place.open().read(1).manifest
    publishers = [place.open(), place.open()]
    stagings = []
    for number, results in enumerate(publishers):
        current = results.read(1)
        staging = results.new_staging("run")
        results.carry_over(current, staging, [f.path for f in made.files], readable=False)
        second = msgspec.structs.replace(made, version=2, run=f"20260101-00000{number}")
        stagings.append((results, staging, second))
    results, staging, second = stagings[0]
    results.publish(staging, second)
    results, staging, second = stagings[1]
    with pytest.raises(AggregationError, match="first; run again") as caught:
        results.publish(staging, second)
    assert caught.value.reason == "TableBusy"
    assert place.open().read(2).manifest.run == "20260101-000000"


def test_a_rollback_shares_the_files_and_sets_aside_what_came_later(place: Place) -> None:
    publish_version(place.open())
    publish_version(place.open())
    back = table.rollback(place.open(), to=1)
    results = place.open()
    assert (back.version, back.restored_from, results.current()) == (3, 1, 3)
    assert back.files == results.read(1).manifest.files
    assert list(table.verify(results, results.read(3))) == []


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda path: path.unlink(), "is not there"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes instead of"),
        (lambda path: path.write_bytes(path.read_bytes()[::-1]), "has another SHA-256"),
    ],
)
def test_a_damaged_file_is_named(
    place: Place, damage: Callable[[Path], None], problem: str
) -> None:
    publish_version(place.open())
    damage(place.data()[0])
    results = place.open()
    (told,) = table.verify(results, results.read(1))
    assert problem in told


def test_a_version_manifest_that_is_damaged_is_named_and_can_be_rolled_back(place: Place) -> None:
    publish_version(place.open())
    publish_version(place.open())
    (path,) = (p for p in [place.versions / "v000002/version.json", place.versions / "v000002.json"]
               if p.exists())  # fmt: skip
    path.write_text("{")
    with pytest.raises(AggregationError, match=r"v000002.* cannot be used") as caught:
        latest(place.open())
    assert caught.value.reason == "TableCorrupt"
    assert table.rollback(place.open(), to=1).version == 3
    age(place, place.data())
    assert place.open().prune(3, 0) == ()
    whole_again = place.open()
    assert list(table.verify(whole_again, whole_again.read(3))) == []


def test_a_settled_delivery_is_not_read_again_in_a_bucket(bucket_place: Place) -> None:
    gone = MergedManifest(run="20260101-000000", node="pi-1", attempt="a")
    folder = bucket_place.versions.parents[1] / "manifests" / gone.node
    folder.mkdir(parents=True)
    (folder / f"{gone.run}.json").write_text("{")
    assert bucket_place.open().deliveries([gone]) == ()
    with pytest.raises(AggregationError, match="is not a node manifest"):
        bucket_place.open().deliveries()


def test_dead_uploads_and_attempts_are_removed_and_what_counts_stays(bucket_place: Place) -> None:
    publish_version(bucket_place.open())
    job = bucket_place.versions.parents[1]
    runs = job / "runs" / f"{datetime.now(UTC) - timedelta(days=2):%Y%m%d-%H%M%S}" / "pi-1"
    dead, data = runs / "dead/rows.parquet", job / "table/data/rows/day=2026-01-01/dead.parquet"
    young = job / "table/data/rows/day=2026-01-01/young.parquet"
    staged = job / "table/staging/20260101-000000-a.work/rows-2026-01-01/part.parquet"
    for path in (dead, data, young, staged):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("garbage")
    age(bucket_place, [dead, data, staged, *(p for p in bucket_place.data() if p != young)])
    bucket_place.open().prune(3, 600)
    assert [path.exists() for path in (dead, data, staged, young)] == [False, False, False, True]
    whole(bucket_place, 1)


def test_killed_after_any_change_the_table_is_whole_and_the_next_run_goes_on(
    s3_server: S3Server,
) -> None:
    buckets = [s3_server.bucket() for _ in range(14)]
    places = [in_bucket(bucket) for bucket in buckets]
    for place in places:
        publish_version(place.open())
    told = subprocess.run(
        [sys.executable, "-m", "tests.support.publish_and_die_bucket", s3_server.credentials,
         *(bucket.location() for bucket in buckets)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    died = int(told.stdout)
    assert 4 < died < len(buckets), "the last ones come to their end"
    seen = []
    for place in places:
        results = place.open()
        newest = results.numbers()[-1]
        seen.append(newest)
        assert results.current() in (newest, newest - 1)
        whole(place, newest)
        assert publish_version(results) == newest + 1
        assert results.current() == newest + 1
        whole(place, newest + 1)
    assert seen == sorted(seen), "once the new version is there it stays"
    assert seen[0] == 1
    assert set(seen[died:]) == {2}
