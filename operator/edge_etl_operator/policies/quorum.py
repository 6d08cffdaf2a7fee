"""Whether enough nodes of a run have delivered, and what absent ones mean to it."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Literal

from edge_etl_operator.api import NodeStatus


class Verdict(Enum):
    """What becomes of a run whose nodes are so far."""

    GO_ON = "go on"
    AGGREGATE = "aggregate"
    TOO_MANY_FAILED = "too many failed"
    ABSENCE = "an absence is a failure"


@dataclass(frozen=True)
class Tally:
    """How many nodes of a run are in which state."""

    delivered: int = 0
    active: int = 0
    offline: int = 0
    failed: int = 0

    @property
    def nodes(self) -> int:
        """All of them."""
        return self.delivered + self.active + self.offline + self.failed


def tally(states: Iterable[NodeStatus]) -> Tally:
    """Count the nodes."""
    count = Counter(node.phase for node in states)
    return Tally(
        delivered=count["Succeeded"],
        active=count["Pending"] + count["Running"],
        offline=count["Offline"],
        failed=count["Failed"],
    )


def needed(min_success: int | str, nodes: int) -> int:
    """Return how many nodes must deliver; a share is rounded up, and one is always needed."""
    if isinstance(min_success, int):
        return min_success
    percent = int(min_success.removesuffix("%"))
    return max(1, -(-nodes * percent // 100))


def decide(
    count: Tally, minimum: int, policy: Literal["Skip", "Wait", "Fail"], *, waited: bool
) -> Verdict:
    """Decide what becomes of a run; ``waited`` says that absent nodes had their time.

    Nodes that are at work are always let to their end, which their deadline bounds: what they
    deliver is kept whatever becomes of the run. Then

    | an absent node | holds the aggregation up |
    |---|---|
    | Skip | only where there are too few without it, until the run's deadline |
    | Wait | until the deadline of a node is over; then as Skip |
    | Fail | not at all: the run fails |
    """
    if count.active:
        return Verdict.GO_ON
    if count.offline and policy == "Fail":
        return Verdict.ABSENCE
    if count.delivered + count.offline < minimum:
        return Verdict.TOO_MANY_FAILED
    if count.offline and policy == "Wait" and not waited:
        return Verdict.GO_ON
    return Verdict.AGGREGATE if count.delivered >= minimum else Verdict.GO_ON
