"""The lease: two operators never act at once, and a watch that is deaf is found out.

Whoever holds the Lease object may write. The holder renews it, and must see each renewal come back
by a watch: the object is the lock and the sentinel at once.

Clocks of different machines are not compared (a Pi may boot in 1970): another holder is taken for
gone when its Lease did not change for its whole duration by our own clock.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from edge_etl_operator import metrics
from edge_etl_operator.connection import ApiError, ConflictError, Connection, NotFoundError
from edge_etl_operator.kube import Lease as Document
from edge_etl_operator.kube import decoder
from edge_etl_operator.mirror import Mirror

log = logging.getLogger(__name__)

DURATION_SECONDS: Final = 12
RENEW_SECONDS: Final = 4.0
_MARGIN_SECONDS: Final = 2.0
"""How long before others may take it the holder stops to write: a request takes its time."""


class Lease:
    """A Lease object of one name; ``holder`` is this operator's identity."""

    def __init__(
        self,
        connection: Connection,
        namespace: str,
        name: str,
        holder: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._namespace = namespace
        self._name = name
        self._holder = holder
        self._clock = clock
        self._place = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"
        self._until = float("-inf")  # when it stops to be ours by our own clock
        self._other: tuple[str, float] = ("", 0.0)  # another holder's version, and when it was new
        self._unseen: float | None = None  # since when a renewal has not come back
        self._seen = threading.Lock()
        self.mirror = Mirror(
            connection,
            Document,
            self._place,
            label="",
            fields=f"metadata.name={name}",
            changed=self._came_back,
        )

    @property
    def held(self) -> bool:
        """Whether this operator may write now."""
        return self._clock() < self._until - _MARGIN_SECONDS

    def unseen_seconds(self) -> float:
        """Return for how long a renewal has not come back by the watch; 0 when none is missing."""
        unseen = self._unseen
        return 0.0 if unseen is None else self._clock() - unseen

    def renew(self) -> bool:
        """Take the lease or keep it; tell whether it is held. ApiError if that is not known."""
        begun = self._clock()
        try:
            found: Document | None = decoder(Document)(self._call("GET", f"/{self._name}"))
        except NotFoundError:
            found = None
        if found is not None and self._is_anothers(found):
            metrics.LEADING.set(0)
            return False
        body = self._body(found)
        try:
            if found is None:
                self._call("POST", "", body)
            else:
                self._call("PUT", f"/{self._name}", body)
        except ConflictError:
            return self.held  # somebody was faster: the next try sees who
        if not self.held:
            log.info("holds the lease", extra={"holder": self._holder})
        self._until = begun + DURATION_SECONDS
        metrics.LEADING.set(1)
        with self._seen:
            if self._unseen is None:
                self._unseen = begun
        return True

    def release(self) -> None:
        """Give it back, so that the next operator need not wait; best effort."""
        if not self.held:
            return
        self._until = float("-inf")
        metrics.LEADING.set(0)
        try:
            found = decoder(Document)(self._call("GET", f"/{self._name}"))
            if found.spec.holder_identity == self._holder:
                self._call("PUT", f"/{self._name}", self._body(found, holder=""))
        except ApiError as error:
            log.warning("the lease could not be given back: %s", error)

    def _is_anothers(self, found: Document) -> bool:
        holder = found.spec.holder_identity
        if holder in ("", self._holder):
            return False
        version, since = self._other
        if version != found.metadata.resource_version:
            self._other = (found.metadata.resource_version, self._clock())
            log.info("waits for the lease", extra={"holder": holder})
            return True
        return self._clock() - since < found.spec.lease_duration_seconds

    def _came_back(self, before: Document | None, now: Document | None) -> None:
        with self._seen:
            self._unseen = None

    def _body(self, found: Document | None, holder: str | None = None) -> dict[str, Any]:
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        metadata = {"name": self._name, "namespace": self._namespace}
        changes = found.spec.lease_transitions if found else 0
        if found and found.spec.holder_identity != self._holder:
            changes += 1
        if found:
            metadata["resourceVersion"] = found.metadata.resource_version
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._holder if holder is None else holder,
                "leaseDurationSeconds": DURATION_SECONDS,
                "leaseTransitions": changes,
                "renewTime": now,
            },
        }

    def _call(self, method: str, rest: str, body: dict[str, Any] | None = None) -> bytes:
        return self._connection.call(method, f"{self._place}{rest}", body=body, fenced=False)
