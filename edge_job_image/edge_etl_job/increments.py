"""What of each file is new: the file's bytes are compared with what the ledger says.

The rule: a file continues what was delivered if its first bytes are those that were delivered,
whatever its name, inode and times say. So appended, renamed, rotated (with and without
copytruncate), copied and restored files go on where they were; anything else is new and is read
from its start.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BufferedReader
from typing import Final, Literal

from edge_etl_job.content import content, head, head_length, holds
from edge_etl_job.discovery import SourceFile, described
from edge_etl_job.engine import InputRange
from edge_etl_job.ledger import Entry, Ledger
from edge_etl_job.reasons import UNREADABLE
from edge_etl_job.sources import open_regular, why_unreadable

_STEP: Final = 1 << 16


@dataclass(frozen=True)
class Increment:
    """A file that differs from what the ledger knows, or that must be reported again."""

    name: str
    kind: Literal["read", "known", "same", "quarantined", "unreadable"]
    """``read``: a range is new. ``known``: delivered before under another name. ``same``: nothing
    but its name, inode or times are new. ``quarantined``: as in an earlier run. ``unreadable``."""
    message: str | None = None
    entry: Entry | None = None
    """What the ledger says when the increment is delivered; None leaves the ledger as it is."""
    held: Entry | None = None
    """What the ledger says instead when the range is quarantined; the quarantine is to be set."""
    part: InputRange | None = None
    """The range to read."""


def increment(
    file: SourceFile, ledger: Ledger, *, schema_version: str, settled_before: int
) -> Increment | None:
    """Return what is new of a file, None when nothing is.

    A file that was written after ``settled_before`` (nanoseconds since 1970) may still grow: its
    last line waits for its newline.
    """
    entry = ledger.entry(file.name)
    if entry is not None and _unchanged(file, entry):
        if entry.quarantine is not None and entry.schema_version == schema_version:
            return Increment(file.name, "quarantined", entry.quarantine)
        if entry.quarantine is None and entry.offset == file.size:
            return None
    try:
        with open_regular(file.path) as opened:
            found = described(file.name, file.location, os.fstat(opened.fileno()))
            return _compared(found, opened, entry, ledger, schema_version, settled_before)
    except OSError as error:
        return Increment(file.name, "unreadable", f"{UNREADABLE}: {why_unreadable(error)}")


def _unchanged(file: SourceFile, entry: Entry) -> bool:
    return (file.identity, file.size, file.modified, file.changed) == (
        entry.identity,
        entry.size,
        entry.modified,
        entry.changed,
    )


def _compared(
    file: SourceFile,
    opened: BufferedReader,
    entry: Entry | None,
    ledger: Ledger,
    schema_version: str,
    settled_before: int,
) -> Increment | None:
    known = _known(file, opened, entry, ledger)
    offset = known.offset if known else 0
    end = file.size
    if file.modified > settled_before:
        end = max(offset, _after_newline(opened, offset, end))
    start = _whole_line(opened, offset, end)
    if end == 0:
        return None
    length = head_length(end)
    new = Entry(
        name=file.name,
        identity=file.identity,
        size=file.size,
        modified=file.modified,
        changed=file.changed,
        offset=end,
        lines=known.lines if known else 0,
        content=content(opened, end, known.content if known else b"", offset),
        head_length=length,
        head=head(opened, length),
        quarantine=None,
        schema_version=schema_version,
        continues=entry is not None and known == entry,
    )
    if known is not None and end == offset:
        if known.name == file.name:
            return (
                None
                if new == replace(known, continues=True)
                else Increment(file.name, "same", entry=new)
            )
        return Increment(file.name, "known", _before(known), entry=new)
    message = None
    if entry is not None and entry.offset > 0 and known is None:
        message = "another content than before, read from its start"
    elif known is not None and known.name != file.name:
        message = f"continued from byte {offset}, {_before(known)}"
    part = InputRange(file.name, file.path, start, end, new.lines)
    held = replace(
        new,
        offset=offset,
        content=known.content if known else b"",
        head_length=known.head_length if known else 0,
        head=known.head if known else b"",
    )
    return Increment(file.name, "read", message, new, held, part)


def _before(known: Entry) -> str:
    return f"delivered before as {known.name}" if known.name else "delivered before"


def _known(
    file: SourceFile, opened: BufferedReader, entry: Entry | None, ledger: Ledger
) -> Entry | None:
    """Return the entry with the most delivered bytes that the file begins with."""
    if entry is not None and entry.offset > 0 and _begins(file, opened, entry):
        return entry
    return max(_copies(file, opened, ledger), key=lambda each: each.offset, default=None)


def _begins(file: SourceFile, opened: BufferedReader, entry: Entry) -> bool:
    return (
        entry.offset <= file.size
        and head(opened, entry.head_length) == entry.head
        # Who writes into the middle of a log keeps neither its end nor its inode, as a rule.
        and holds(opened, entry.content, entry.offset, thoroughly=entry.identity != file.identity)
    )


def _copies(file: SourceFile, opened: BufferedReader, ledger: Ledger) -> Iterator[Entry]:
    for length in ledger.head_lengths():
        if 0 < length <= file.size:
            for other in ledger.same_head(head(opened, length)):
                if other.offset <= file.size and holds(
                    opened, other.content, other.offset, thoroughly=True
                ):
                    yield other
                    break  # shorter ones of the same head are no better


def _after_newline(opened: BufferedReader, start: int, end: int) -> int:
    """Return the offset behind the last newline of a range, ``start`` if it has none."""
    while end > start:
        begin = max(start, end - _STEP)
        opened.seek(begin)
        found = opened.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return start


def _whole_line(opened: BufferedReader, offset: int, end: int) -> int:
    """Return where to go on: at ``offset``, or at the start of the line that was cut there.

    A file that had settled without a last newline was delivered with its last line; when that
    line goes on, it was not whole, and is read again.
    """
    if offset == 0 or offset >= end:
        return offset
    opened.seek(offset - 1)
    around = opened.read(2)
    if around[:1] == b"\n" or around[1:] in (b"\n", b"\r"):
        return offset
    return _after_newline(opened, 0, offset)
