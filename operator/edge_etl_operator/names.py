"""Names and labels of everything that a run creates: pure, so that a restart finds the same.

A name follows from job, run and node alone. Object names that become label values or host names
have at most 63 characters; a job's name that leaves no room is shortened and gets a hash, so that
two long names never meet.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from edge_etl_operator.api import GROUP

LONGEST: Final = 63
LONGEST_EXECUTOR_PREFIX: Final = 47
"""Spark's limit for ``spark.kubernetes.executor.podNamePrefix``."""

JOB: Final = f"{GROUP}/job"
RUN: Final = f"{GROUP}/run"
NODE: Final = f"{GROUP}/node"
STAGE: Final = f"{GROUP}/stage"
RUN_NOW: Final = f"{GROUP}/run-now"
"""Annotation by which a person asks for a run: each new value asks for one."""
REPLAY: Final = f"{GROUP}/replay"
"""Annotation by which a person asks for what was rejected to be read again, in a run of its own."""
MANAGED_BY: Final = "app.kubernetes.io/managed-by"

EDGE: Final = "edge"
AGGREGATE: Final = "aggregate"

_RUN_FORMAT: Final = "%Y%m%d-%H%M%S"


def run_id(now: datetime, last: str | None) -> str:
    """Name a run after the UTC second in which it begins, always after the last one's.

    A clock that jumped back must not make the order of runs wrong: the id then is the last
    one's second plus one.
    """
    moment = now.astimezone(UTC)
    if last is not None:
        after_last = datetime.strptime(last, _RUN_FORMAT).replace(tzinfo=UTC) + timedelta(seconds=1)
        moment = max(moment, after_last)
    return moment.strftime(_RUN_FORMAT)


def node_job(job: str, run: str, node: str) -> str:
    """Name the Kubernetes Job of a node."""
    return _join(job, run, _hash(node), LONGEST)


def edge_config(job: str, run: str) -> str:
    """Name the ConfigMap that all edge pods of a run share."""
    return _join(job, run, EDGE, LONGEST)


def driver(job: str, run: str, before: int = 0) -> str:
    """Name the driver's pod and its ConfigMap; ``before`` aggregations of the run there were."""
    return _join(job, run, f"driver-{before + 1}" if before else "driver", LONGEST)


def executor_prefix(job: str, run: str, before: int = 0) -> str:
    """Return what the names of the executors of an aggregation begin with."""
    which = f"{run}-{before + 1}" if before else run
    return f"{_stem(job, LONGEST_EXECUTOR_PREFIX - len(which) - 1)}-{which}"


def label_value(name: str) -> str:
    """Return a node's name as a label value: names may be longer than 63, values may not."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 9].rstrip('-.')}-{_hash(name)}"


def labels(job: str, run: str, stage: str, node: str | None = None) -> dict[str, str]:
    """Return the labels of an object of a run."""
    of_node = {NODE: label_value(node)} if node else {}
    return {MANAGED_BY: "pi-edge-spark", JOB: job, RUN: run, STAGE: stage, **of_node}


def _join(job: str, run: str, suffix: str, longest: int) -> str:
    return f"{_stem(job, longest - len(run) - len(suffix) - 2)}-{run}-{suffix}"


def _stem(job: str, room: int) -> str:
    return job if len(job) <= room else f"{job[: room - 9].rstrip('-.')}-{_hash(job)}"


@lru_cache(maxsize=8192)  # asked for at each look, of each node
def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
