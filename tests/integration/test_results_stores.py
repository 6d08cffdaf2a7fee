"""What every place for results guarantees, the same tests for each of them."""

import errno
import hashlib
import os
import re
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from edge_etl_job.landing.identity import Identity
from edge_etl_job.results import ResultError, ResultStore, open_store
from edge_etl_job.results.layout import Attempt

from tests.support.landing import ACCOUNT, PLACE, Known, audience, manifest, serving, token
from tests.support.s3_server import TestBucket

Open = Callable[..., ResultStore]
OTHER_ATTEMPT = "6f1c1b1e-0000-4000-8000-000000000002"
RUN = PLACE["run"]
SHA256_OF_ROWS = hashlib.sha256(b"rows").hexdigest()


@dataclass
class Place:
    """A place for results: opens it, and tells what lies there."""

    open: Open
    """Opens the store for PLACE, of which single names can be changed."""
    written: Callable[[], dict[str, bytes]]
    """Returns all files except dataset.json, as they are called on a volume."""


@pytest.fixture(params=["directory", "other-disk", "landing", "s3"])
def place(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Place]:
    if request.param == "s3":
        yield in_bucket(request.getfixturevalue("s3_server").bucket())
        return
    root = tmp_path / "results"
    root.mkdir()
    if request.param == "other-disk":
        monkeypatch.setattr(os, "link", within_a_folder)
    if request.param in ("directory", "other-disk"):
        yield Place(lambda **changes: opened(str(root), **changes), below(root))
        return
    reviewer = Known()

    with serving(root, reviewer) as url:

        def open_landing(**changes: str) -> ResultStore:
            place = {**PLACE, **changes}
            pod = place["attempt"]
            its_token = token(audience(place["run"], place["job"]), pod=pod, node=place["node"])
            user = f"system:serviceaccount:{place['namespace']}:{ACCOUNT}"
            reviewer.known[its_token] = Identity(user, place["node"], pod)
            token_file = tmp_path / f"token-{len(reviewer.known)}"
            token_file.write_text(its_token + "\n")
            return open_store(url, Attempt(**place), token_file=token_file)

        yield Place(open_landing, below(root))


def within_a_folder(source: Path, target: Path, link: Callable[..., None] = os.link) -> None:
    """Link as if what lies in another folder were on another disk."""
    if source.parent != target.parent:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    link(source, target)


def opened(location: str, credentials: Path | None = None, **changes: str) -> ResultStore:
    return open_store(location, Attempt(**{**PLACE, **changes}), credentials=credentials)


def below(root: Path) -> Callable[[], dict[str, bytes]]:
    return lambda: {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name != "dataset.json"
    }


def in_bucket(bucket: TestBucket) -> Place:
    """Give a bucket, in which commits have a folder of their own."""

    def written() -> dict[str, bytes]:
        return {
            re.sub("/manifests/(.+)/(.+).json$", r"/runs/\2/\1/manifest.json", key)
            .removeprefix("some/where/"): content
            for key, content in bucket.files().items()
            if not key.endswith("/dataset.json")
        }  # fmt: skip

    credentials = bucket.server.credentials
    location = bucket.location("some/where")
    return Place(
        lambda **changes: opened(location, credentials, **changes),
        written,
    )


@pytest.fixture
def store(place: Place) -> ResultStore:
    return place.open()


def node_folder(run: str = RUN) -> str:
    return f"{PLACE['namespace']}/{PLACE['job']}/runs/{run}/{PLACE['node']}"


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., None]:
    def put_bytes(store: ResultStore, name: str, data: bytes, sha256: str | None = None) -> None:
        file = tmp_path / uuid.uuid4().hex
        file.write_bytes(data)
        store.put(name, file, sha256 or hashlib.sha256(data).hexdigest())

    return put_bytes


def test_a_dataset_has_one_id_for_ever(place: Place) -> None:
    first = place.open().dataset_id()
    assert uuid.UUID(first).version == 4
    assert place.open(node="pi-2", run="20261123-000000").dataset_id() == first
    assert place.open(job="other").dataset_id() != first


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_what_is_put_lies_in_the_attempts_folder(
    store: ResultStore, place: Place, put: Callable[..., None], size: int
) -> None:
    data = b"x" * size
    put(store, "rows-2026-11-22.parquet", data)
    path = f"{node_folder()}/{PLACE['attempt']}/rows-2026-11-22.parquet"
    assert place.written() == {path: data}


def test_putting_the_same_again_is_fine_and_other_content_is_refused(
    store: ResultStore, place: Place, put: Callable[..., None]
) -> None:
    put(store, "rows.parquet", b"one")
    put(store, "rows.parquet", b"one")
    with pytest.raises(ResultError) as refused:
        put(store, "rows.parquet", b"two")
    assert refused.value.reason == "ResultConflict"
    assert list(place.written().values()) == [b"one"]


@pytest.mark.parametrize("place", ["other-disk", "landing", "s3"], indirect=True)
def test_bytes_that_are_not_the_announced_ones_never_appear(
    store: ResultStore, place: Place, put: Callable[..., None]
) -> None:
    with pytest.raises(ResultError) as refused:
        put(store, "rows.parquet", b"torn", sha256=hashlib.sha256(b"whole").hexdigest())
    assert refused.value.reason == "DigestMismatch"
    assert place.written() == {}


@pytest.mark.parametrize(
    "name", ["", "..", ".", "a/b", "../x", "/etc/passwd", "Rows", "x" * 129, "a\n", "a\0", ".x"]
)
def test_a_file_name_that_is_none_is_refused(
    store: ResultStore, place: Place, put: Callable[..., None], name: str
) -> None:
    with pytest.raises(ResultError) as refused:
        put(store, name, b"data")
    assert refused.value.reason == "InvalidName"
    assert place.written() == {}


