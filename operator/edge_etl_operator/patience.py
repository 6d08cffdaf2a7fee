"""How soon a change of what belongs to a job is a reason to look at it.

A look costs with the number of the job's nodes. If each of a thousand pods that begin and end were
a reason, a run would cost with the square of them. So what only counts nodes on waits for a moment,
or until a good part of the nodes at work have ended; the last ones of a run never wait.
"""

from typing import Final, Generic, TypeVar

from edge_etl_operator import names
from edge_etl_operator.kube import Job, Pod

AT_ONCE: Final = 1_000_000
"""The weight of what somebody waits for: a failure, a deletion, the driver."""
END: Final = 1
"""The weight of a node that is done."""
PROGRESS: Final = 0
"""The weight of a node that is further than before."""

FEW: Final = 20
"""Of so many nodes at work every change is answered at once."""
PART: Final = 4
"""Of more, it is when one in so many has ended."""
SECONDS: Final = 2.0
"""How long a change waits for others at the longest."""

Key = TypeVar("Key")


def weight(before: Job | Pod | None, now: Job | Pod | None) -> int | None:
    """Say how much a change of a Job or pod matters; None when nothing of it does."""
    thing = now or before
    if thing is None or (before is not None and now is not None and _same(before, now)):
        return None
    if thing.metadata.labels.get(names.STAGE) != names.EDGE:
        return AT_ONCE
    if now is None or _leaves(now) != _leaves(before):
        # What is over is only tidied away.
        return PROGRESS if _failed(thing) or _done(thing) else AT_ONCE
    if _failed(now) and not _failed(before):
        return AT_ONCE
    # The pod says that it is done before its Job does.
    return END if isinstance(now, Pod) and _done(now) and not _done(before) else PROGRESS


class Patience(Generic[Key]):
    """Tells for each job whether what has changed since the last look is worth another one."""

    def __init__(self) -> None:
        self._at_work: dict[Key, int] = {}
        self._changed: dict[Key, int] = {}

    def looks(self, key: Key) -> None:
        """Note that a job is looked at now."""
        self._changed.pop(key, None)

    def saw(self, key: Key, at_work: int) -> None:
        """Note how many nodes were at work when it was looked at."""
        self._at_work[key] = at_work

    def forget(self, key: Key) -> None:
        """Forget a job that is gone."""
        self._at_work.pop(key, None)
        self._changed.pop(key, None)

    def enough(self, key: Key, weight: int) -> bool:
        """Add a change; tell whether the job is to be looked at now."""
        self._changed[key] = self._changed.get(key, 0) + weight
        return 0 < self._at_work.get(key, 0) <= FEW or self.due(key)

    def due(self, key: Key) -> bool:
        """Tell whether enough has changed since the last look began."""
        changed = self._changed.get(key, 0)
        return changed > 0 and changed * PART >= self._at_work.get(key, 0)


def _same(before: Job | Pod, now: Job | Pod) -> bool:
    """Tell whether only what the operator does not look at differs, such as the version."""
    alike = before.status == now.status and _leaves(before) == _leaves(now)
    if isinstance(before, Pod) and isinstance(now, Pod):
        return alike and before.spec == now.spec and before.uid == now.uid
    return alike and before.metadata.uid == now.metadata.uid


def _leaves(thing: Job | Pod | None) -> bool:
    return thing is not None and thing.metadata.deletion_timestamp is not None


def _failed(thing: Job | Pod | None) -> bool:
    return thing is not None and (
        thing.phase == "Failed" if isinstance(thing, Pod) else thing.failure is not None
    )


def _done(thing: Job | Pod | None) -> bool:
    return thing is not None and (
        thing.phase == "Succeeded" if isinstance(thing, Pod) else thing.succeeded
    )
