"""What a pod saw on a Pi: the answer of the edge program's ``probe``."""

from datetime import datetime

import msgspec


class _Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of the document; docs/contracts/probe.schema.json describes it."""


class Disk(_Part, frozen=True, kw_only=True):
    """A file system of the node."""

    path: str
    free_bytes: int
    total_bytes: int
    read_only: bool
    message: str = ""


class Example(_Part, frozen=True, kw_only=True):
    """A row that is rejected."""

    line: int
    reason: str
    detail: str


class Sample(_Part, frozen=True, kw_only=True):
    """What the schema makes of some rows of a file."""

    file: str
    modified: datetime
    reason: str = ""
    message: str = ""
    rows_read: int = 0
    rejected_by_reason: dict[str, int] = {}
    examples: tuple[Example, ...] = ()
    columns_missing: tuple[str, ...] = ()
    columns_seen: tuple[str, ...] = ()
    dialect: str = ""
    latest: datetime | None = None


class Files(_Part, frozen=True, kw_only=True):
    """What lies in the source."""

    count: int = 0
    bytes: int = 0
    unreadable: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()
    message: str = ""


class NodeProbe(_Part, frozen=True, kw_only=True):
    """What was seen on a node."""

    kind: str
    node: str
    time: datetime
    synchronised: bool | None = None
    machine: str = ""
    kernel: str = ""
    page_size: int = 0
    memory_cgroup: bool | None = None
    memory_bytes: int = 0
    available_bytes: int = 0
    disks: tuple[Disk, ...] = ()
    celsius: float | None = None
    throttled: tuple[str, ...] = ()
    files: Files = Files()
    samples: tuple[Sample, ...] = ()


def parsed(text: str) -> NodeProbe | None:
    """Parse what the pod said in the end; None when it is something else."""
    try:
        document = msgspec.json.decode(text, type=NodeProbe)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None
    return document if document.kind == "NodeProbe" else None
