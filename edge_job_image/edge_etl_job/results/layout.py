"""Where results lie below their root (docs/contracts/README.md), as paths and as URLs.

Every part of a path comes through here, and is refused unless it is a plain name: what other
programs send can then never lead out of its folder.
"""

import re
from pathlib import PurePosixPath
from typing import Final

import msgspec

from edge_etl_job.names import ATTEMPT, FILE, NAME, RUN
from edge_etl_job.results.errors import INVALID_NAME, ResultError

MANIFEST: Final = "manifest.json"
DATASET: Final = "dataset.json"
INCOMING: Final = ".incoming-"
"""The beginning of the names of files that are still being written; no valid name begins so."""

_PATTERNS: Final = {
    "namespace": re.compile(NAME),
    "job": re.compile(NAME),
    "run": re.compile(RUN),
    "node": re.compile(NAME),
    "attempt": re.compile(ATTEMPT),
    "file": re.compile(FILE),
}


def checked(kind: str, value: str) -> str:
    """Return the value if it is a name of its kind (a key of the patterns), or raise."""
    # `$` also matches before a newline at the end: not so with fullmatch.
    if _PATTERNS[kind].fullmatch(value):
        return value
    raise ResultError(INVALID_NAME, f"not the name of a {kind}: {value[:100]!r}")


class Dataset(msgspec.Struct, frozen=True):
    """The results of one job. Names that are none raise ResultError, here and in subclasses."""

    namespace: str
    job: str

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            checked(name, getattr(self, name))

    @property
    def folder(self) -> PurePosixPath:
        """The folder of the dataset, below the root."""
        return PurePosixPath(self.namespace, self.job)


class Report(Dataset, frozen=True):
    """The report of a run, which the aggregation writes."""

    run: str

    @property
    def path(self) -> PurePosixPath:
        """Where it lies, below the root."""
        return self.folder / "reports" / f"{self.run}.html"


class NodeRun(Dataset, frozen=True):
    """What one node delivers in one run."""

    run: str
    node: str

    @property
    def node_folder(self) -> PurePosixPath:
        """The folder in which the manifest appears, below the root."""
        return self.folder / "runs" / self.run / self.node

    def in_run(self, run: str) -> "NodeRun":
        """Return the same node in another run."""
        return NodeRun(self.namespace, self.job, run, self.node)


class Attempt(NodeRun, frozen=True):
    """One attempt of a node to deliver: a pod."""

    attempt: str

    @property
    def attempt_folder(self) -> PurePosixPath:
        """The folder of the attempt's files, below the root."""
        return self.node_folder / self.attempt
