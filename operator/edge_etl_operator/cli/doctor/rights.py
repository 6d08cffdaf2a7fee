"""What the person may do, as the API server itself says it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from edge_etl_operator.api import GROUP, PLURAL
from edge_etl_operator.cli.doctor.checks import Check, notice, ok, problem
from edge_etl_operator.cli.session import Session

_PLACE: Final = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


@dataclass(frozen=True)
class Right:
    """Something that a command does."""

    group: str
    resource: str
    verbs: tuple[str, ...]
    purpose: str
    subresource: str = ""
    needed: bool = True
    """Whether nothing works without; other rights only make more to be seen."""
    everywhere: bool = False
    """Whether it is about what has no namespace."""


PODS: Final = Right("", "pods", ("create", "delete"), "for doctor to look at the Pis", needed=False)
RIGHTS: Final = (
    Right(GROUP, PLURAL, ("get", "list", "create", "update"), "to apply and run jobs"),
    Right("", "pods", ("get", "list"), "for logs and live progress", needed=False),
    Right("", "pods", ("get",), "for logs and live progress", "log", needed=False),
    PODS,
    Right("", "nodes", ("list",), "to see the Pis", needed=False, everywhere=True),
    Right("", "events", ("list",), "to see why something waits", needed=False),
    Right("", "configmaps", ("get",), "to see the chart's settings", needed=False),
)


def checks(within: Session) -> Iterator[Check]:
    """Ask for each right; say in one line what is granted."""
    missing = [(right, verbs) for right in RIGHTS if (verbs := _refused(within, right))]
    for right, verbs in missing:
        what = f"{right.resource}/{right.subresource}" if right.subresource else right.resource
        what = f"{what}.{right.group}" if right.group else what
        where = "" if right.everywhere else f" in {within.namespace}"
        said = f"you may not {', '.join(verbs)} {what}{where} ({right.purpose})"
        kind = "ClusterRole" if right.everywhere else "Role"
        remedy = f"Have an administrator grant it by a {kind} and a binding."
        tell = problem if right.needed else notice
        yield tell("permissions", said, remedy)
    if not missing:
        yield ok("permissions", f"you may do all that the commands need in {within.namespace}")


def may(within: Session, right: Right) -> bool:
    """Tell whether the person has a right."""
    return not _refused(within, right)


def _refused(within: Session, right: Right) -> list[str]:
    return [verb for verb in right.verbs if not _allowed(within, right, verb)]


def _allowed(within: Session, right: Right, verb: str) -> bool:
    attributes: dict[str, Any] = {
        "group": right.group,
        "resource": right.resource,
        "subresource": right.subresource,
        "verb": verb,
        "namespace": "" if right.everywhere else within.namespace,
    }
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    answer = json.loads(within.connection.call("POST", _PLACE, body=review))
    return bool(answer["status"]["allowed"])
