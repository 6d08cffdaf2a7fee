"""Where a node's results go, behind one interface: a directory, the landing service, a bucket."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from edge_etl_job.results.errors import ResultError
from edge_etl_job.results.layout import Attempt

__all__ = ["ResultError", "ResultStore", "open_store"]


class ResultStore(Protocol):
    """The results as one attempt of one node sees them. Every method may raise ResultError."""

    @property
    def at_once(self) -> int:
        """How many files to put at the same time, each by a thread of its own.

        How they are stored may tell: so it is asked behind the first one.
        """

    def dataset_id(self) -> str:
        """Return the id of the namespace's and job's results, made once when they begin."""

    def runs(self) -> Sequence[str]:
        """Return the runs in which this node committed a manifest, in their order."""

    def manifest(self, run: str) -> bytes | None:
        """Return the manifest that this node committed in a run, None when there is none."""

    def put(self, name: str, file: Path, sha256: str) -> None:
        """Store a file of this attempt, which nobody writes to any more.

        Its bytes are durable on return, and checked unless they are the same ones on the same disk.
        Its name is durable when it is committed: before that nobody asks for it.

        Storing the same content again is fine; other content under the name is ResultConflict.
        """

    def commit(self, manifest: bytes) -> bytes:
        """Publish what was put, and return the manifest that stands: this one or an earlier one.

        A node has at most one manifest in a run; the files that it lists must be there.
        """


def open_store(
    location: str,
    place: Attempt,
    *,
    token_file: Path | None = None,
    ca_file: Path | None = None,
    credentials: Path | None = None,
) -> ResultStore:
    """Open the results for one attempt: in a directory, at a landing service, or in a bucket.

    The location is a path, an http(s) URL, or ``s3://bucket/prefix?endpoint=…``. ``token_file``
    holds the token that the landing service asks for, ``ca_file`` the authority of its certificate
    (default: the system's), ``credentials`` the key that opens the bucket; a directory needs none.
    """
    if location.startswith(("http://", "https://")):
        # Only pods that deliver over HTTP pay for importing urllib3.
        from edge_etl_job.results.landing_client import LandingStore

        return LandingStore(location, place, token_file, ca_file=ca_file)
    if location.startswith("s3://"):
        from edge_etl_job.results.s3 import Bucket, S3Store

        return S3Store(Bucket.parse(location), place, credentials or Path())
    from edge_etl_job.results.directory import DirectoryStore

    return DirectoryStore(Path(location), place)
