"""Make the ledger again from what this node has delivered: the old one is lost, or damaged.

Of each file the manifests say how far it was delivered and by which digests it is known again. What
they do not say is found out anew: how the file is written, why it is quarantined. What only the
ledger knew is gone: where rejected rows are, and what rules that look back know of series.
"""

from collections.abc import Iterator

import msgspec

from edge_etl_job.content import head_length
from edge_etl_job.documents import Known
from edge_etl_job.ledger import Entry
from edge_etl_job.logs import log
from edge_etl_job.results import ResultStore


class _Input(msgspec.Struct, frozen=True):
    path: str
    known: Known | None = None


class _Manifest(msgspec.Struct, frozen=True, rename="camel"):
    """As much of a manifest as is needed, so that older and newer ones can be read, too."""

    schema_version: str
    inputs: tuple[_Input, ...]


def entries(store: ResultStore) -> Iterator[Entry]:
    """Yield what the node's manifests say of files, in the order of the runs."""
    for run in store.runs():
        try:
            manifest = msgspec.json.decode(store.manifest(run) or b"", type=_Manifest)
        except msgspec.DecodeError as error:
            log.warning("the manifest of run %s cannot be read: %s", run, error)
            continue
        for each in manifest.inputs:
            if each.known is not None:
                yield _entry(each.path, each.known, manifest.schema_version)


def _entry(name: str, known: Known, schema_version: str) -> Entry:
    return Entry(
        name=name,
        # No file has these: it is compared byte for byte with what was delivered.
        identity="",
        size=-1,
        modified=0,
        changed=0,
        length=known.offset,
        offset=known.offset,
        lines=known.lines,
        dialect=b"",
        content=known.content,
        head_length=head_length(known.offset),
        head=known.head,
        quarantine=None,
        schema_version=schema_version,
        whole=False,
        refused=b"",
        continues=known.continues,
    )
