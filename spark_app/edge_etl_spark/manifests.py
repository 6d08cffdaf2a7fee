"""Find what the nodes delivered, and make sure that it is what they committed."""

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_etl_spark.documents import (
    AggregationDocument,
    DeliveredFile,
    MergedManifest,
    NodeManifest,
)
from edge_etl_spark.errors import MANIFEST_MISSING, RESULTS_CORRUPT, AggregationError
from edge_etl_spark.paths import JobPaths
from edge_etl_spark.versions import Version


@dataclass(frozen=True)
class Delivery:
    """A node's committed result of one run; ordered by run and node wherever order counts."""

    manifest: NodeManifest
    directory: Path

    @property
    def identity(self) -> MergedManifest:
        """Name the delivery as a version manifest does."""
        return MergedManifest(
            run=self.manifest.run, node=self.manifest.node, attempt=self.manifest.attempt
        )

    @property
    def paths(self) -> list[Path]:
        """Where its files are."""
        return [self.directory / file.name for file in self.manifest.files]

    def files(self, kind: str) -> Iterator[tuple[DeliveredFile, Path]]:
        """Yield the non-empty files of ``kind`` with their paths."""
        for file in self.manifest.files:
            if file.kind == kind and file.rows:
                yield file, self.directory / file.name


def discover(paths: JobPaths) -> tuple[Delivery, ...]:
    """Return every committed delivery of the job in the order of (run, node).

    A directory without a manifest is an attempt that has not committed, and is not looked into.
    Raises AggregationError (ResultsCorrupt) for a manifest that cannot be understood.
    """
    found = sorted(paths.runs.glob("*/*/manifest.json"), key=lambda path: path.parts[-3:-1])
    return tuple(_read(path) for path in found)


def _read(path: Path) -> Delivery:
    run, node = path.parts[-3:-1]
    manifest = decoded(path.read_bytes(), str(path), run, node)
    return Delivery(manifest, path.parent / manifest.attempt)


def decoded(content: bytes, where: str, run: str, node: str) -> NodeManifest:
    """Understand the manifest of a node in a run; AggregationError (ResultsCorrupt) otherwise."""
    try:
        manifest = msgspec.json.decode(content, type=NodeManifest)
    except msgspec.DecodeError as error:
        raise AggregationError(
            RESULTS_CORRUPT, f"{where} is not a node manifest: {error}; {_REMEDY.format(node=node)}"
        ) from None
    if (manifest.run, manifest.node) != (run, node):
        raise AggregationError(
            RESULTS_CORRUPT,
            f"{where} names run {manifest.run} and node {manifest.node}; it was moved or altered",
        )
    return manifest


def settled_in(current: Version | None) -> set[MergedManifest]:
    """Return the deliveries that a version holds, or that a rollback took out of it."""
    if current is None:
        return set()
    return {*current.manifest.merged, *current.manifest.set_aside}


def pending(
    document: AggregationDocument, deliveries: Iterable[Delivery], current: Version | None
) -> tuple[tuple[Delivery, ...], tuple[Delivery, ...]]:
    """Return what is to be merged now, and what is too late for it and to be set aside.

    Late is what came when its own run had been published already; a delivery of a run that never
    was is not.
    """
    if current is None:
        return tuple(deliveries), ()
    settled = settled_in(current)
    new = [delivery for delivery in deliveries if delivery.identity not in settled]
    if document.late_data == "Merge":
        return tuple(new), ()
    published = {merged.run for merged in current.manifest.merged} - {document.run}
    late = [delivery for delivery in new if delivery.manifest.run in published]
    return tuple(delivery for delivery in new if delivery not in late), tuple(late)


def require_nodes(
    document: AggregationDocument,
    deliveries: Collection[Delivery],
    settled: Collection[MergedManifest],
    where: str,
) -> None:
    """Raise AggregationError (ManifestMissing) unless each of the document's nodes delivered.

    What is settled already had been delivered. ``where`` is the place of the results.
    """
    delivered = {(delivery.manifest.run, delivery.manifest.node) for delivery in deliveries}
    delivered |= {(item.run, item.node) for item in settled}
    missing = [item.node for item in document.nodes if (document.run, item.node) not in delivered]
    if not missing:
        return
    others = f" (and {len(missing) - 1} more nodes)" if len(missing) > 1 else ""
    raise AggregationError(
        MANIFEST_MISSING,
        f"node {missing[0]}{others} has delivered, but its manifest of run {document.run} is not "
        f"in {where}; check that the driver works on the same volume and sub-path, or bucket and "
        "prefix, as the edge pods or the landing service write to",
    )


def measure(path: Path) -> tuple[int, str]:
    """Return a file's size in bytes and its SHA-256."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        return stream.tell(), digest


def verify(delivery: Delivery, measured: Callable[[Path], tuple[int, str]] = measure) -> None:
    """Compare every listed file with the manifest: it is there, with its bytes and SHA-256.

    Raises AggregationError (ResultsCorrupt) naming the first file that differs.
    """
    for file in delivery.manifest.files:
        path = delivery.directory / file.name
        try:
            size, digest = measured(path)
        except FileNotFoundError:
            raise _corrupt(delivery, path, "is not there") from None
        if size != file.bytes:
            raise _corrupt(delivery, path, f"has {size} bytes instead of {file.bytes}")
        if digest != file.sha256:
            raise _corrupt(delivery, path, "has another SHA-256 than its manifest says")


_REMEDY = (
    "restore the file, or remove this run's directory of node {node} and its ledger so that the "
    "node delivers its files again"
)


def _corrupt(delivery: Delivery, path: Path, what: str) -> AggregationError:
    remedy = _REMEDY.format(node=delivery.manifest.node)
    return AggregationError(RESULTS_CORRUPT, f"{path} {what}; {remedy}")
