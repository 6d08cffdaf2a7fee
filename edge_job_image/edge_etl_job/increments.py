"""What of each file is new: the file's bytes are compared with what the ledger says.

The rule: a file continues what was delivered if its first bytes are those that were delivered,
whatever its name, inode and times say. So appended, renamed, rotated (with and without
copytruncate), copied and restored files go on where they were; anything else is new and is read
from its start. On request, what was rejected of the delivered bytes is read again, or all of them
when other rules had been in force.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BufferedReader
from typing import Final, Literal

from edge_etl_job.content import digests, head, head_length, holds, whole
from edge_etl_job.discovery import SourceFile, described
from edge_etl_job.engine import MOST_RANGES, InputRange, packed, ranges
from edge_etl_job.ledger import Entry, Ledger, Wanted
from edge_etl_job.reasons import UNREADABLE
from edge_etl_job.sources import open_regular, why_unreadable

_STEP: Final = 1 << 16


@dataclass(frozen=True)
class Increment:
    """A file that differs from what the ledger knows, or that must be reported again."""

    name: str
    kind: Literal["read", "known", "same", "quarantined", "unreadable"]
    """``read``: there are ranges to read. ``known``: delivered before under another name. ``same``:
    only its name, inode or times are new. ``quarantined``: as in an earlier run. ``unreadable``."""
    message: str | None = None
    entry: Entry | None = None
    """What the ledger says when the increment is delivered; None leaves the ledger as it is. To the
    content of one that has a ``part`` comes what the engine digests of it."""
    held: Entry | None = None
    """What the ledger says instead when the range is quarantined; the quarantine is to be set."""
    part: InputRange | None = None
    """The new range."""
    again: tuple[InputRange, ...] = ()
    """The ranges of rejected rows to read again."""
    anew: bool = False
    """Whether delivered bytes are read again, by other rules."""

    @property
    def parts(self) -> tuple[InputRange, ...]:
        """All ranges to read, in the file's order."""
        return self.again if self.part is None else (*self.again, self.part)


def increment(
    file: SourceFile, ledger: Ledger, wanted: Wanted, *, settled_before: int
) -> Increment | None:
    """Return what is to be read of a file, None when nothing is.

    A file that was written after ``settled_before`` (nanoseconds since 1970) may still grow: its
    last line waits for its newline.
    """
    entry = ledger.entry(file.name)
    if (
        entry is not None
        and entry.quarantine is not None
        and not wanted.replay
        and entry.schema_version == wanted.schema_version
        and _unchanged(file, entry)
    ):
        return Increment(file.name, "quarantined", entry.quarantine)
    try:
        with open_regular(file.path) as opened:
            found = described(file.name, file.location, os.fstat(opened.fileno()))
            return _compared(found, opened, entry, ledger, wanted, settled_before)
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
    wanted: Wanted,
    settled_before: int,
) -> Increment | None:
    known = _known(file, opened, entry, ledger)
    offset = known.offset if known else 0
    end = file.size
    if file.modified > settled_before:
        end = max(offset, _after_newline(opened, offset, end))
    if end == 0:
        return None
    new = _entry(file, opened, known, end, wanted)
    anew = wanted.changed and not new.whole
    start = 0 if anew else _whole_line(opened, offset, end)
    refused = tuple(each for each in ranges(new.refused) if each.start < start)
    replayed = refused if wanted.replay else ()
    if wanted.exact and len(replayed) == MOST_RANGES:
        replayed = replayed[:-1]  # between its rows are others
    new = replace(
        new,
        lines=0 if anew else new.lines,
        whole=anew or new.whole,
        refused=packed(refused[len(replayed) :]),
        continues=entry is not None and known == entry,
    )
    again = tuple(InputRange(file.name, file.path, *each, each.end) for each in replayed)
    if known is not None and start == end and not again:
        return _renamed(known, new)
    message = None
    if entry is not None and entry.offset > 0 and known is None:
        message = "another content than before, read from its start"
    elif known is not None and known.name != file.name:
        message = f"continued from byte {offset}, {_before(known)}"
    elif anew:
        message = "read again by the rules of now"
    part = None
    if start < end:
        content, digested = whole(new.content, offset)
        part = InputRange(file.name, file.path, start, end, new.lines, digested)
        new = replace(new, content=content)
    return Increment(file.name, "read", message, new, _held(new, known), part, again, anew)


def _entry(
    file: SourceFile, opened: BufferedReader, known: Entry | None, end: int, wanted: Wanted
) -> Entry:
    """Return what the ledger says of a file that is delivered to its end as it goes on."""
    length = head_length(end)
    return Entry(
        name=file.name,
        identity=file.identity,
        size=file.size,
        modified=file.modified,
        changed=file.changed,
        offset=end,
        lines=known.lines if known else 0,
        content=known.content if known else b"",
        head_length=length,
        head=head(opened, length),
        quarantine=None,
        schema_version=wanted.schema_version,
        whole=known is None or (known.whole and known.schema_version == wanted.schema_version),
        refused=known.refused if known else b"",
        continues=False,
    )


def _held(new: Entry, known: Entry | None) -> Entry:
    """Return what the ledger says when nothing more of the file than before is delivered."""
    return replace(
        new,
        offset=known.offset if known else 0,
        lines=known.lines if known else 0,
        content=known.content if known else b"",
        head_length=known.head_length if known else 0,
        head=known.head if known else b"",
        whole=known is not None and known.whole and known.schema_version == new.schema_version,
    )


def _renamed(known: Entry, new: Entry) -> Increment | None:
    """Return the increment of a file of which nothing is read; None when nothing is to be said."""
    new = replace(
        new, schema_version=known.schema_version, whole=known.whole, refused=known.refused
    )
    if known.name != new.name:
        return Increment(new.name, "known", _before(known), entry=new)
    return None if new == replace(known, continues=True) else Increment(new.name, "same", entry=new)


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


def content_of(new: Increment, part: InputRange) -> bytes | str:
    """Return the digests of a file that is read from its start, its name if it cannot be read."""
    try:
        with open_regular(part.path) as opened:
            return digests(opened, 0, part.end)
    except OSError:
        return new.name  # the engine will find out what is wrong with it
