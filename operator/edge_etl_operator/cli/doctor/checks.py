"""What a check found: a fact, and what to do about it."""

from collections.abc import Iterable
from typing import Literal

import msgspec

from edge_etl_operator.cli.output import Part

Result = Literal["ok", "notice", "problem", "unknown"]


class Check(Part, frozen=True, kw_only=True):
    """One thing that was looked at.

    ``notice`` is odd and need not be wrong, ``unknown`` could not be looked at.
    """

    name: str
    result: Result = msgspec.field(default_factory=lambda: "ok")
    node: str = ""
    """The node that it is about, empty where it is about the cluster."""
    message: str
    remedy: str = ""


def ok(name: str, message: str, node: str = "") -> Check:
    """Return a check that found everything right."""
    return Check(name=name, result="ok", message=message, node=node)


def notice(name: str, message: str, remedy: str = "", node: str = "") -> Check:
    """Return a check that found something odd."""
    return Check(name=name, result="notice", message=message, remedy=remedy, node=node)


def problem(name: str, message: str, remedy: str, node: str = "") -> Check:
    """Return a check that found what keeps a run from its success, and what to do."""
    return Check(name=name, result="problem", message=message, remedy=remedy, node=node)


def unknown(name: str, message: str, remedy: str = "", node: str = "") -> Check:
    """Return a check that could not be made."""
    return Check(name=name, result="unknown", message=message, remedy=remedy, node=node)


def failed(checks: Iterable[Check]) -> bool:
    """Tell whether there is a problem among them."""
    return any(check.result == "problem" for check in checks)
