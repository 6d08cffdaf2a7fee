"""Announce: the Events that `kubectl describe` and `kubectl events` show for a job.

An Event tells of a change of the status that a person would look for: a run began or ended, a
cause appeared. Each cause is told once in a run, however often it comes and goes, so that their
number has a bound (kubectl groups what is equal, but it would still be stored).
"""

import logging
import secrets
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

from edge_etl_operator import conditions
from edge_etl_operator.api import API_VERSION, KIND, Condition, Metadata, Status
from edge_etl_operator.cluster import ApiError, Cluster

log = logging.getLogger(__name__)

CONTROLLER: Final = "pi-edge-spark.io/operator"
LONGEST_NOTE: Final = 1024
"""The API server refuses a longer one."""

_REMEMBERED: Final = 4096

# What is only on its way, or as it should be from the beginning.
_QUIET: Final = frozenset(
    reason.code
    for reason in (
        conditions.VALID,
        conditions.ON_SCHEDULE,
        conditions.SLOT_WAITS,
        conditions.WAITING,
        conditions.STOPPING,
        conditions.CLEANING,
        conditions.AGGREGATING,
        conditions.PUBLISHED,  # RunSucceeded says the same
        conditions.NOTHING_NEW,
        conditions.AS_EXPECTED,
        conditions.EDGE_FAILED,
    )
)


@dataclass(frozen=True)
class Announcement:
    """An Event to be: a cause in one word, and a sentence."""

    type: Literal["Normal", "Warning"]
    reason: str
    note: str
    action: str


def announcements(known: Status, told: Status) -> Iterator[Announcement]:
    """Return what the change from one status to the next gives to tell, each cause once."""
    if told.run is not None and (known.run is None or known.run.id != told.run.id):
        note = f"Run {told.run.id} began on {len(told.run.nodes)} nodes"
        yield Announcement("Normal", "RunStarted", note, "Start")
    said: set[str] = set()
    # Success sums up what a stage says too, so its type decides.
    for kind in (
        conditions.ACCEPTED,
        conditions.SUCCEEDED,
        conditions.EDGE_COMPLETE,
        conditions.AGGREGATED,
        conditions.SCHEDULED,
        conditions.DEGRADED,
    ):
        now, before = told.condition(kind), known.condition(kind)
        if now is None or now.reason in _QUIET or now.reason in said:
            continue
        if before is not None and (before.status, before.reason) == (now.status, now.reason):
            continue
        said.add(now.reason)
        level: Literal["Normal", "Warning"] = "Normal" if _good(now) else "Warning"
        yield Announcement(level, now.reason, now.message, kind)


def _good(condition: Condition) -> bool:
    good = "False" if condition.type == conditions.DEGRADED else "True"
    return condition.status == good or condition.reason == conditions.SUSPENDED.code


class Announcer:
    """Posts Events; one that cannot be posted is only logged, no run depends on it."""

    def __init__(self, cluster: Cluster, instance: str) -> None:
        self._cluster = cluster
        self._instance = instance
        self._told: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def tell(self, job: Metadata, known: Status, told: Status, now: datetime) -> None:
        """Post what has not been told in this run, for this generation of the spec."""
        run = told.run.id if told.run else ""
        for each in announcements(known, told):
            key = (job.uid, run, str(job.generation), each.reason)
            if key in self._told:
                continue
            self._told[key] = None
            if len(self._told) > _REMEMBERED:
                self._told.popitem(last=False)
            try:
                self._cluster.create(self._event(job, each, now))
            except ApiError as error:
                extra = {"namespace": job.namespace, "job": job.name, "reason": each.reason}
                log.warning("no Event could be posted: %s", error, extra=extra)

    def _event(self, job: Metadata, told: Announcement, now: datetime) -> dict[str, Any]:
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "name": f"{job.name}.{secrets.token_hex(8)}",
                "namespace": job.namespace,
            },
            "type": told.type,
            "reason": told.reason,
            "note": told.note[:LONGEST_NOTE],
            "action": told.action,
            "eventTime": f"{now:%Y-%m-%dT%H:%M:%S.%fZ}",
            "reportingController": CONTROLLER,
            "reportingInstance": self._instance[:128],
            "regarding": {
                "apiVersion": API_VERSION,
                "kind": KIND,
                "namespace": job.namespace,
                "name": job.name,
                "uid": job.uid,
            },
        }
