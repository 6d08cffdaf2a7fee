"""One job's results as the aggregation sees them, whether in a directory or in a bucket."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from edge_etl_spark import manifests, publish, versions
from edge_etl_spark.documents import MergedManifest, VersionManifest
from edge_etl_spark.errors import AggregationError
from edge_etl_spark.files import Files, LocalFiles
from edge_etl_spark.manifests import Delivery, measure
from edge_etl_spark.paths import JobPaths
from edge_etl_spark.versions import Version, version_name


class Results(Files, Protocol):
    """What the nodes of a job delivered, and its table. A version is published whole or not at all.

    Paths are of this machine. Where the files are elsewhere, `fetch` brings them, and `publish`
    takes those of a new version there; or they stay there, and the paths are names (`Files`).
    """

    @property
    def where(self) -> str:
        """The place of the results, for people."""

    def deliveries(self, settled: Collection[MergedManifest] = ()) -> tuple[Delivery, ...]:
        """Return what was delivered, ordered by run and node; what is settled may be left out."""

    def fetch(self, paths: Iterable[Path]) -> list[Path]:
        """Bring files of deliveries and versions to their paths; return those that are there."""

    def exclusive(self, wait_seconds: float = 60) -> AbstractContextManager[None]:
        """Hold the table, where that can be, and clean up in the end; AggregationError if busy."""

    def recover(self) -> None:
        """Finish or clear away what an aggregation left that died."""

    def numbers(self) -> list[int]:
        """Return the numbers of all published versions, the newest last."""

    def read(self, number: int) -> Version:
        """Return a published version; AggregationError (TableCorrupt) without a good manifest."""

    def current(self) -> int | None:
        """Return the number of the version that readers are led to."""

    def published(self, number: int) -> datetime:
        """Return when a version was published."""

    def present(self, version: Version) -> set[str]:
        """Return the paths of a version's files that are there, also of those it does not list."""

    def measure(self, version: Version, path: str) -> tuple[int, str]:
        """Return size and SHA-256 of a version's file, as it lies there."""

    def new_staging(self, run: str) -> Path:
        """Make an empty directory in which a version can be built."""

    def carry_over(
        self, version: Version, staging: Path, paths: Collection[str], *, readable: bool
    ) -> None:
        """Let a new version share files of another; if ``readable``, they are in staging then."""

    def publish(self, staging: Path, manifest: VersionManifest) -> None:
        """Make what the manifest lists the current version; AggregationError if another was first.

        Files that an earlier version has already need not be in staging after `carry_over`.
        """

    def prune(self, keep: int, grace_seconds: float) -> tuple[int, ...]:
        """Remove old versions by the rule of `publish.prune`; return their numbers."""

    def event_log(self) -> AbstractContextManager[Path]:
        """Give a directory for Spark's event log, which is kept also when the block fails."""

    def manifest(self, run: str, node: str) -> bytes:
        """Return what a node committed in a run; FileNotFoundError where it did not."""

    def attempt(self, run: str, node: str, attempt: str) -> Path:
        """Return the directory of an attempt's files."""

    def reports(self) -> list[str]:
        """Return the runs that have a report for people, the latest first."""

    def report(self, run: str) -> bytes:
        """Return the report of a run; FileNotFoundError where it has none."""

    def put_report(self, run: str, html: bytes, keep: int) -> str:
        """Put the report of a run in its place as a whole, and remove those that are too old.

        Returns the place.
        """


