"""A mirror of one kind of object: listed once, then kept current by a watch.

A reconcile that asked the API server for all Jobs and pods would cost it with the square of the
nodes. What is kept is the few fields of ``kube``, and a page of a list at a time is in memory.

A watch can fall silent without an error (kopf#957, a NAT that forgets a connection). The API
server sends a bookmark about once a minute, so a longer silence is a stall: the watch is made again
where it was.
"""

import logging
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, Final, Generic, Protocol, TypeVar

import msgspec

from edge_etl_operator import metrics
from edge_etl_operator.connection import ApiError, Query, RefusedError, TransientError, refusal
from edge_etl_operator.kube import ListMetadata, Metadata, Page, decoder

log = logging.getLogger(__name__)

PAGE: Final = 500
WATCH_SECONDS: Final = 300
SILENCE_SECONDS: Final = 100.0
_BACKOFF: Final = (0.5, 1.0, 2.0, 5.0, 15.0)


class Seen(Protocol):
    """An object of Kubernetes."""

    @property
    def metadata(self) -> Metadata:
        """Its name, version and labels."""


Item = TypeVar("Item", bound=Seen)
Changed = Callable[[Item | None, Item | None], None]
"""Is told what an object was and is; None where it was not, or is gone."""


class Source(Protocol):
    """The part of a connection that a mirror needs."""

    def call(self, method: str, place: str, *, query: Query = ()) -> bytes:
        """Make a request."""

    def stream(self, place: str, query: Query, silence: float) -> Iterator[bytes]:
        """Yield the lines of a watch."""


class _Change(msgspec.Struct, frozen=True):
    type: str
    object: msgspec.Raw


class _Bookmark(msgspec.Struct, frozen=True):
    metadata: ListMetadata


_CHANGE: Final = msgspec.json.Decoder(_Change)


