"""Results in a bucket of an S3-compatible server.

Below ``<prefix>/<namespace>/<job>/``:

    manifests/<node>/<run>.json           the commits of the nodes, their files in runs/
    table/data/rows/day=…/<name>.parquet  files of versions; a name is never used again
    table/versions/v000007.json           the version manifest: the commit
    table/current.json                    the newest of them again, for readers

A version lists its files, so those that did not change are shared by naming them. Version manifests
are made by a conditional put (``If-None-Match: *``), of which the server lets one win; that is all
that keeps two aggregations apart, since a bucket has no locks.

What Spark reads comes to a directory of this machine first, and what it wrote goes to the bucket
afterwards: no Spark process holds the key, and the client is one library and not Hadoop's.
"""

import hashlib
import itertools
import shutil
import tempfile
import uuid
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import obstore
from obstore.exceptions import AlreadyExistsError, PreconditionError

from edge_etl_spark import manifests
from edge_etl_spark.bucket_store import explained, open_bucket
from edge_etl_spark.documents import MergedManifest, VersionManifest
from edge_etl_spark.errors import (
    RESULTS_UNAVAILABLE,
    TABLE_BUSY,
    AggregationError,
)
from edge_etl_spark.logs import log
from edge_etl_spark.manifests import Delivery
from edge_etl_spark.versions import NAME, Version, decoded, version_name

if TYPE_CHECKING:
    from obstore import ObjectMeta, PutMode

_AT_ONCE: Final = 8
"""Objects that travel at a time."""
_CHUNK: Final = 8 * 1024 * 1024
DEAD: Final = timedelta(days=1)
"""After this an upload that nothing lists is taken for dead: longer than a run may take."""
_SWEPT: Final = timedelta(days=8)
"""So far back attempts of nodes are looked through."""
_DATASET: Final = "dataset.json"
_DATA: Final = "table/data"
_VERSIONS: Final = "table/versions"
_CURRENT: Final = "table/current.json"
_TRIES: Final = 5


