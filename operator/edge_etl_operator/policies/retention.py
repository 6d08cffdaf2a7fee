"""How long the Jobs, pods and ConfigMaps of runs that are over are kept, for their logs."""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta

from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.history import GOOD
from edge_etl_operator.policies import late


@dataclass(frozen=True)
class Kept:
    """The runs whose objects stay, and when the first of them goes."""

    runs: frozenset[str]
    until: datetime | None = None


def kept(job: EdgeETLJob, now: datetime) -> Kept:
    """Return whose objects stay: the latest of each result, and none beyond its time.

    A run that goes on, or takes late nodes in, is not over yet. Neither is one whose end is not
    in ``status.runs``.
    """
    limits = {
        True: job.spec.successful_runs_history_limit,
        False: job.spec.failed_runs_history_limit,
    }
    seconds = job.spec.ttl_seconds_after_finished
    runs = _open(job)
    ends: list[datetime] = []
    count: Counter[bool] = Counter()
    for each in job.status.runs:
        if each.id in runs:
            continue
        good = each.result in GOOD
        count[good] += 1
        end = each.completion_time + timedelta(seconds=seconds) if seconds is not None else None
        if count[good] > limits[good] or (end is not None and end <= now):
            continue
        runs.add(each.id)
        if end is not None:
            ends.append(end)
    return Kept(frozenset(runs), min(ends, default=None))


def _open(job: EdgeETLJob) -> set[str]:
    run = job.status.run
    if run is None:
        return set()
    told = any(each.id == run.id for each in job.status.runs)
    return {run.id} if job.status.going or not told or late.completes(job) else set()
