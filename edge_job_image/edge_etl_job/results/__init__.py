"""Where the results of a run go: one small protocol, one implementation for each kind of place.

``open_store`` chooses by the location: a directory (a mounted volume) or the landing service's URL.
"""

from pathlib import Path
from typing import Protocol


class ResultStore(Protocol):
    """The results of one attempt of one node in one run.

    Every method raises ``EdgeError`` with a reason of its own when the place cannot be reached,
    refuses, or is full; what was put before then is garbage that no manifest names.
    """

    def dataset_id(self) -> str:
        """Return the id of the job's results, made once; another id means other results."""
        ...

    def manifest(self, run: str) -> bytes | None:
        """Return the manifest that this node has committed in a run, or None."""
        ...

    def put(self, name: str, file: Path, sha256: str) -> None:
        """Store a file of this attempt; it is durable when this returns."""
        ...

    def commit(self, manifest: bytes) -> bytes:
        """Commit this attempt; return the manifest that stands: this one or an earlier one."""
        ...


def open_store(
    location: str,
    *,
    namespace: str,
    job: str,
    run: str,
    node: str,
    attempt: str,
    token_file: Path | None,
) -> ResultStore:
    """Return the store at ``location``: a directory, or the ``http(s)://`` landing service."""
    if location.startswith(("http://", "https://")):
        from edge_etl_job.results.landing import LandingStore

        return LandingStore(
            location,
            namespace=namespace,
            job=job,
            run=run,
            node=node,
            attempt=attempt,
            token_file=token_file,
        )
    from edge_etl_job.results.directory import DirectoryStore

    return DirectoryStore(
        Path(location), namespace=namespace, job=job, run=run, node=node, attempt=attempt
    )