class DirectoryResults(LocalFiles):
    """Results on a volume that is mounted here: a claim's, or the landing service's."""

    def __init__(self, paths: JobPaths) -> None:
        self._paths = paths
        self._table = paths.table

    @property
    def where(self) -> str:
        """The job's directory."""
        return str(self._paths.directory)

    def deliveries(self, settled: Collection[MergedManifest] = ()) -> tuple[Delivery, ...]:
        """Return all deliveries: to read a manifest costs little here."""
        return manifests.discover(self._paths)

    def fetch(self, paths: Iterable[Path]) -> list[Path]:
        """Do nothing: all is here."""
        return [path for path in paths if path.is_file()]

    def exclusive(self, wait_seconds: float = 60) -> AbstractContextManager[None]:
        """Hold the table by its lock."""
        return publish.exclusive(self._table, wait_seconds)

    def recover(self) -> None:
        """Clear staging, and let ``current`` point to the newest version."""
        publish.recover(self._table)

    def numbers(self) -> list[int]:
        """Return the numbers of all versions."""
        return versions.version_numbers(self._table)

    def read(self, number: int) -> Version:
        """Return a version."""
        return versions.read_version(self._table, number)

    def current(self) -> int | None:
        """Return what ``current`` points to."""
        link = self._table / "current"
        match = versions.NAME.fullmatch(link.readlink().name) if link.is_symlink() else None
        return int(match[1]) if match else None

    def published(self, number: int) -> datetime:
        """Return when the version's directory got its name."""
        modified = (self._table / "versions" / version_name(number)).stat().st_mtime
        return datetime.fromtimestamp(modified, UTC)

    def present(self, version: Version) -> set[str]:
        """Return all files of the version's directory but its manifest."""
        return {
            path.relative_to(version.directory).as_posix()
            for path in version.directory.rglob("*")
            if path.is_file()
        } - {"version.json"}

    def measure(self, version: Version, path: str) -> tuple[int, str]:
        """Read a file."""
        return measure(version.directory / path)

    def new_staging(self, run: str) -> Path:
        """Make a directory on the same volume."""
        return publish.new_staging(self._table, run)

    def carry_over(
        self, version: Version, staging: Path, paths: Collection[str], *, readable: bool
    ) -> None:
        """Link the files, or copy them."""
        for path in paths:
            publish.carry_over(version.directory, staging, path)

    def publish(self, staging: Path, manifest: VersionManifest) -> None:
        """Rename staging to the version."""
        publish.publish(self._table, staging, manifest)

    def prune(self, keep: int, grace_seconds: float) -> tuple[int, ...]:
        """Remove the directories of old versions."""
        return publish.prune(self._table, keep, grace_seconds)

    @contextmanager
    def event_log(self) -> Iterator[Path]:
        """Give the directory itself."""
        self._paths.spark_events.mkdir(parents=True, exist_ok=True)
        yield self._paths.spark_events

    def manifest(self, run: str, node: str) -> bytes:
        """Read it."""
        return self._paths.manifest(run, node).read_bytes()

    def attempt(self, run: str, node: str, attempt: str) -> Path:
        """Return where the node wrote it."""
        return self._paths.manifest(run, node).parent / attempt

    def reports(self) -> list[str]:
        """List the directory of reports."""
        return sorted((path.stem for path in self._paths.reports.glob("[0-9]*.html")), reverse=True)

    def report(self, run: str) -> bytes:
        """Read a file."""
        return self._report(run).read_bytes()

    def put_report(self, run: str, html: bytes, keep: int) -> str:
        """Write a file beside its place, and move it there."""
        path = self._report(run)
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.name}.new")
        new.write_bytes(html)
        new.replace(path)
        for old in self.reports()[keep:]:
            self._report(old).unlink(missing_ok=True)
        return str(path)

    def _report(self, run: str) -> Path:
        return self._paths.reports / f"{run}.html"


def in_bucket(location: str | Path) -> bool:
    """Tell whether a place of results is a bucket: ``s3://bucket/prefix?endpoint=…``."""
    return str(location).startswith("s3://")


def open_results(
    location: str | Path,
    namespace: str,
    job: str,
    credentials: Path | None = None,
    *,
    executors: bool = False,
) -> Results:
    """Open a job's results below a directory or in a bucket (`in_bucket`).

    ``credentials`` is the file with the key to the bucket. With ``executors`` Spark's processes
    are on several machines.
    """
    if in_bucket(location):
        # Only who has results in a bucket loads the library.
        from edge_etl_spark.bucket import BucketResults
        from edge_etl_spark.shared_bucket import SharedBucketResults

        opened = SharedBucketResults if executors else BucketResults
        return opened(str(location), namespace, job, credentials)
    return DirectoryResults(JobPaths(Path(location), namespace, job))


def latest(results: Results) -> Version | None:
    """Return the newest version, or None if nothing was published yet.

    Raises AggregationError (TableCorrupt) when its manifest cannot be read.
    """
    numbers = results.numbers()
    return results.read(numbers[-1]) if numbers else None


def readable(results: Results) -> list[Version]:
    """Return the versions whose manifests are good, the newest last."""
    found = []
    for number in results.numbers():
        with suppress(AggregationError):
            found.append(results.read(number))
    return found
