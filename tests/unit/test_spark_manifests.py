"""What the aggregation takes for a delivery, and what it says about a broken one."""

import json
from pathlib import Path

import pytest
from edge_etl_spark import document as documents
from edge_etl_spark import manifests
from edge_etl_spark.documents import AggregationDocument, MergedManifest
from edge_etl_spark.errors import AggregationError
from edge_etl_spark.paths import JobPaths
from edge_etl_spark.versions import Version

from tests.support.node_results import Job, frame
from tests.support.version_manifests import version_manifest

RUN, LATER = "20260101-000000", "20260102-000000"


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path / "results")


def paths(job: Job) -> JobPaths:
    return JobPaths(job.root, job.namespace, job.name)


def read_document(job: Job, tmp_path: Path, *nodes: str, **changes: object) -> AggregationDocument:
    path = tmp_path / "aggregation.json"
    path.write_text(json.dumps(job.document(RUN, *nodes) | changes))
    return documents.read(path)


def rows(sensor: str = "a") -> object:
    return frame([("2026-01-01T00:00:00Z", sensor, 1.0), ("2026-01-02T00:00:00Z", sensor, 2.0)])


def test_deliveries_are_ordered_by_run_then_node(job: Job) -> None:
    for run, node in ((LATER, "a"), (RUN, "b"), (RUN, "a-1"), (RUN, "a")):
        job.deliver(run, node, rows())
    found = [(item.manifest.run, item.manifest.node) for item in manifests.discover(paths(job))]
    assert found == [(RUN, "a"), (RUN, "a-1"), (RUN, "b"), (LATER, "a")]


def test_an_attempt_that_has_not_committed_is_not_seen(job: Job) -> None:
    job.deliver(RUN, "pi-1", rows()).unlink()
    assert manifests.discover(paths(job)) == ()


def test_a_results_root_without_the_job_holds_no_deliveries(job: Job) -> None:
    assert manifests.discover(paths(job)) == ()


def test_a_missing_node_is_named_with_its_path_and_what_to_check(job: Job, tmp_path: Path) -> None:
    job.deliver(RUN, "pi-1", rows())
    document = read_document(job, tmp_path, "pi-1", "pi-2")
    with pytest.raises(AggregationError) as caught:
        manifests.require_nodes(document, manifests.discover(paths(job)), (), "/results/j")
    assert caught.value.reason == "ManifestMissing"
    assert "node pi-2 has delivered" in caught.value.message
    assert f"its manifest of run {RUN} is not in /results/j" in caught.value.message
    assert "works on the same volume" in caught.value.message


def test_a_manifest_of_an_earlier_run_does_not_stand_for_this_run(job: Job, tmp_path: Path) -> None:
    job.deliver("20251231-000000", "pi-1", rows())
    document = read_document(job, tmp_path, "pi-1")
    with pytest.raises(AggregationError, match="node pi-1 has delivered"):
        manifests.require_nodes(document, manifests.discover(paths(job)), (), "/results/j")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"kind": "NodeManifest"}', b"\x00\xff"])
def test_a_manifest_that_cannot_be_understood_is_named(job: Job, content: bytes) -> None:
    path = job.deliver(RUN, "pi-1", rows())
    path.write_bytes(content)
    with pytest.raises(AggregationError) as caught:
        manifests.discover(paths(job))
    assert caught.value.reason == "ResultsCorrupt"
    assert str(path) in caught.value.message


def test_a_manifest_in_the_wrong_place_is_refused(job: Job) -> None:
    path = job.deliver(RUN, "pi-1", rows())
    path.parent.rename(path.parent.with_name("pi-2"))
    with pytest.raises(AggregationError, match="names run 20260101-000000 and node pi-1"):
        manifests.discover(paths(job))


def test_whole_files_pass(job: Job) -> None:
    job.deliver(RUN, "pi-1", rows())
    (delivery,) = manifests.discover(paths(job))
    manifests.verify(delivery)
    assert [file.day for file, _ in delivery.files("rows")] == ["2026-01-01", "2026-01-02"]


