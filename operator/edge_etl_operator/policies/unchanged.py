"""Whether there is nothing to merge, so that a run needs no Spark at all.

An aggregation merges all that it finds. After one that lacked nothing, only what the nodes of this
run delivered can be new.
"""

from collections.abc import Sequence

from edge_etl_operator.api import EdgeETLJob, NodeStatus, Run


def nothing_to_merge(job: EdgeETLJob, run: Run, nodes: Sequence[NodeStatus]) -> bool:
    """Tell whether the table holds all already, by what the nodes and the run before it say.

    A person's own aggregation is in a ConfigMap, which can have changed: the driver finds out.
    """
    before = job.status.runs[0] if job.status.runs else None
    if before is None or before.id == run.id or before.result != "Succeeded":
        return False
    if job.spec.aggregate.application is not None or job.status.rows is None:
        return False
    return all(_brought_nothing(node) for node in nodes)


def _brought_nothing(node: NodeStatus) -> bool:
    """Tell whether a node read nothing; what it refused would be in the run's report."""
    return node.phase == "Succeeded" and node.rows_read == 0 and not node.files_quarantined
