"""Results in a bucket of an S3-compatible server.

Below ``<prefix>/<namespace>/<job>/``:

    manifests/<node>/<run>.json           the commits of the nodes, their files in runs/
    table/data/rows/day=…/<name>.parquet  files of versions; a name is never used again
    table/versions/v000007.json           the version manifest: the commit
    table/current.json                    the newest of them again, for readers
    reports/<run>.html                    the reports of runs, for people

A version lists its files, so those that did not change are shared by naming them. Version manifests
are made by a conditional put (``If-None-Match: *``), of which the server lets one win; that is all
that keeps two aggregations apart, since a bucket has no locks.

What Spark reads comes to a directory of this machine first, and what it wrote goes to the bucket
afterwards: no Java process holds the key, and the client is one library and not Hadoop's. Where
Spark has executors on other nodes, that cannot be (`shared_bucket.py`).
"""

import itertools
import re
import shutil
import tempfile
import uuid
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from edge_etl_spark import manifests
from edge_etl_spark.bucket_garbage import DATA, sweep
from edge_etl_spark.documents import MergedManifest, VersionManifest
from edge_etl_spark.errors import RESULTS_UNAVAILABLE, TABLE_BUSY, AggregationError
from edge_etl_spark.files import LocalFiles
from edge_etl_spark.manifests import Delivery
from edge_etl_spark.objects import Objects
from edge_etl_spark.versions import NAME, Version, decoded, version_name

_AT_ONCE: Final = 8
"""Objects that travel at a time."""
_DATASET: Final = "dataset.json"
_VERSIONS: Final = "table/versions"
_CURRENT: Final = "table/current.json"
_REPORTS: Final = "reports"
_REPORT: Final = re.compile(r"([0-9].*)\.html")
_TRIES: Final = 5
_Of = TypeVar("_Of")
_Made = TypeVar("_Made")


