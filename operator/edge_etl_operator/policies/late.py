"""What becomes of nodes that were missing when their run was aggregated.

| lateDataPolicy | a node that comes back, or joins | what it delivered meanwhile |
|---|---|---|
| NextRun | cleans in the next run | is merged by the next run |
| Reaggregate | cleans at once, then the run is aggregated again | is merged then |
| Ignore | cleans in the next run | stays in the results and is never merged |
"""

from collections.abc import Sequence

from edge_etl_operator.api import EdgeETLJob, NodeStatus, Run
from edge_etl_operator.conditions import SUCCEEDED


def completes(job: EdgeETLJob) -> bool:
    """Tell whether the last run, which is over, takes late nodes in."""
    run, succeeded = job.status.run, job.status.condition(SUCCEEDED)
    return (
        job.spec.nodes.late_data_policy == "Reaggregate"
        and not job.spec.suspend
        and run is not None
        and run.completion_time is not None
        and succeeded is not None
        and succeeded.status == "True"
    )


def joined(run: Run, matching: Sequence[str]) -> tuple[str, ...]:
    """Return the nodes that a run takes in after all: they match now, and did not before."""
    known = set(run.nodes)
    return tuple(name for name in matching if name not in known)


def delivered(run: Run, states: Sequence[NodeStatus]) -> bool:
    """Tell whether to aggregate again: late nodes delivered, and none is still at work."""
    if any(node.phase in ("Pending", "Running") for node in states):
        return False
    missing = set(run.missing)
    return any(node.name in missing and node.phase == "Succeeded" for node in states)
