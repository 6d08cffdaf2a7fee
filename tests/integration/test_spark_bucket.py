"""From the edge program to readers, with all results in a bucket of a real S3 server."""

import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import msgspec
import numpy as np
import pandas as pd
import polars as pl
import pytest
from edge_etl_spark import __main__ as program
from edge_etl_spark import table as tools
from edge_etl_spark.aggregate import aggregate
from edge_etl_spark.documents import AggregationDocument, AggregationReport, Spark
from edge_etl_spark.errors import AggregationError
from edge_etl_spark.results import latest

from tests.support.bucket_job import BucketJob
from tests.support.cluster.cache import REPOSITORY
from tests.support.edge import Pi
from tests.support.node_results import frame
from tests.support.s3_server import KEY_ID, REGION, SECRET, S3Server, write_credentials
from tests.support.table_oracle import assert_table, expected_rows

pytestmark = pytest.mark.usefixtures("shared_session")

READINGS = REPOSITORY / "tests/data/air-quality/pi-4"
FIRST, SECOND, THIRD = (f"2026010{number}-000000" for number in (1, 2, 3))


@pytest.fixture
def job(s3_server: S3Server, tmp_path: Path) -> BucketJob:
    return BucketJob(tmp_path / "nodes", bucket=s3_server.bucket())


def readings(seed: int, start: str) -> Any:
    generator = np.random.default_rng(seed)
    times = pd.date_range(start, periods=60, freq="37min", tz="UTC")
    return frame([(t.isoformat(), "ab"[n % 2], generator.normal()) for n, t in enumerate(times)])


def run(job: BucketJob, run: str, *nodes: str, **changes: Any) -> AggregationReport:
    document = msgspec.json.decode(
        json.dumps(job.document(run, *nodes) | changes), type=AggregationDocument
    )
    return aggregate(document, job.location, credentials=job.credentials)


def keys(job: BucketJob, below: str) -> set[str]:
    return {key for key in job.bucket.files() if f"/{below}" in key}


def test_runs_merge_into_one_table_and_touch_only_the_days_that_changed(job: BucketJob) -> None:
    one, two = readings(1, "2026-01-01"), readings(2, "2026-01-02T03:00:00")
    job.deliver(FIRST, "pi-1", one)
    assert run(job, FIRST, "pi-1").reason == "Published"
    before = keys(job, "table/data")
    assert_table(job, [one])

    job.deliver(SECOND, "pi-2", two)
    report = run(job, SECOND, "pi-2")
    assert_table(job, [one, two])
    assert (report.version, report.rows_added) == (2, 60)
    written = keys(job, "table/data") - before
    assert written
    assert not any("day=2026-01-01" in key for key in written), "that day had nothing new"

    assert run(job, SECOND, "pi-2").reason == "Published", "said again without doing it again"
    assert run(job, THIRD).reason == "NothingNew"
    newest = latest(job.results)
    assert newest is not None
    assert newest.manifest.version == 2
    assert list(tools.verify(job.results, newest)) == []