class BucketResults(LocalFiles):
    """Results in a bucket; what is fetched lies in a directory until `exclusive` ends.

    What is fetched outside of it is removed with this object.
    """

    def __init__(
        self, location: str, namespace: str, job: str, credentials: Path | None = None
    ) -> None:
        self._objects = Objects(location, f"{namespace}/{job}", credentials)
        self.where = self._objects.where
        self._scratch = Path(tempfile.gettempdir()) / f"edge-etl-{uuid.uuid4().hex}"
        weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)
        self._there: set[str] = set()
        """Paths of files that a version lists which was read here."""

    def deliveries(self, settled: Collection[MergedManifest] = ()) -> tuple[Delivery, ...]:
        """Read the manifests that are not settled."""
        known = {(item.run, item.node) for item in settled}
        found = []
        for item in self._objects.list("manifests"):
            _, node, name = item["path"].split("/")
            run = name.removesuffix(".json")
            if (run, node) not in known:
                found.append((run, node))
        return at_once(lambda of: self.delivery(*of), sorted(found))

    def fetch(self, paths: Iterable[Path]) -> list[Path]:
        """Download files to the scratch directory."""
        wanted = dict.fromkeys(paths)
        at_once(self._download, wanted)
        return [path for path in wanted if path.is_file()]

    @contextmanager
    def exclusive(self, wait_seconds: float = 60) -> Iterator[None]:
        """Remove what was fetched in the end; a bucket has no locks."""
        try:
            yield
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def recover(self) -> None:
        """Lead readers to the newest version, where an aggregation died before it did."""
        numbers = self.numbers()
        if numbers and self.current() != numbers[-1]:
            self._point_to(numbers[-1], self._objects.get(_version_key(numbers[-1])))

    def numbers(self) -> list[int]:
        """List the version manifests."""
        matches = (
            NAME.fullmatch(Path(item["path"]).stem) for item in self._objects.list(_VERSIONS)
        )
        return sorted(int(match[1]) for match in matches if match)

    def read(self, number: int) -> Version:
        """Read a version manifest."""
        key = _version_key(number)
        try:
            content = self._objects.get(key)
        except FileNotFoundError:
            content = b""
        manifest = decoded(content, f"{self.where}/{key}")
        self._there |= {file.path for file in manifest.files}
        return Version(self._scratch / DATA, manifest)

    def current(self) -> int | None:
        """Read what readers read."""
        try:
            return decoded(self._objects.get(_CURRENT), f"{self.where}/{_CURRENT}").version
        except FileNotFoundError:
            return None

    def published(self, number: int) -> datetime:
        """Return when the version manifest was made."""
        return self._objects.modified(_version_key(number))

    def present(self, version: Version) -> set[str]:
        """Return those listed files that are there: others may be another version's."""
        there = {item["path"].removeprefix(f"{DATA}/") for item in self._objects.list(DATA)}
        return there & {file.path for file in version.manifest.files}

    def measure(self, version: Version, path: str) -> tuple[int, str]:
        """Read an object."""
        return self._objects.measure(f"{DATA}/{path}")

    def new_staging(self, run: str) -> Path:
        """Make a directory of this machine."""
        staging = self._scratch / "staging" / f"{run}-{uuid.uuid4().hex[:12]}"
        staging.mkdir(parents=True)
        return staging

    def carry_over(
        self, version: Version, staging: Path, paths: Collection[str], *, readable: bool
    ) -> None:
        """Fetch the files if they are to be read; to list them is enough otherwise."""
        if not readable:
            return
        self.fetch(version.directory / path for path in paths)
        for path in paths:
            target = staging / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(version.directory / path)

    def publish(self, staging: Path, manifest: VersionManifest) -> None:
        """Upload what is new, then make the version manifest, then lead readers to it."""
        new = [file.path for file in manifest.files if file.path not in self._there]
        at_once(lambda path: self._objects.upload(f"{DATA}/{path}", staging / path), new)
        self._require_conditions()
        content = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
        key = _version_key(manifest.version)
        made = self._objects.create(key, content) or self._objects.get(key) == content
        # One that was made by a slow aggregation after others had gone on is old already.
        if not made or self.numbers()[-1] != manifest.version:
            raise AggregationError(
                TABLE_BUSY,
                f"another aggregation published {self.where}/{key} first; run again",
            )
        self._point_to(manifest.version, content)

    def prune(self, keep: int, grace_seconds: float) -> tuple[int, ...]:
        """Remove manifests of old versions; their files go when it is called the next time.

        Until then a rollback that has just read such a manifest can publish it again.
        """
        sweep(self, self._objects)
        numbers = self.numbers()
        replaced_by = dict(itertools.pairwise(numbers))
        oldest = datetime.now(UTC) - timedelta(seconds=grace_seconds)
        old = [number for number in numbers[:-keep] if self.published(replaced_by[number]) < oldest]
        self._objects.delete(map(_version_key, old))
        return tuple(old)

    @contextmanager
    def event_log(self) -> Iterator[Path]:
        """Give a directory whose files are uploaded in the end."""
        directory = self._scratch / "spark-events"
        directory.mkdir(parents=True)
        try:
            yield directory
        finally:
            for path in directory.rglob("*"):
                if path.is_file():
                    self._objects.upload(path.relative_to(self._scratch).as_posix(), path)

    def delivery(self, run: str, node: str) -> Delivery:
        """Return what a node delivered in a run; FileNotFoundError where it did not."""
        where = f"{self.where}/{_manifest_key(run, node)}"
        manifest = manifests.decoded(self.manifest(run, node), where, run, node)
        return Delivery(manifest, self.attempt(run, node, manifest.attempt))

    def manifest(self, run: str, node: str) -> bytes:
        """Read the object."""
        return self._objects.get(_manifest_key(run, node))

    def attempt(self, run: str, node: str, attempt: str) -> Path:
        """Return the directory that `fetch` brings the files to."""
        return self._scratch / "runs" / run / node / attempt

    def reports(self) -> list[str]:
        """List the objects."""
        names = (Path(item["path"]).name for item in self._objects.list(_REPORTS))
        return sorted((match[1] for match in map(_REPORT.fullmatch, names) if match), reverse=True)

    def report(self, run: str) -> bytes:
        """Read the object."""
        return self._objects.get(_report_key(run))

    def put_report(self, run: str, html: bytes, keep: int) -> str:
        """Put the object, which appears as a whole."""
        key = _report_key(run)
        self._objects.put(key, html, "text/html; charset=utf-8")
        self._objects.delete(map(_report_key, self.reports()[keep:]))
        return f"{self.where}/{key}"

    def _point_to(self, number: int, content: bytes) -> None:
        """Lead readers to a version, unless they are led to a newer one meanwhile."""
        for _ in range(_TRIES):
            tag = None
            with suppress(FileNotFoundError):
                found, tag = self._objects.get_tagged(_CURRENT)
                if decoded(found, f"{self.where}/{_CURRENT}").version >= number:
                    return
            if self._objects.replace(_CURRENT, content, tag):
                return

    def _require_conditions(self) -> None:
        """Raise unless the server evaluates conditions: what is there must not be made again."""
        if self._objects.create(_DATASET, content := self._objects.get(_DATASET)):
            raise AggregationError(
                RESULTS_UNAVAILABLE,
                f"the server of {self.where} accepts a conditional put (If-None-Match: *) of an "
                f"object that is there ({len(content)} bytes of {_DATASET}); two aggregations "
                "could publish over one another; use a server that evaluates conditions",
            )

    def _download(self, path: Path) -> None:
        key = path.relative_to(self._scratch).as_posix()
        with suppress(FileNotFoundError):
            self._objects.download(key, path)


def _manifest_key(run: str, node: str) -> str:
    return f"manifests/{node}/{run}.json"


def _report_key(run: str) -> str:
    return f"{_REPORTS}/{run}.html"


def at_once(do: Callable[[_Of], _Made], items: Iterable[_Of]) -> tuple[_Made, ...]:
    """Do the same with each of some things, several at a time."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return tuple(pool.map(do, items))


def _version_key(number: int) -> str:
    return f"{_VERSIONS}/{version_name(number)}.json"
