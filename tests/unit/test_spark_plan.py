"""Which days an aggregation touches, and when it refuses to touch any."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from edge_etl_spark import manifests
from edge_etl_spark.documents import AggregationDocument, TableFile
from edge_etl_spark.errors import AggregationError
from edge_etl_spark.parts import PART_BYTES, RowFile, parts_of_days, whole
from edge_etl_spark.paths import JobPaths
from edge_etl_spark.plan import MergePlan, make_plan
from edge_etl_spark.versions import Version

from tests.support.node_results import Job, frame
from tests.support.version_manifests import version_manifest

RUN = "20260104-000000"
EARLIER = "20260103-120000"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def document(job: Job) -> AggregationDocument:
    return msgspec.json.decode(json.dumps(job.document(RUN, "pi-1")), type=AggregationDocument)


def table(job: Job, **changes: Any) -> Version:
    """Return a version that holds rows and features of the first three days of January 2026."""
    asked = document(job)
    manifest = version_manifest(
        namespace=job.namespace,
        job=job.name,
        run="20260103-000000",
        rows=30,
        feature_rows=30,
        rows_added=30,
        days_written=3,
        manifests_merged=1,
        fields=asked.fields,
        key=asked.key,
        window=asked.window,
        group_by=asked.group_by,
        statistics=asked.statistics,
        ship=asked.ship,
        files=tuple(
            TableFile(
                path=f"{kind}/day=2026-01-0{day}/a.parquet", rows=10, bytes=100, sha256="0" * 64
            )
            for kind in asked.ship
            for day in (1, 2, 3)
        ),
    )
    return Version(Path("v1"), msgspec.structs.replace(manifest, **changes))


def readings(*days: str) -> Any:
    """Return a reading at noon of each of ``days`` in January 2026."""
    return frame([(f"2026-01-{day}T12:00:00Z", "a", 1.0) for day in days])


def plan(job: Job, current: Version | None, *days: str) -> MergePlan | None:
    """Plan a run in which a node delivers one reading for each of ``days``."""
    job.deliver(RUN, "pi-1", readings(*days))
    found = manifests.discover(JobPaths(job.root, job.namespace, job.name))
    return make_plan(document(job), current, found)


def must(made: MergePlan | None) -> MergePlan:
    assert made is not None
    return made


def names(files: tuple[Path | RowFile, ...]) -> list[str]:
    paths = (file.path if isinstance(file, RowFile) else file for file in files)
    return [path.as_posix() for path in paths]


def test_only_days_that_were_delivered_are_touched(job: Job) -> None:
    made = must(plan(job, table(job), "02", "04"))
    assert made.row_days == made.feature_days == {"2026-01-02", "2026-01-04"}
    (part,) = made.row_parts
    assert part.days == made.row_days
    assert names(part.old) == ["v1/rows/day=2026-01-02/a.parquet"]
    assert [file.day for file in part.new] == ["2026-01-02", "2026-01-04"]
    assert not part.known
    assert names(made.old_features) == ["v1/features/day=2026-01-02/a.parquet"]
    assert {file.path[-20:-10] for file in made.carried} == {"2026-01-01", "2026-01-03"}
    assert (made.rows_delivered, part.rows) == (2, 12)
    assert not made.features_from_rows


def test_a_delivery_without_rows_is_nothing_to_merge(job: Job) -> None:
    job.deliver(RUN, "pi-1", frame([]).iloc[:0])
    found = manifests.discover(JobPaths(job.root, job.namespace, job.name))
    assert make_plan(document(job), table(job), found) is None
    assert make_plan(document(job), None, ()) is None


def test_a_key_without_the_timestamp_is_looked_for_in_all_days(job: Job) -> None:
    made = must(plan(dataclasses.replace(job, key=["sensor_id"]), table(job), "02"))
    (part,) = made.row_parts
    assert [file.day for file in part.old] == ["2026-01-02"]
    assert [file.day for file in part.known] == ["2026-01-01", "2026-01-03"]
    (states,) = made.new_features
    delivered = sum(path.stat().st_size for path in (*made.new_rows, *states.paths))
    assert made.bytes_read == delivered + 3 * 100 + 100, "three days of rows, one of features"


def test_windows_across_midnight_touch_the_days_around(job: Job) -> None:
    job = dataclasses.replace(job, window="48h")
    made = must(plan(job, table(job), "04"))
    assert made.row_days == {"2026-01-04"}
    assert made.feature_days == {"2026-01-03"}
    assert names(made.old_window_rows) == ["v1/rows/day=2026-01-03/a.parquet"]


def test_a_new_field_rewrites_the_rows_of_every_day_and_no_other_features(job: Job) -> None:
    new = dataclasses.replace(job, fields=[*job.fields, {"name": "pm25", "type": "double"}])
    made = must(plan_with(new, job, "03"))
    assert made.row_days == {f"2026-01-0{day}" for day in (1, 2, 3)}
    assert made.feature_days == {"2026-01-03"}
    assert [field.name for field in made.fields] == ["sensor_id", "pm10", "pm25"]


def plan_with(new: Job, old: Job, *days: str) -> MergePlan | None:
    """Plan a run of the job ``new`` over the table of the job ``old``."""
    rows = readings(*days)
    for item in new.fields:
        if item["name"] not in rows:
            rows[item["name"]] = None
    new.deliver(RUN, "pi-1", rows)
    found = manifests.discover(JobPaths(new.root, new.namespace, new.name))
    return make_plan(document(new), table(old), found)


def test_a_field_that_was_removed_stays_in_the_table(job: Job) -> None:
    made = must(plan_with(dataclasses.replace(job, fields=job.fields[:1]), job, "03"))
    assert [field.name for field in made.fields] == ["sensor_id", "pm10"]
    assert made.row_days == {"2026-01-03"}


def test_a_field_of_another_type_is_refused_with_what_to_do(job: Job) -> None:
    new = [job.fields[0], {"name": "pm10", "type": "long"}]
    with pytest.raises(
        AggregationError, match="pm10 is long in the job and double in the table"
    ) as caught:
        plan_with(
            dataclasses.replace(job, fields=new, ship=["features"]),
            dataclasses.replace(job, ship=["features"]),
            "03",
        )
    assert caught.value.reason == "SchemaChanged"


@pytest.mark.parametrize("change", [{"window": "2h"}, {"group_by": ()}])
def test_other_windows_are_computed_from_all_rows(job: Job, change: dict[str, Any]) -> None:
    made = must(plan_with(dataclasses.replace(job, **change), job, "03"))
    assert made.features_from_rows
    assert made.feature_days == {f"2026-01-0{day}" for day in (1, 2, 3)}
    assert made.row_days == {"2026-01-03"}
    assert len(made.old_window_rows) == 2


def test_other_windows_without_rows_are_refused(job: Job) -> None:
    old = dataclasses.replace(job, ship=["features"])
    with pytest.raises(AggregationError, match="without rows the old windows"):
        plan_with(dataclasses.replace(old, window="2h"), old, "03")


def test_rows_cannot_join_a_table_of_features(job: Job) -> None:
    old = dataclasses.replace(job, ship=["features"])
    with pytest.raises(AggregationError, match="built from features alone"):
        plan_with(job, old, "03")


def test_rows_that_are_no_longer_shipped_stay(job: Job) -> None:
    made = must(plan_with(dataclasses.replace(job, ship=["features"]), job, "03"))
    assert made.row_days == frozenset()
    assert sum(file.path.startswith("rows/") for file in made.carried) == 3
    assert not made.recompute_duplicates


def test_rows_alone_give_features_too(job: Job) -> None:
    alone = dataclasses.replace(job, ship=["rows"])
    made = must(plan(alone, None, "02"))
    assert made.features_from_rows
    assert made.feature_days == {"2026-01-02"}


@pytest.mark.parametrize("change", [{"window": "2h"}, {"group_by": ()}])
def test_a_delivery_from_before_a_change_of_windows_is_computed_from_its_rows(
    job: Job, change: dict[str, Any]
) -> None:
    dataclasses.replace(job, **change).deliver(EARLIER, "pi-1", readings("04"))
    made = must(plan(job, None, "02"))
    assert made.features_from_rows
    assert made.new_features == ()
    assert made.feature_days == made.row_days == {"2026-01-02", "2026-01-04"}


@pytest.mark.parametrize("asked", [("features",), ("rows", "features")])
def test_other_windows_that_came_without_rows_are_refused_by_run_and_node(
    job: Job, asked: tuple[str, ...]
) -> None:
    before = dataclasses.replace(job, window="2h", group_by=(), ship=("features",))
    before.deliver(EARLIER, "pi-2", readings("02"))
    with pytest.raises(AggregationError) as caught:
        plan(dataclasses.replace(job, ship=asked), None, "02")
    assert caught.value.reason == "SchemaChanged"
    assert f"run {EARLIER} of node pi-2 delivered windows of 2h by nothing without rows" in str(
        caught.value
    )


def test_a_delivery_without_states_fits_any_windows(job: Job) -> None:
    before = dataclasses.replace(job, window="2h", ship=("features",))
    before.deliver(EARLIER, "pi-2", readings())
    assert not must(plan(dataclasses.replace(job, ship=("features",)), None, "02")).new_rows


def row_file(day: int, number: int, size: int) -> RowFile:
    return RowFile(f"2026-01-{day:02}", Path(f"{number}"), 1, size, "")


def test_neighbouring_days_share_a_part_up_to_a_size_and_no_day_is_divided() -> None:
    half = PART_BYTES // 2
    new = [row_file(3, 0, half), row_file(1, 1, half), row_file(2, 2, half // 2),
           row_file(3, 3, PART_BYTES), row_file(4, 4, 1)]  # fmt: skip
    old = [row_file(2, 5, half // 2), row_file(5, 6, half)]
    parts = parts_of_days(new, old)
    assert [sorted(int(day[-2:]) for day in part.days) for part in parts] == [[1, 2], [3], [4, 5]]
    assert [[int(file.path.name) for file in (*part.new, *part.old)] for part in parts] == [
        [1, 2, 5], [0, 3], [4, 6]
    ]  # fmt: skip
    assert not parts_of_days([], [])
    assert not whole([], [], old)


def test_files_are_in_the_order_of_run_node_and_file(job: Job) -> None:
    """Node names that begin alike must not be ordered by what follows them in the path."""
    deliveries = [("20260101-000000", "pi-1"), ("20260101-000000", "pi-1-a"),
                  ("20260101-000000", "pi-1.b"), ("20260101-000000", "pi-10"),
                  ("20260102-000000", "pi-0")]  # fmt: skip
    for run, node in deliveries:
        job.deliver(run, node, readings("02", "01"))
    found = manifests.discover(JobPaths(job.root, job.namespace, job.name))
    made = must(make_plan(document(job), None, found))
    assert [(*path.parts[-4:-2], path.name[-10:-8]) for path in made.new_rows] == [
        (run, node, day) for run, node in deliveries for day in ("01", "02")
    ]