def test_a_file_that_is_gone_cut_or_altered_is_named(job: Job) -> None:
    directory = job.deliver(RUN, "pi-1", rows()).parent / "a1"
    (delivery,) = manifests.discover(paths(job))
    path = directory / "rows-2026-01-01.parquet"
    content = path.read_bytes()
    for damaged, said in (
        (content[:-1], f"has {len(content) - 1} bytes instead of {len(content)}"),
        (bytes([content[0] ^ 1]) + content[1:], "has another SHA-256"),
        (None, "is not there"),
    ):
        path.unlink()
        if damaged is not None:
            path.write_bytes(damaged)
        with pytest.raises(AggregationError, match=said) as caught:
            manifests.verify(delivery)
        assert caught.value.reason == "ResultsCorrupt"
        assert str(path) in caught.value.message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"key": ["nothing"]}, "$.key: nothing is not a field"),
        ({"groupBy": ["nothing"]}, "$.groupBy: nothing is not a field"),
        ({"window": "0h"}, "$.window"),
        ({"window": "1 hour"}, "$.window"),
        ({"fields": [{"name": "day", "type": "string"}]}, "$.fields: day is a column"),
        ({"fields": [{"name": "a", "type": "long"}] * 2}, "$.fields: a is there twice"),
        (
            {
                "fields": [{"name": "sensor_id", "type": "long"}, {"name": "mean", "type": "long"}],
                "groupBy": ["mean"],
            },
            "$.groupBy: mean is a column",
        ),
        ({"surprise": 1}, "unknown field `surprise`"),
        ({"kind": "EdgeJob"}, "$.kind"),
    ],
)
def test_a_wrong_document_is_explained(
    job: Job, tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(AggregationError) as caught:
        read_document(job, tmp_path, "pi-1", **changes)
    assert caught.value.reason == "DocumentInvalid"
    assert said in caught.value.message
    assert "aggregation.json" in caught.value.message


def test_a_document_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(AggregationError, match="No such file"):
        documents.read(tmp_path / "aggregation.json")


def published(*merged: tuple[str, str]) -> Version:
    manifest = version_manifest(
        run=merged[-1][0],
        merged=tuple(MergedManifest(run=run, node=node, attempt="a1") for run, node in merged),
    )
    return Version(Path(), manifest)


UNPUBLISHED = "20260101-120000"


@pytest.mark.parametrize(
    ("policy", "merged", "left_out"),
    [
        ("Merge", ["pi-1", "pi-2", "pi-3"], []),
        ("Ignore", ["pi-1", "pi-2"], ["pi-3"]),
    ],
)
def test_what_came_after_its_run_was_published_is_late(
    job: Job, tmp_path: Path, policy: str, merged: list[str], left_out: list[str]
) -> None:
    job.deliver(RUN, "pi-0", rows())
    job.deliver(RUN, "pi-3", rows())
    # That run failed after this delivery: it is not late.
    job.deliver(UNPUBLISHED, "pi-1", rows())
    job.deliver(LATER, "pi-2", rows())
    document = read_document(job, tmp_path, "pi-2", run=LATER, lateData=policy)
    found = manifests.discover(paths(job))
    new, late = manifests.pending(document, found, published((RUN, "pi-0")))
    assert sorted(each.manifest.node for each in new) == merged
    assert [each.manifest.node for each in late] == left_out


def test_a_run_that_is_aggregated_again_is_not_late(job: Job, tmp_path: Path) -> None:
    job.deliver(RUN, "pi-0", rows())
    job.deliver(RUN, "pi-3", rows())
    document = read_document(job, tmp_path, "pi-0", "pi-3", lateData="Ignore")
    found = manifests.discover(paths(job))
    new, late = manifests.pending(document, found, published((RUN, "pi-0")))
    assert ([each.manifest.node for each in new], late) == (["pi-3"], ())


def test_before_the_first_version_nothing_is_late(job: Job, tmp_path: Path) -> None:
    job.deliver(RUN, "pi-0", rows())
    document = read_document(job, tmp_path, "pi-0", run=LATER, lateData="Ignore")
    found = manifests.discover(paths(job))
    assert manifests.pending(document, found, None) == (found, ())