class BucketResults:
    """Results in a bucket; what is fetched lies in a directory until `exclusive` ends."""

    def __init__(
        self, location: str, namespace: str, job: str, credentials: Path | None = None
    ) -> None:
        self._bucket = open_bucket(location, f"{namespace}/{job}", credentials)
        self.where = f"{location.partition('?')[0].rstrip('/')}/{namespace}/{job}"
        self._scratch = Path(tempfile.gettempdir()) / f"edge-etl-{uuid.uuid4().hex}"
        self._there: set[str] = set()
        """Paths of files that a version lists which was read here."""

    def deliveries(self, settled: Collection[MergedManifest] = ()) -> tuple[Delivery, ...]:
        """Read the manifests that are not settled."""
        known = {(item.run, item.node) for item in settled}
        found = []
        for item in self._list("manifests"):
            _, node, name = item["path"].split("/")
            run = name.removesuffix(".json")
            if (run, node) not in known:
                found.append((run, node))
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            return tuple(pool.map(lambda of: self._delivery(*of), sorted(found)))

    def fetch(self, paths: Iterable[Path]) -> None:
        """Download files to the scratch directory."""
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(self._download, dict.fromkeys(paths)):
                pass

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
            self._point_to(numbers[-1], self._get(_version_key(numbers[-1])))

    def numbers(self) -> list[int]:
        """List the version manifests."""
        matches = (NAME.fullmatch(Path(item["path"]).stem) for item in self._list(_VERSIONS))
        return sorted(int(match[1]) for match in matches if match)

    def read(self, number: int) -> Version:
        """Read a version manifest."""
        key = _version_key(number)
        try:
            content = self._get(key)
        except FileNotFoundError:
            content = b""
        manifest = decoded(content, f"{self.where}/{key}")
        self._there |= {file.path for file in manifest.files}
        return Version(self._scratch / _DATA, manifest)

    def current(self) -> int | None:
        """Read what readers read."""
        try:
            return decoded(self._get(_CURRENT), f"{self.where}/{_CURRENT}").version
        except FileNotFoundError:
            return None

    def published(self, number: int) -> datetime:
        """Return when the version manifest was made."""
        with explained(self.where):
            return obstore.head(self._bucket, _version_key(number))["last_modified"]

    def present(self, version: Version) -> set[str]:
        """Return those listed files that are there: others may be another version's."""
        there = {item["path"].removeprefix(f"{_DATA}/") for item in self._list(_DATA)}
        return there & {file.path for file in version.manifest.files}

    def measure(self, version: Version, path: str) -> tuple[int, str]:
        """Read an object."""
        digest, size = hashlib.sha256(), 0
        with explained(self.where):
            for chunk in obstore.get(self._bucket, f"{_DATA}/{path}").stream(_CHUNK):
                digest.update(chunk)
                size += len(chunk)
        return size, digest.hexdigest()

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

    def publish(self, staging: Path, manifest: VersionManifest) -> Path:
        """Upload what is new, then make the version manifest, then lead readers to it."""
        new = [file.path for file in manifest.files if file.path not in self._there]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for _ in pool.map(lambda path: self._put(f"{_DATA}/{path}", staging / path), new):
                pass
        self._require_conditions()
        content = msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
        key = _version_key(manifest.version)
        made = self._create(key, content) or self._get(key) == content
        # One that was made by a slow aggregation after others had gone on is old already.
        if not made or self.numbers()[-1] != manifest.version:
            raise AggregationError(
                TABLE_BUSY,
                f"another aggregation published {self.where}/{key} first; run again",
            )
        self._point_to(manifest.version, content)
        return staging

    def prune(self, keep: int, grace_seconds: float) -> tuple[int, ...]:
        """Remove manifests of old versions; their files go when it is called the next time.

        Until then a rollback that has just read such a manifest can publish it again.
        """
        self._sweep()
        numbers = self.numbers()
        replaced_by = dict(itertools.pairwise(numbers))
        oldest = datetime.now(UTC) - timedelta(seconds=grace_seconds)
        old = [number for number in numbers[:-keep] if self.published(replaced_by[number]) < oldest]
        self._delete(map(_version_key, old))
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
                    self._put(path.relative_to(self._scratch).as_posix(), path)

    def _sweep(self) -> None:
        """Remove the files that no version lists, and the attempts that no manifest names.

        What is younger than `DEAD` may be an upload under way.
        """
        dead = datetime.now(UTC) - DEAD
        # First the files, then who lists them: what is published meanwhile has young files.
        files = [item["path"] for item in self._list(_DATA) if item["last_modified"] < dead]
        try:
            versions = [self.read(number).manifest for number in self.numbers()]
        except AggregationError as error:
            # Nobody knows what a damaged version lists.
            log.warning(f"nothing is removed: {error.message}", extra={"event": "not-swept"})
            return
        listed = {f"{_DATA}/{file.path}" for version in versions for file in version.files}
        gone = [path for path in files if path not in listed] + list(self._dead_attempts(dead))
        if gone:
            log.info(f"removing {len(gone)} dead objects", extra={"event": "swept"})
            self._delete(gone)

    def _dead_attempts(self, dead: datetime) -> Iterator[str]:
        """Yield the files of attempts that began days ago and that no manifest names."""
        first, last = (f"{at:%Y%m%d-%H%M%S}" for at in (dead - _SWEPT, dead))
        standing: dict[tuple[str, str], str | None] = {}
        for item in self._list("runs", f"runs/{first}"):
            parts = item["path"].split("/")
            if len(parts) != 5 or parts[1] >= last:
                continue
            _, run, node, attempt, _ = parts
            if (run, node) not in standing:
                standing[run, node] = self._standing(run, node)
            stands = standing[run, node]
            if stands not in (None, attempt) and item["last_modified"] < dead:
                yield item["path"]

    def _standing(self, run: str, node: str) -> str | None:
        """Return whose manifest stands: "" where there is none, None where it is damaged."""
        try:
            return self._delivery(run, node).manifest.attempt
        except FileNotFoundError:
            return ""
        except AggregationError:
            return None

    def _delivery(self, run: str, node: str) -> Delivery:
        key = f"manifests/{node}/{run}.json"
        manifest = manifests.decoded(self._get(key), f"{self.where}/{key}", run, node)
        return Delivery(manifest, self._scratch / "runs" / run / node / manifest.attempt)

    def _point_to(self, number: int, content: bytes) -> None:
        """Lead readers to a version, unless they are led to a newer one meanwhile."""
        for _ in range(_TRIES):
            mode: PutMode = "create"
            try:
                with explained(self.where):
                    found = obstore.get(self._bucket, _CURRENT)
                    pointed = decoded(bytes(found.bytes()), f"{self.where}/{_CURRENT}").version
                    mode = {"e_tag": found.meta["e_tag"]}
                if pointed >= number:
                    return
            except FileNotFoundError:
                pass
            try:
                with explained(self.where):
                    obstore.put(self._bucket, _CURRENT, content, mode=mode)
            except (AlreadyExistsError, PreconditionError):
                continue
            return

    def _require_conditions(self) -> None:
        """Raise unless the server evaluates conditions: what is there must not be made again."""
        if self._create(_DATASET, content := self._get(_DATASET)):
            raise AggregationError(
                RESULTS_UNAVAILABLE,
                f"the server of {self.where} accepts a conditional put (If-None-Match: *) of an "
                f"object that is there ({len(content)} bytes of {_DATASET}); two aggregations "
                "could publish over one another; use a server that evaluates conditions",
            )

    def _download(self, path: Path) -> None:
        key = path.relative_to(self._scratch).as_posix()
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with explained(self.where), path.open("xb") as file:
                for chunk in obstore.get(self._bucket, key).stream(_CHUNK):
                    file.write(chunk)
        except FileNotFoundError:
            path.unlink()
        except FileExistsError:
            return  # it was fetched before

    def _get(self, key: str) -> bytes:
        with explained(self.where):
            return bytes(obstore.get(self._bucket, key).bytes())

    def _put(self, key: str, file: Path) -> None:
        with explained(self.where):
            obstore.put(self._bucket, key, file, chunk_size=_CHUNK, max_concurrency=1)

    def _create(self, key: str, content: bytes) -> bool:
        """Make an object; return False if one is there already."""
        try:
            with explained(self.where):
                obstore.put(self._bucket, key, content, mode="create")
        except AlreadyExistsError:
            return False
        return True

    def _list(self, prefix: str, offset: str | None = None) -> Iterator["ObjectMeta"]:
        with explained(self.where):
            for chunk in obstore.list(self._bucket, prefix, offset=offset):
                yield from chunk

    def _delete(self, keys: Iterable[str]) -> None:
        with explained(self.where):
            obstore.delete(self._bucket, list(keys))


def _version_key(number: int) -> str:
    return f"{_VERSIONS}/{version_name(number)}.json"
