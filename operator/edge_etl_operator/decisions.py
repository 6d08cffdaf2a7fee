"""What is decided about a job: what to do, what to say, when to look again."""

from dataclasses import dataclass
from typing import Any

from edge_etl_operator.api import Status


@dataclass(frozen=True)
class Create:
    """Create an object; it is fine if it is there and ours."""

    manifest: dict[str, Any]


@dataclass(frozen=True)
class Delete:
    """Delete exactly this object; without a UID the one of that name, if the job owns it."""

    kind: str
    name: str
    uid: str


Action = Create | Delete


@dataclass(frozen=True)
class Decision:
    """What to do, in this order; the status to write then; when to look again without a bell."""

    actions: tuple[Action, ...]
    status: Status
    again: float | None = None
