"""Publish plain files as a new version, and die at a given line of the publishing code.

``python -m tests.support.publish_and_die TABLE DIRECTORY`` copies TABLE to DIRECTORY/1, and kills
itself there with -9 before the first line of publish.py that a publication runs; to DIRECTORY/2
and before the second line; and so on, until a publication comes to its end.
"""

import hashlib
import itertools
import os
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

from edge_etl_spark import publish, versions
from edge_etl_spark.documents import TableFile, VersionManifest
from edge_etl_spark.versions import Version

from tests.support.version_manifests import version_manifest

KEPT_DAY, NEW_DAY = "rows/day=2026-01-01/kept.parquet", "rows/day=2026-01-02/new.parquet"


def newest(table: Path) -> Version | None:
    """Return the version with the highest number."""
    numbers = versions.version_numbers(table)
    return versions.read_version(table, numbers[-1]) if numbers else None


def publish_next(table: Path) -> int:
    """Publish a version that shares one file with the version before, and has one of its own."""
    with publish.exclusive(table, wait_seconds=0):
        publish.recover(table)
        current = newest(table)
        number = current.manifest.version + 1 if current else 1
        staging = publish.new_staging(table, f"20260101-{number:06d}")
        new = staging / NEW_DAY
        new.parent.mkdir(parents=True)
        new.write_text(f"new in {number}")
        if current:
            publish.carry_over(current.directory, staging, KEPT_DAY)
        else:
            kept = staging / KEPT_DAY
            kept.parent.mkdir(parents=True)
            kept.write_text("kept")
        publish.publish(table, staging, manifest(number))
        publish.prune(table, keep=2, grace_seconds=-1)
        return number


def manifest(number: int) -> VersionManifest:
    """Return the manifest of one of these versions."""
    return version_manifest(
        run=f"20260101-{number:06d}",
        version=number,
        rows=2,
        rows_added=1,
        days_written=1,
        manifests_merged=1,
        files=(_file(KEPT_DAY, "kept"), _file(NEW_DAY, f"new in {number}")),
    )


def _file(path: str, text: str) -> TableFile:
    content = text.encode()
    digest = hashlib.sha256(content).hexdigest()
    return TableFile(path=path, rows=1, bytes=len(content), sha256=digest)


def _die_at(line: int) -> None:
    lines = itertools.count(1)

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        if frame.f_code.co_filename != publish.__file__:
            return None
        if event == "line" and next(lines) == line:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def main(table: Path, directory: Path) -> None:
    """Die at every line, once."""
    for line in itertools.count(1):
        copy = directory / str(line)
        shutil.copytree(table, copy, symlinks=True)
        child = os.fork()
        if child == 0:
            _die_at(line)
            publish_next(copy)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            if status:
                sys.exit(f"the publication failed at line {line}")
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
