"""Read the versions of a table. The version with the highest number is the table.

A version appears whole, by one rename; the ``current`` link only points readers to it. So an
aggregation never trusts the link: one that died between the two is finished by the next.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import msgspec

from edge_etl_spark.documents import VersionManifest
from edge_etl_spark.errors import TABLE_CORRUPT, AggregationError

NAME = re.compile(r"v([0-9]{6,})")


@dataclass(frozen=True)
class Version:
    """A published version of the table."""

    directory: Path
    manifest: VersionManifest


def version_name(number: int) -> str:
    """Return the directory's name of a version: ``v000001``."""
    return f"v{number:06d}"


def version_numbers(table: Path) -> list[int]:
    """Return the numbers of all published versions, the newest last."""
    directory = table / "versions"
    if not directory.is_dir():
        return []
    matches = (NAME.fullmatch(path.name) for path in directory.iterdir())
    return sorted(int(match[1]) for match in matches if match)


def read_version(table: Path, number: int) -> Version:
    """Return a published version; AggregationError (TableCorrupt) without a good manifest."""
    directory = table / "versions" / version_name(number)
    path = directory / "version.json"
    content = path.read_bytes() if path.exists() else b""
    return Version(directory, decoded(content, str(path), remove=str(directory)))


def decoded(content: bytes, where: str, remove: str | None = None) -> VersionManifest:
    """Understand a version manifest; AggregationError (TableCorrupt) if it cannot be used."""
    try:
        return msgspec.json.decode(content, type=VersionManifest)
    except msgspec.DecodeError as error:
        raise AggregationError(
            TABLE_CORRUPT,
            f"{where} cannot be used: {error}; remove {remove or where} to go back to the version "
            "before, whose missing deliveries are then merged again, or run "
            "`edge-etl table rebuild`",
        ) from None