class Mirror(Generic[Item]):
    """The objects of one kind in one place (a namespace, or everywhere), by a label's value."""

    def __init__(
        self,
        source: Source,
        kind: type[Item],
        place: str,
        *,
        label: str,
        selector: str = "",
        fields: str = "",
        changed: Changed[Item] = lambda before, now: None,
    ) -> None:
        self._source = source
        self._kind = kind
        self._place = place
        self._label = label
        self._query = [("labelSelector", selector), ("fieldSelector", fields)]
        self._changed = changed
        self._lock = threading.Lock()
        self._items: dict[tuple[str, str], Item] = {}
        self._groups: defaultdict[tuple[str, str], dict[str, Item]] = defaultdict(dict)
        self._version = ""
        self._problem: ApiError | None = None
        self.name = kind.__name__.lower()
        self.heard = time.monotonic()
        """When anything came last, a bookmark too; monotonic seconds."""
        self.synced = threading.Event()
        """Whether it was listed, or cannot be."""

    def start(self) -> None:
        """Begin; it ends with the process."""
        threading.Thread(target=self._run, name=f"mirror-{self.name}", daemon=True).start()

    def group(self, namespace: str, value: str) -> tuple[Item, ...]:
        """Return the objects of a namespace whose label has a value; ApiError if not known."""
        with self._lock:
            self._require()
            return tuple(self._groups.get((namespace, value), {}).values())

    def all(self) -> tuple[Item, ...]:
        """Return all objects; ApiError if they are not known."""
        with self._lock:
            self._require()
            return tuple(self._items.values())

    def put(self, item: Item) -> None:
        """Take what the API server has answered to a write, before the watch tells of it."""
        with self._lock:
            stale = _number(item.metadata.resource_version) <= _number(self._version)
            if not stale:
                self._keep(item)

    def drop(self, namespace: str, name: str, uid: str) -> None:
        """Forget an object that the API server says is gone."""
        with self._lock:
            known = self._items.get((namespace, name))
            if known is not None and known.metadata.uid == uid:
                self._forget(known)

    def _require(self) -> None:
        if self._problem is not None:
            raise self._problem
        if not self._version:
            raise TransientError(0, "NotListed", f"The {self.name}s are not listed yet")

    def _run(self) -> None:
        failures = 0
        while True:
            try:
                if not self._version:
                    self._list()
                for _ in self._follow():
                    failures = 0
            except Exception as error:
                failures += 1
                self._fail(error, failures)

    def _fail(self, error: Exception, failures: int) -> None:
        """Note why nothing can be seen, and wait; only what is not expected is told at length."""
        reason = error.reason if isinstance(error, ApiError) else type(error).__name__
        metrics.WATCH_RESTARTS.labels(self.name, reason).inc()
        if isinstance(error, ApiError) and error.status == 410:
            self._version = ""  # too old: everything is listed again
            return
        if isinstance(error, RefusedError):
            with self._lock:
                self._problem = error
            self.synced.set()
        expected = isinstance(error, ApiError)
        level = logging.WARNING if failures > 1 or not expected else logging.DEBUG
        extra = {"kind": self.name, "failures": failures}
        log.log(level, "cannot watch: %s", error, extra=extra, exc_info=None if expected else error)
        time.sleep(_BACKOFF[min(failures, len(_BACKOFF)) - 1] * random.uniform(0.8, 1.2))  # noqa: S311

    def _list(self) -> None:
        decode = decoder(self._kind)
        found: set[tuple[str, str]] = set()
        query = [*self._query, ("limit", str(PAGE))]
        while True:
            page = msgspec.json.decode(
                self._source.call("GET", self._place, query=query), type=Page
            )
            for raw in page.items:
                item: Item = decode(raw)
                found.add(_key(item))
                self._take(item)
            if not page.metadata.continue_:
                break
            query = [*self._query, ("limit", str(PAGE)), ("continue", page.metadata.continue_)]
        with self._lock:
            gone = [item for key, item in self._items.items() if key not in found]
        for item in gone:
            self._lose(item)
        with self._lock:
            self._version, self._problem = page.metadata.resource_version, None
        self.heard = time.monotonic()
        self.synced.set()

    def _follow(self) -> Iterator[None]:
        seconds = WATCH_SECONDS + random.randrange(60)  # noqa: S311  # not all at the same moment
        query = [
            *self._query,
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", self._version),
            ("timeoutSeconds", str(seconds)),
        ]
        for line in self._source.stream(self._place, query, SILENCE_SECONDS):
            self.heard = time.monotonic()
            if self._problem is not None:
                with self._lock:
                    self._problem = None
            if line:
                self._apply(_CHANGE.decode(line))
            yield

    def _apply(self, change: _Change) -> None:
        if change.type == "ERROR":
            status = msgspec.json.decode(change.object, type=_Code)
            raise refusal(status.code, bytes(change.object))
        if change.type == "BOOKMARK":
            version = msgspec.json.decode(change.object, type=_Bookmark).metadata.resource_version
        else:
            item: Item = decoder(self._kind)(change.object)
            version = item.metadata.resource_version
            if change.type == "DELETED":
                self._lose(item)
            else:
                self._take(item)
        with self._lock:
            self._version = version

    def _take(self, item: Item) -> None:
        with self._lock:
            before = self._items.get(_key(item))
            if before is not None and not _newer(item, before):
                return
            self._keep(item)
        self._changed(before, item)

    def _lose(self, item: Item) -> None:
        with self._lock:
            before = self._items.get(_key(item))
            if before is None or _newer(before, item):
                return
            self._forget(before)
        self._changed(item, None)

    def _keep(self, item: Item) -> None:
        self._items[_key(item)] = item
        self._groups[self._group(item)][item.metadata.name] = item

    def _forget(self, item: Item) -> None:
        self._items.pop(_key(item), None)
        group = self._group(item)
        self._groups[group].pop(item.metadata.name, None)
        if not self._groups[group]:
            del self._groups[group]

    def _group(self, item: Item) -> tuple[str, str]:
        return (item.metadata.namespace, item.metadata.labels.get(self._label, ""))


class _Code(msgspec.Struct, frozen=True):
    code: int = 0


def _key(item: Any) -> tuple[str, str]:
    return (item.metadata.namespace, item.metadata.name)


def _newer(item: Any, than: Any) -> bool:
    """Compare versions as numbers, which they are in etcd and in kine."""
    if item.metadata.uid != than.metadata.uid:
        return True
    return _number(item.metadata.resource_version) > _number(than.metadata.resource_version)


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0