@pytest.mark.parametrize("part", sorted(PLACE))
@pytest.mark.parametrize("value", ["", "..", "a/b", "%2e%2e", "a\n", "x" * 300])
def test_a_place_whose_name_is_none_cannot_be_opened(part: str, value: str) -> None:
    for location in ("/results", "http://landing", "s3://bucket"):
        with pytest.raises(ResultError, match=f"not the name of a {part}"):
            opened(location, None, **{part: value})


def test_a_commit_shows_what_was_put(place: Place, put: Callable[..., None]) -> None:
    store = place.open()
    assert store.manifest(RUN) is None
    put(store, "rows.parquet", b"rows")
    ours = manifest({"rows.parquet": b"rows"})
    assert store.commit(ours) == ours
    assert store.commit(ours) == ours
    assert place.written()[f"{node_folder()}/manifest.json"] == ours
    # A later run looks up what became of an earlier one.
    later = place.open(run="20261123-000000", attempt=OTHER_ATTEMPT)
    assert later.manifest(RUN) == ours
    assert later.manifest("20261123-000000") is None
    assert place.open(node="pi-2").manifest(RUN) is None
    assert [later.runs(), place.open(node="pi-2").runs()] == [[RUN], []]


def test_a_commit_without_files_is_a_commit(store: ResultStore) -> None:
    ours = manifest({})
    assert store.commit(ours) == ours
    assert store.manifest(RUN) == ours


def test_of_two_attempts_the_first_stands(place: Place) -> None:
    first, second = manifest({}), manifest({}, attempt=OTHER_ATTEMPT)
    assert place.open().commit(first) == first
    late = place.open(attempt=OTHER_ATTEMPT)
    assert late.commit(second) == first
    assert late.manifest(RUN) == first


def test_attempts_that_commit_at_once_agree_on_one(place: Place) -> None:
    attempts = [f"attempt-{number}" for number in range(16)]
    stores = {attempt: place.open(attempt=attempt) for attempt in attempts}
    with ThreadPoolExecutor(len(attempts)) as pool:
        answers = set(pool.map(lambda a: stores[a].commit(manifest({}, attempt=a)), attempts))
    assert answers == set(place.written().values())
    assert len(answers) == 1


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (b"{", "not a node manifest"),
        (b"[]", "not a node manifest"),
        (manifest({}, kind="TableVersion"), "not a node manifest"),
        (manifest({}, node="pi-2"), "node is 'pi-2'"),
        (manifest({}, attempt=OTHER_ATTEMPT), "attempt is"),
        (manifest({}, run="20261123-000000"), "run is"),
        (manifest({"rows.parquet": b"rows", "more.parquet": b""}), "more.parquet is listed and no"),
        (manifest({"rows.parquet": b"Rows"}), "rows.parquet is not as the manifest says"),
        (manifest({"rows.parquet": b"row"}), "rows.parquet is not as the manifest says"),
        (
            manifest({}, files=[{"name": "rows.parquet", "bytes": 5, "sha256": SHA256_OF_ROWS}]),
            "rows.parquet is not as the manifest says",
        ),
        (manifest({"../manifest.json": b""}), "not the name of a file"),
        (
            manifest({}, files=[{"name": "a", "bytes": 1, "sha256": "00"}] * 2),
            "lists a file twice",
        ),
    ],
)
def test_a_manifest_that_is_not_true_is_no_commit(
    store: ResultStore, put: Callable[..., None], place: Place, wrong: bytes, message: str
) -> None:
    put(store, "rows.parquet", b"rows")
    with pytest.raises(ResultError, match=message):
        store.commit(wrong)
    assert store.manifest(RUN) is None
    assert list(place.written().values()) == [b"rows"]


def test_what_lies_on_the_same_disk_is_linked_and_only_else_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, file = tmp_path / "results", tmp_path / "file"
    root.mkdir()
    file.write_bytes(b"rows")
    store = opened(str(root))
    store.put("linked.parquet", file, SHA256_OF_ROWS)
    monkeypatch.setattr(os, "link", within_a_folder)
    store.put("copied.parquet", file, SHA256_OF_ROWS)
    folder = root / node_folder() / PLACE["attempt"]
    assert (folder / "linked.parquet").samefile(file)
    assert not (folder / "copied.parquet").samefile(file)
    assert sorted(below(root)().values()) == [b"rows", b"rows"], "nothing else is left there"


def test_a_commit_without_files_makes_no_folder_for_them(tmp_path: Path) -> None:
    opened(str(tmp_path)).commit(manifest({}))
    assert [path.name for path in (tmp_path / node_folder()).iterdir()] == ["manifest.json"]


def test_a_dataset_that_is_damaged_is_named(tmp_path: Path) -> None:
    store = opened(str(tmp_path))
    folder = tmp_path / PLACE["namespace"] / PLACE["job"]
    folder.mkdir(parents=True)
    (folder / "dataset.json").write_text("{}")
    with pytest.raises(ResultError, match=r"dataset.json is damaged"):
        store.dataset_id()


def test_a_root_that_is_missing_is_not_created(tmp_path: Path) -> None:
    store = opened(str(tmp_path / "absent"))
    with pytest.raises(ResultError) as refused:
        store.dataset_id()
    assert refused.value.reason == "ResultsUnavailable"
    assert str(tmp_path / "absent") in refused.value.message
    assert not (tmp_path / "absent").exists()
