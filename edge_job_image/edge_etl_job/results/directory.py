"""Results in a directory: what the rules of storing and committing are.

The edge program uses it where the volume is mounted into its pod, the landing service where it
receives the same over HTTP.
"""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from edge_etl_job.results.durable import (
    Incoming,
    explained,
    linked,
    make_folder,
    sha256_of,
    sync_way,
)
from edge_etl_job.results.errors import (
    DIGEST_MISMATCH,
    MANIFEST_INVALID,
    RESULT_CONFLICT,
    RESULTS_UNAVAILABLE,
    ResultError,
)
from edge_etl_job.results.layout import DATASET, MANIFEST, Attempt, Dataset, NodeRun, checked


class _DatasetDocument(msgspec.Struct, frozen=True):
    id: str


def new_dataset() -> bytes:
    """Return a ``dataset.json`` with an id that no other dataset has."""
    # As uuid.uuid4() has it, which is slow to import.
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) % 4]
    parts = (
        digits[:8],
        digits[8:12],
        f"4{digits[13:16]}",
        f"{variant}{digits[17:20]}",
        digits[20:],
    )
    return msgspec.json.encode(_DatasetDocument("-".join(parts)))


def id_of(dataset: bytes, place: object) -> str:
    """Return the id in a ``dataset.json``; ``place`` says where it lies."""
    try:
        return msgspec.json.decode(dataset, type=_DatasetDocument).id
    except msgspec.DecodeError as error:
        raise ResultError(RESULTS_UNAVAILABLE, f"{place} is damaged: {error}") from error


class Listed(msgspec.Struct, frozen=True):
    """A file as a manifest lists it."""

    name: str
    bytes: int
    sha256: str


class _Committed(msgspec.Struct, frozen=True):
    """What a commit depends on; other fields of a manifest, also newer ones, are let through."""

    kind: Literal["NodeManifest"]
    namespace: str
    job: str
    run: str
    node: str
    attempt: str
    files: tuple[Listed, ...]


def dataset_id(root: Path, dataset: Dataset) -> str:
    """Return the dataset's id; the first who asks makes it."""
    folder = make_folder(root, dataset.folder)
    path = folder / DATASET
    if not path.exists():
        with Incoming(folder, digested=False) as incoming:
            incoming.write(new_dataset())
            incoming.publish(DATASET)
    return id_of(path.read_bytes(), path)


def runs(root: Path, place: NodeRun) -> list[str]:
    """Return the runs in which a node committed, in their order."""
    manifests = (root / place.folder / "runs").glob(f"*/{place.node}/{MANIFEST}")
    return sorted(path.parent.parent.name for path in manifests)


def read_manifest(root: Path, place: NodeRun) -> bytes | None:
    """Return the manifest that a node committed in a run."""
    try:
        return (root / place.node_folder / MANIFEST).read_bytes()
    except FileNotFoundError:
        return None


def publish_file(incoming: Incoming, name: str, sha256: str, *, durably: bool = True) -> bool:
    """Publish a file of an attempt; return False if it was there, raise if another was.

    What is not named ``durably`` here is so when a manifest is published.
    """
    if incoming.sha256 != sha256:
        message = f"{name}: the bytes have SHA-256 {incoming.sha256}, announced was {sha256}"
        raise ResultError(DIGEST_MISMATCH, message)
    created = incoming.publish(name, durably=durably)
    if not created:
        _require_same(incoming.folder / name, sha256)
    return created


def _require_same(path: Path, sha256: str) -> None:
    if sha256_of(path) != sha256:
        message = f"{path.name}: the attempt has stored other content before"
        raise ResultError(RESULT_CONFLICT, message)


