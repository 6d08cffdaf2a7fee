"""What the program tells of a node that it looked at for `edge-etl doctor`."""

from typing import Annotated, Literal

from msgspec import Meta, field

from edge_etl_job.documents import API_VERSION, Count, Document

Time = Annotated[str, Meta(description="RFC 3339, UTC")]


class Disk(Document, frozen=True, kw_only=True):
    """A file system: that of the source, or that of the kubelet's temporary directories."""

    path: Literal["source", "work"]
    free_bytes: Count
    total_bytes: Count
    read_only: bool
    message: str = ""
    """Why it could not be looked at or written to."""


class Example(Document, frozen=True, kw_only=True):
    """A row that is rejected."""

    line: Count
    reason: str
    detail: str


class Sample(Document, frozen=True, kw_only=True):
    """What the schema makes of the first rows of a file."""

    file: str
    modified: Time
    reason: str = ""
    """Why the file would be quarantined; empty when it would be read."""
    message: str = ""
    rows_read: Count = 0
    rejected_by_reason: dict[str, Count] = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    columns_missing: tuple[str, ...] = ()
    columns_seen: tuple[str, ...] = ()
    dialect: str = ""
    """How it is written, where that is not plain, and what showed it."""
    latest: Time | None = None
    """The latest time in its first and last rows, also one that is in the future."""


class Files(Document, frozen=True, kw_only=True):
    """What of the source the job would read."""

    count: Count = 0
    bytes: Count = 0
    unreadable: tuple[str, ...] = ()
    passed_over: tuple[str, ...] = ()
    message: str = ""
    """Why the source could not be looked at."""


class NodeProbe(Document, frozen=True, kw_only=True):
    """A node as a pod saw it: the termination message, at most 4,096 bytes."""

    api_version: Literal["pi-edge-spark.io/v1alpha1"] = API_VERSION
    kind: Literal["NodeProbe"] = "NodeProbe"
    node: str
    time: Time
    """The node's clock."""
    synchronised: bool | None
    """Whether a time server keeps it right; null where the kernel does not say."""
    machine: str
    kernel: str
    page_size: Count
    memory_cgroup: bool | None
    """Whether memory limits hold."""
    memory_bytes: Count
    available_bytes: Count
    disks: tuple[Disk, ...]
    celsius: float | None
    throttled: tuple[str, ...]
    files: Files
    samples: tuple[Sample, ...]
