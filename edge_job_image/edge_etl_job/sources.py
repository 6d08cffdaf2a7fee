"""Open files of the source directory, which belong to others and change at any time."""

import os
import stat
from io import BufferedReader
from pathlib import Path


def open_regular(path: Path) -> BufferedReader:
    """Open a file of the source: never through a link, never a pipe, which would block."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    file = os.fdopen(descriptor, "rb")
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        file.close()
        raise OSError("it is no longer a regular file")
    return file


def why_unreadable(error: OSError) -> str:
    """Return why a file of the source cannot be read, and what to do."""
    if isinstance(error, PermissionError):
        return (
            f"may not be read by uid {os.getuid()}, gid {os.getgid()}: let others read it, "
            "or set the chart's edge.runAsUser"
        )
    if isinstance(error, FileNotFoundError):
        return "vanished before it was read"
    return f"cannot be read: {error.strerror or error}"