def publish_manifest(
    root: Path, attempt: Attempt, incoming: Incoming, known: Mapping[str, tuple[int, str]] = {}
) -> tuple[bytes, bool]:
    """Commit an attempt; return the manifest that stands, and whether it came to stand now.

    ``known`` says of files that this process has just published what is in them (``require``).
    """
    standing = read_manifest(root, attempt)
    if standing is not None:
        return standing, False
    manifest = incoming.read()
    files = listed(attempt, manifest)
    _check(root / attempt.attempt_folder, files, known)
    # After this nothing that the manifest names can be lost any more, whoever made its folder.
    sync_way(root, attempt.attempt_folder if files else attempt.node_folder.parent)
    created = incoming.publish(MANIFEST)
    return (root / attempt.node_folder / MANIFEST).read_bytes(), created


def _check(folder: Path, files: Iterable[Listed], known: Mapping[str, tuple[int, str]]) -> None:
    """Raise unless the files of a manifest are there byte for byte."""
    for file in files:
        path = folder / file.name
        there = known.get(file.name)
        if there is None and path.is_file():
            there = path.stat().st_size, sha256_of(path)
        require(file, there)


def listed(attempt: Attempt, manifest: bytes) -> tuple[Listed, ...]:
    """Return the files of a manifest; raise unless it is one, and of this attempt."""
    try:
        document = msgspec.json.decode(manifest, type=_Committed)
    except msgspec.DecodeError as error:
        raise ResultError(MANIFEST_INVALID, f"not a node manifest: {error}") from error
    for name in attempt.__struct_fields__:
        stated, expected = getattr(document, name), getattr(attempt, name)
        if stated != expected:
            message = f"the manifest's {name} is {stated[:100]!r}, not {expected!r}"
            raise ResultError(MANIFEST_INVALID, message)
    if len({checked("file", file.name) for file in document.files}) < len(document.files):
        raise ResultError(MANIFEST_INVALID, "the manifest lists a file twice")
    return document.files


def require(file: Listed, there: tuple[int, str] | None) -> None:
    """Raise unless what is there of a file, its bytes and SHA-256, is what a manifest says."""
    if there is None:
        raise ResultError(MANIFEST_INVALID, f"{file.name} is listed and not there")
    if there != (file.bytes, file.sha256):
        raise ResultError(MANIFEST_INVALID, f"{file.name} is not as the manifest says")


class DirectoryStore:
    """Results in a directory that is mounted here."""

    def __init__(self, root: Path, attempt: Attempt) -> None:
        self.at_once = 4
        self._root = root
        self._attempt = attempt
        self._folder: Path | None = None
        self._put: dict[str, tuple[int, str]] = {}

    def dataset_id(self) -> str:
        """Return the dataset's id."""
        with explained(self._root):
            return dataset_id(self._root, self._attempt)

    def runs(self) -> list[str]:
        """Return the runs in which this node committed."""
        with explained(self._root):
            return runs(self._root, self._attempt)

    def manifest(self, run: str) -> bytes | None:
        """Return what this node committed in a run."""
        with explained(self._root):
            return read_manifest(self._root, self._attempt.in_run(run))

    def put(self, name: str, file: Path, sha256: str) -> None:
        """Store a file of this attempt.

        Where it is linked nothing is copied that would have to be checked.
        """
        checked("file", name)
        with explained(self._root):
            if self._folder is None:
                folder = self._attempt.attempt_folder
                self._folder = make_folder(self._root, folder, durably=False)
            target = self._folder / name
            created = linked(file, target)
            if created is None:
                with Incoming(self._folder) as incoming:
                    incoming.copy(file)
                    publish_file(incoming, name, sha256, durably=False)
            else:
                self.at_once = 1  # there is little to wait for
                if not created:
                    _require_same(target, sha256)
            self._put[name] = file.stat().st_size, sha256

    def commit(self, manifest: bytes) -> bytes:
        """Publish what was put."""
        with explained(self._root):
            folder = make_folder(self._root, self._attempt.node_folder, durably=False)
            with Incoming(folder, digested=False) as incoming:
                incoming.write(manifest)
                return publish_manifest(self._root, self._attempt, incoming, self._put)[0]
