"""What is kept: of many nodes those that need attention, of the runs that are over the latest.

A status is written whole each time and read by everybody who looks at the job, so its size has a
bound that does not depend on the number of nodes.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from edge_etl_operator import conditions
from edge_etl_operator.api import NodeStatus, PastRun, Run, Status

MOST_NODES: Final = 200
MOST_RUNS: Final = 10
MOST_MISSING: Final = 20

REPLACED: Final = "Replaced"
"""Result of a run in whose place another one began before it was over."""

GOOD: Final = frozenset({"Succeeded", "PartiallySucceeded"})
"""Results of runs after which the table has what the nodes delivered."""

_FINE: Final = frozenset({"Delivered", "NothingNew"})
_ON_THE_WAY: Final = frozenset({"Pending", "Running", "Succeeded"})


def kept(status: Status) -> Status:
    """Return the status as it is written: of more than 200 nodes only what needs attention."""
    if len(status.nodes) <= MOST_NODES:
        return status
    ranked = sorted(filter(_attention, status.nodes), key=_attention)
    return msgspec.structs.replace(status, nodes=tuple(ranked[:MOST_NODES]))


def counted(nodes: Sequence[NodeStatus]) -> dict[str, int]:
    """Return how many nodes are in each phase."""
    return dict(sorted(Counter(node.phase for node in nodes).items()))


def recorded(known: Status, told: Status, now: datetime) -> Status:
    """Put a run that has just ended, or that another one replaces, before the earlier ones."""
    ended: PastRun | None = None
    if told.run is not None and told.run.completion_time is not None:
        success = told.condition(conditions.SUCCEEDED)
        reason = success.reason if success else ""
        ended = _past(told, told.run, told.phase, reason, told.run.completion_time)
    elif (
        known.run is not None and known.going and (told.run is None or told.run.id != known.run.id)
    ):
        ended = _past(known, known.run, REPLACED, "", now.replace(microsecond=0))
    if ended is None or ended in known.runs:
        return told
    # A run that was completed by late nodes ends once more.
    others = (run for run in known.runs if run.id != ended.id)
    return msgspec.structs.replace(told, runs=(ended, *others)[:MOST_RUNS])


def last_success(runs: Sequence[PastRun]) -> datetime | None:
    """Return when the last good run ended, None when there is none among those that are kept."""
    return max((run.completion_time for run in runs if run.result in GOOD), default=None)


def rejected_ratio(runs: Sequence[PastRun]) -> float | None:
    """Return the share of rows that the last run which read any has rejected."""
    return next((run.rows_rejected / run.rows_read for run in runs
                 if run.rows_read and run.rows_rejected is not None), None)  # fmt: skip


def missed(runs: Sequence[PastRun]) -> dict[str, int]:
    """Return the nodes that the last run did without, and how many runs in a row that was so.

    A run in whose place another one began waited for them perhaps not long enough.
    """
    silent: dict[str, int] = {}
    for number, run in enumerate(run for run in runs if run.result != REPLACED):
        for node in run.missing:
            # Only who was away in all the later runs too.
            if silent.get(node, 0) == number:
                silent[node] = number + 1
    return silent


def _past(status: Status, run: Run, result: str, reason: str, ended: datetime) -> PastRun:
    missing = [node.name for node in status.nodes if node.phase != "Succeeded"]
    return PastRun(
        id=run.id,
        result=result,
        reason=reason,
        start_time=run.start_time,
        completion_time=ended,
        nodes_summary=status.nodes_summary,
        rows_read=status.rows_read,
        rows_rejected=status.rows_rejected,
        missing=tuple(missing[:MOST_MISSING]),
    )


def _attention(node: NodeStatus) -> int:
    """Rank how much a person should look at a node, 1 first; 0 is not at all."""
    if node.phase == "Succeeded" and node.reason in _FINE and not node.files_quarantined:
        return 0
    if node.phase not in _ON_THE_WAY:
        return 1
    if node.phase == "Succeeded":
        return 3
    return 2 if node.reason or node.message else 0
