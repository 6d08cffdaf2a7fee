"""Which nodes take part in a run that begins now."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from edge_etl_operator.api import LabelExpression, Selector
from edge_etl_operator.kube import Node
from edge_etl_operator.policies import absence


@dataclass(frozen=True)
class Choice:
    """The nodes that match, by name: those that take part, and those that are left out."""

    chosen: tuple[str, ...]
    cordoned: tuple[str, ...] = ()
    tainted: tuple[str, ...] = ()


def choose(
    selector: Selector, nodes: Iterable[Node], tolerations: Sequence[Mapping[str, Any]] = ()
) -> Choice:
    """Choose the matching nodes on which pods may be put.

    A cordoned node is left out: its pod could not be scheduled, and someone is at work there. So
    is one with a taint that a person put there and the job does not tolerate. A node that is off
    takes part: nobody has said that it may be missing.
    """
    chosen: list[str] = []
    cordoned: list[str] = []
    tainted: list[str] = []
    for node in sorted(nodes, key=lambda node: node.name):
        if not matches(selector, node.metadata.labels):
            continue
        taint = absence.repelling(node, tolerations)
        if node.spec.unschedulable:
            cordoned.append(node.name)
        elif taint is not None and not taint.key.startswith(absence.LIFECYCLE):
            tainted.append(node.name)
        else:
            chosen.append(node.name)
    return Choice(tuple(chosen), tuple(cordoned), tuple(tainted))


def matches(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Apply a label selector as Kubernetes does; an empty one matches everything."""
    return all(labels.get(key) == value for key, value in selector.match_labels.items()) and all(
        _holds(expression, labels) for expression in selector.match_expressions
    )


def _holds(expression: LabelExpression, labels: Mapping[str, str]) -> bool:
    present = expression.key in labels
    match expression.operator:
        case "In":
            return present and labels[expression.key] in expression.values
        case "NotIn":
            return not present or labels[expression.key] not in expression.values
        case "Exists":
            return present
        case "DoesNotExist":
            return not present


def described(selector: Selector) -> str:
    """Return a selector as `kubectl get nodes -l` takes it."""
    parts = [f"{key}={value}" for key, value in selector.match_labels.items()]
    for each in selector.match_expressions:
        values = ",".join(each.values)
        match each.operator:
            case "In":
                parts.append(f"{each.key} in ({values})")
            case "NotIn":
                parts.append(f"{each.key} notin ({values})")
            case "Exists":
                parts.append(each.key)
            case "DoesNotExist":
                parts.append(f"!{each.key}")
    return ",".join(parts) or "every node"
