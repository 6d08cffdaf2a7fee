"""What an attempt is given, and what it takes in."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from edge_etl_job.digest import sha256
from edge_etl_job.documents import Input, JobDocument
from edge_etl_job.errors import EdgeError
from edge_etl_job.reasons import TRANSFORM_FAILED

if TYPE_CHECKING:
    from edge_etl_job.engine import OutputFile
    from edge_etl_job.ledger import Entry


class Task(msgspec.Struct, frozen=True):
    """What an attempt is given."""

    job: JobDocument
    node: str
    attempt: str
    source: Path
    state: Path
    work: Path
    transform: Path | None = None
    """The file of the job's own rules."""
    place: Path | None = None
    """Where the source lies on the node, if that is not ``source``: a person is told of it."""

    def schema_version(self) -> str:
        """Identify the rules of the job and its own ones; raise EdgeError when there are none."""
        version = self.job.schema_version
        if self.transform is None:
            return version
        try:
            own = self.transform.read_bytes()
        except OSError as error:
            message = f"{self.transform.name} cannot be read: {error.strerror}"
            raise EdgeError(TRANSFORM_FAILED, message) from error
        return sha256(version.encode() + own)[: len(version)]


class Intake(msgspec.Struct, frozen=True):
    """What is new on the node, cleaned; nothing if nothing is said."""

    inputs: tuple[Input, ...] = ()
    """What the manifest says of each file."""
    entries: "tuple[Entry, ...]" = ()
    """What the ledger is to become."""
    files: "tuple[OutputFile, ...]" = ()
    watermark: datetime | None = None
    history: str | None = None
    """See ``engine.EngineResult``."""
    columns_missing: tuple[str, ...] = ()
    columns_seen: tuple[str, ...] = ()
    example: str | None = None
    """What is wrong with one of the rejected rows, where most are rejected."""
