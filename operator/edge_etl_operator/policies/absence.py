"""Whether a node can work for a run now; one that cannot is Offline, which is no failure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from edge_etl_operator import conditions
from edge_etl_operator.kube import Node, Taint
from edge_etl_operator.policies.diagnosis import Diagnosis

LIFECYCLE: Final = "node.kubernetes.io/"
"""What Kubernetes itself puts on a node that is off, ill or cordoned; it goes by itself."""

_OFF: Final = frozenset({f"{LIFECYCLE}unreachable", f"{LIFECYCLE}not-ready"})
"""Stay for a second when the node is back."""


def gone(name: str, node: Node | None) -> Diagnosis | None:
    """Say that nothing was heard of a node; what ran on it may go on."""
    return _not_ready(name) if node is None or not node.ready else None


def closed(
    name: str, node: Node | None, tolerations: Sequence[Mapping[str, Any]]
) -> Diagnosis | None:
    """Say why a node takes no new pod of a job: it is off, cordoned or tainted."""
    if found := gone(name, node):
        return found
    assert node is not None  # noqa: S101  # a node that is None is gone
    if node.spec.unschedulable:
        return Diagnosis(conditions.NODE_CORDONED, f"Node {name} is cordoned")
    if taint := repelling(node, tolerations):
        if taint.key in _OFF:
            return _not_ready(name)
        told = f"{taint.key}={taint.value}" if taint.value else taint.key
        return Diagnosis(
            conditions.NODE_TAINTED, f"Node {name} has the taint {told}:{taint.effect}"
        )
    return None


def _not_ready(name: str) -> Diagnosis:
    return Diagnosis(conditions.NODE_NOT_READY, f"Node {name} is gone or not ready")


def repelling(node: Node, tolerations: Sequence[Mapping[str, Any]]) -> Taint | None:
    """Return a taint that keeps the pods of a job away, a person's first; None without one."""
    if not node.spec.taints:
        return None
    found = [
        taint
        for taint in node.spec.taints
        if taint.effect in ("NoSchedule", "NoExecute")
        and not any(tolerates(each, taint) for each in tolerations)
    ]
    return min(found, key=lambda taint: taint.key.startswith(LIFECYCLE), default=None)


def tolerates(toleration: Mapping[str, Any], taint: Taint) -> bool:
    """Apply a toleration as Kubernetes does: an empty key or effect stands for all of them."""
    if toleration.get("effect") not in (None, "", taint.effect):
        return False
    if toleration.get("key") not in (None, "", taint.key):
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("key")) and toleration.get("value", "") == taint.value