def test_ones_own_aggregation_sees_the_whole_table(job: BucketJob, tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(
        "def aggregate(spark, clean, features):\n    return clean.groupBy('day').count()\n"
    )
    application = {"application": {"path": str(own), "name": "own.py"}}
    one, two = readings(1, "2026-01-01"), readings(2, "2026-02-01")
    job.deliver(FIRST, "pi-1", one)
    run(job, FIRST, "pi-1", **application)
    job.deliver(SECOND, "pi-1", two)
    run(job, SECOND, "pi-1", **application)
    counts = job.read("application")
    assert counts["count"].sum() == 120
    assert counts["day"].nunique() == counts["day"].size > 3


def test_a_delivery_that_is_altered_in_the_bucket_is_refused(job: BucketJob) -> None:
    job.deliver(FIRST, "pi-1", readings(1, "2026-01-01"))
    (path, *_) = sorted(job.bucket.folder.rglob("rows-*.parquet"))
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(AggregationError, match="another SHA-256 than its manifest") as caught:
        run(job, FIRST, "pi-1")
    assert caught.value.reason == "ResultsCorrupt"
    assert keys(job, "table/") == set()


def test_what_a_node_rejected_is_brought_to_tell_how_it_differs(job: BucketJob) -> None:
    rows = readings(1, "2026-01-01")
    for node in ("pi-1", "pi-2"):
        job.deliver(FIRST, node, rows)
    job.deliver(FIRST, "pi-3", rows, invalid=["pm10: '12,5' is not a double"] * 61)
    report = run(job, FIRST, "pi-1", "pi-2", "pi-3", onDrift="QuarantineNode")
    (found,) = report.quarantined_nodes
    assert found.node == "pi-3"
    assert "pm10 is no double in 61 of them, such as '12,5'" in found.difference


def test_a_node_whose_manifest_is_not_in_the_bucket_is_named(job: BucketJob) -> None:
    job.deliver(FIRST, "pi-1", readings(1, "2026-01-01"))
    with pytest.raises(AggregationError, match=r"node pi-2 has delivered.*s3://bucket-") as caught:
        run(job, FIRST, "pi-1", "pi-2")
    assert caught.value.reason == "ManifestMissing"


def test_what_is_wrong_with_key_bucket_or_server_is_said(
    job: BucketJob, s3_server: S3Server, tmp_path: Path
) -> None:
    key = tmp_path / "credentials"
    write_credentials(key, "not-it")
    document = msgspec.json.decode(json.dumps(job.document(FIRST)), type=AggregationDocument)
    absent = job.location.replace(job.bucket.name, "absent-bucket")
    for location, credentials, reason, said in (
        (job.location, key, "ResultsUnauthorized", "the credentials must be able"),
        (job.location, tmp_path / "absent", "ResultsUnauthorized", "No such file"),
        (absent, s3_server.credentials, "ResultsUnavailable", "NoSuchBucket: The specified"),
    ):
        with pytest.raises(AggregationError, match=said) as caught:
            aggregate(document, location, credentials=credentials)
        assert caught.value.reason == reason
        assert "not-it" not in caught.value.message


def test_each_run_leaves_a_report_in_the_bucket(
    job: BucketJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    path, _, query = job.location.partition("?")
    key = ["--s3-credentials", str(job.credentials)]
    place = [f"{path}/{job.namespace}/{job.name}?{query}", *key]
    for day, name in enumerate((FIRST, SECOND), 1):
        job.deliver(name, "pi-1", readings(day, f"2026-01-0{day}"))
        document = tmp_path / "document.json"
        document.write_text(json.dumps(job.document(name, "pi-1") | {"missingNodes": ["pi-9"]}))
        command = ["--document", str(document), "--results", job.location, *key]
        assert program.main(["run", *command, "--summary", str(tmp_path / "summary")]) == 0
    capfdbinary.readouterr()
    assert program.main(["reports", *place]) == 0
    assert json.loads(capfdbinary.readouterr().out) == {"runs": [SECOND, FIRST]}
    assert program.main(["reports", *place, "--run", FIRST]) == 0
    html = capfdbinary.readouterr().out.decode()
    assert "pi-9" in html
    assert html.count('<svg class="chart"') == 2
    assert "60 rows added" in html
    assert program.main(["reports", *place, "--run", "../rows"]) == 1
    assert b"has no report of a run ../rows" in capfdbinary.readouterr().err
    assert not list(scratch.glob("edge-etl-*")), "what was fetched is gone"


def test_the_table_command_works_over_a_bucket(
    job: BucketJob, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = readings(1, "2026-01-01"), readings(2, "2026-01-03")
    for number, (name, rows) in enumerate({FIRST: one, SECOND: two}.items(), 1):
        job.deliver(name, "pi-1", rows)
        assert run(job, name, "pi-1").version == number
    path, _, query = job.location.partition("?")
    place = f"{path}/{job.namespace}/{job.name}?{query}"

    def command(name: str, *options: str) -> Any:
        arguments = ["table", name, place, "--s3-credentials", str(job.credentials), *options]
        assert program.main([*arguments, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    assert [line["version"] for line in command("versions")] == [1, 2]
    assert all(line["good"] for line in command("verify"))
    assert command("rollback", "--to", "1")[0]["setAside"] == [f"{SECOND}/pi-1"]
    assert_table(job, [one])
    assert command("prune", "--keep", "1", "--grace-seconds", "0")[0]["left"] == [3]
    made = tools.rebuild(job.results, Spark(master="local[2]"))
    assert (made.version, made.manifests_merged) == (4, 2)
    assert_table(job, [one, two])


PAGE = (REPOSITORY / "docs" / "results.md").read_text()
READERS = re.findall(r"```python\n(import json\n.+?)```", PAGE, re.DOTALL)


@pytest.fixture
def published(job: BucketJob) -> tuple[BucketJob, int]:
    """Give a job with a table, and how many rows that has."""
    rows = readings(1, "2026-01-01")
    job.deliver(FIRST, "pi-1", rows)
    run(job, FIRST, "pi-1")
    return job, len(expected_rows(job, [rows]))


def told(code: str, job: BucketJob, **others: str) -> dict[str, Any]:
    """Run what the page says, with the test's server in the place of its own; return all names."""
    here = {
        "readings/garden/default/air-quality/table": f"{job.bucket.name}/results/{job.namespace}"
        f"/{job.name}/table",
        '"garden"': f'"{KEY_ID}"',
        '"…"': f'"{SECRET}"',
        **others,
    }
    for theirs, ours in here.items():
        assert theirs in code
        code = code.replace(theirs, ours)
    names: dict[str, Any] = {"pd": pd, "pl": pl, "duckdb": duckdb}
    exec(code, names)  # noqa: S102  # what the page says
    return names


def test_what_the_docs_tell_readers_of_a_bucket_to_write_reads_the_rows(
    published: tuple[BucketJob, int],
) -> None:
    job, expected = published
    shown = dict(re.findall(r"^\| (\w+) \| `(.+)` \|$", PAGE.split("| reader of a bucket |")[1],
                            re.MULTILINE))  # fmt: skip
    endpoint = urlsplit(job.bucket.server.endpoint).netloc
    ours = f'scheme="http", region="{REGION}", endpoint_override="{endpoint}"'
    names = told(READERS[0], job, **{'endpoint_override="nas.home:9000"': ours})
    globals()["rows"] = names["rows"]  # DuckDB looks where it is called
    for reader in ("pandas", "polars", "DuckDB"):
        found = eval(shown[reader], names)  # noqa: S307  # what the page says
        assert (found.shape[0] if reader == "DuckDB" else len(found)) == expected


def test_what_the_docs_tell_spark_reads_the_rows_from_a_bucket(
    published: tuple[BucketJob, int],
) -> None:
    job, expected = published
    server = {"https://nas.home:9000": job.bucket.server.endpoint, '"us-east-1"': f'"{REGION}"'}
    rows = told(READERS[1], job, **server)["rows"]
    assert rows.count() == expected
    assert {"day", "timestamp", "sensor_id"} <= set(rows.columns)


def test_the_edge_program_delivers_to_a_bucket_what_it_delivers_to_a_directory(
    s3_server: S3Server, tmp_path: Path
) -> None:
    """As a process over real readings; the aggregation then finds them, and readers the table."""
    bucket = s3_server.bucket()
    pis = [Pi.at(tmp_path / "directory"), Pi.at(tmp_path / "bucket")]
    for pi in pis:
        shutil.copytree(READINGS, pi.source, dirs_exist_ok=True)
    assert pis[0].run(FIRST).reason == "Delivered"
    arguments = pis[1].arguments(FIRST, "a")
    arguments[arguments.index("--results") + 1] = bucket.location()
    arguments += ["--s3-credentials", str(s3_server.credentials)]
    for reason in ("Delivered", "Delivered"):  # the second time what stands is said again
        done = subprocess.run(arguments, check=True, capture_output=True, text=True)
        assert json.loads(done.stdout)["reason"] == reason
        assert SECRET not in done.stdout + done.stderr

    job = BucketJob(tmp_path, bucket=bucket, namespace="default", name="air-quality")
    (delivery,) = job.results.deliveries()
    (manifest,) = pis[0].manifests()
    assert [file.sha256 for file in delivery.manifest.files] == [
        file.sha256 for file in manifest.files
    ]
    assert run(job, FIRST, "pi-1").rows == manifest.rows_clean
    found = job.read("rows")[["timestamp", "sensor_id", "pm10"]].astype({"sensor_id": str})
    delivered = pd.DataFrame(pis[0].delivered())
    order = ["timestamp", "sensor_id"]
    pd.testing.assert_frame_equal(
        found.sort_values(order, ignore_index=True),
        delivered.sort_values(order, ignore_index=True),
        check_dtype=False,
    )
