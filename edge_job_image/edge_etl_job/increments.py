"""What of each file is new: the file's bytes are compared with what the ledger says.

The rule: a file continues what was delivered if its first bytes are those that were delivered,
whatever its name, inode and times say. So appended, renamed, rotated (with and without
copytruncate), copied and restored files go on where they were; anything else is new and is read
from its start. On request, what was rejected of the delivered bytes is read again, or all of them
when other rules had been in force.
"""

import os
from collections.abc import Iterator
from io import BufferedIOBase, BufferedReader
from typing import Final, Literal

import msgspec
from msgspec.structs import replace

from edge_etl_job.compression import Compression, kind, open_content, opened_content
from edge_etl_job.content import digests, head, head_length, holds, whole
from edge_etl_job.detection import SAMPLE, Decision, Detector
from edge_etl_job.dialect import Dialect, DialectError, after_line_end
from edge_etl_job.discovery import SourceFile, described
from edge_etl_job.engine import InputRange, packed, ranges
from edge_etl_job.ledger import Entry, Ledger, Wanted
from edge_etl_job.reasons import UNREADABLE
from edge_etl_job.sources import open_regular, why_unreadable

_DIALECTS: Final = msgspec.json.Decoder(Dialect)


class Increment(msgspec.Struct, frozen=True):
    """A file that differs from what the ledger knows, or that must be reported again."""

    name: str
    kind: Literal["read", "known", "same", "refused", "quarantined", "unreadable"]
    """``read``: there are ranges to read. ``known``: delivered before under another name. ``same``:
    only its name, inode or times are new. ``refused``: to be quarantined for what it shows.
    ``quarantined``: as in an earlier run. ``unreadable``."""
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
    dialect: str | None = None
    """How the file is written, where that is not plain."""
    columns: tuple[str, ...] = ()
    """The columns of a file that is read or refused."""

    @property
    def parts(self) -> tuple[InputRange, ...]:
        """All ranges to read, in the file's order."""
        return self.again if self.part is None else (*self.again, self.part)


class Rules(msgspec.Struct, frozen=True):
    """What decides on what is to be read of a file."""

    detector: Detector
    wanted: Wanted
    settled_before: int
    """Nanoseconds since 1970. A file that was written later may still grow: its last line waits
    for its end, and an archive for the rest of it."""


class _Opened(msgspec.Struct, frozen=True):
    """A file as it was found when it was opened, and what it holds."""

    file: SourceFile
    content: BufferedIOBase
    length: int
    """Bytes of the content."""
    compression: Compression


def increment(file: SourceFile, ledger: Ledger, rules: Rules) -> Increment | None:
    """Return what is to be read of a file, None when nothing is."""
    entry = ledger.entry(file.name)
    if (
        entry is not None
        and entry.quarantine is not None
        and not rules.wanted.replay
        and entry.schema_version == rules.wanted.schema_version
        and file.stamp == entry.stamp
    ):
        return Increment(file.name, "quarantined", entry.quarantine)
    try:
        with open_regular(file.path) as opened:
            found = described(file.name, file.location, os.fstat(opened.fileno()))
            return _opened(found, opened, entry, ledger, rules)
    except OSError as error:
        return Increment(file.name, "unreadable", f"{UNREADABLE}: {why_unreadable(error)}")


def _opened(
    file: SourceFile, opened: BufferedReader, entry: Entry | None, ledger: Ledger, rules: Rules
) -> Increment | None:
    compression = kind(opened)
    if compression and file.modified > rules.settled_before:
        return None
    known: Entry | None = None
    try:
        with opened_content(opened, compression) as content:
            this = _Opened(file, content, _length(file, content, compression), compression)
            known = _known(this, entry, ledger)
            return _compared(this, entry, known, rules)
    except DialectError as error:
        message = f"{error.reason}: {error.message}"
        held = replace(
            _held(_bare(file, rules), known),
            quarantine=message,
            continues=entry is not None and known == entry,
        )
        return Increment(file.name, "refused", message, held, columns=error.columns)


def _length(file: SourceFile, content: BufferedIOBase, compression: Compression) -> int:
    if not compression:
        return file.size
    from edge_etl_job.archives import length

    return length(content, file.size)


def _compared(
    this: _Opened, entry: Entry | None, known: Entry | None, rules: Rules
) -> Increment | None:
    file, wanted = this.file, rules.wanted
    bare = replace(
        _bare(file, rules), length=this.length, continues=entry is not None and known == entry
    )
    offset = known.offset if known else 0
    is_whole = known is None or (known.whole and known.schema_version == wanted.schema_version)
    anew = wanted.changed and not is_whole
    if (
        known is not None
        and offset == this.length
        and not anew
        and not wanted.replays(*ranges(known.refused))
    ):
        return _renamed(known, replace(_held(bare, known), length=this.length))
    settled = bool(this.compression) or file.modified <= rules.settled_before
    decision = _decision(this, known, rules, settled=settled)
    if decision is None:
        return None
    dialect, end = decision.dialect, this.length
    if not settled:
        end = max(offset, after_line_end(this.content, offset, end, dialect))
    if end == 0:
        return None
    start = 0 if anew else _whole_line(this.content, offset, end, dialect)
    refused = tuple(each for each in ranges(known.refused if known else b"") if each.start < start)
    replayed = tuple(each for each in refused if wanted.replays(each))
    new = replace(
        _held(bare, known),
        offset=end,
        lines=known.lines if known and not anew else 0,
        dialect=msgspec.json.encode(dialect),
        head_length=head_length(end),
        head=head(this.content, head_length(end)),
        whole=anew or is_whole,
        refused=packed([each for each in refused if each not in replayed]),
    )
    again = tuple(
        InputRange(
            file.name,
            file.path,
            each.start,
            each.end,
            each.lines,
            dialect,
            this.compression,
            each.end,
        )
        for each in replayed
    )
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
        part = InputRange(
            file.name, file.path, start, end, new.lines, dialect, this.compression, digested
        )
        new = replace(new, content=content)
    held = replace(_held(bare, known), refused=new.refused)
    note = _written(decision, this)
    return Increment(
        file.name, "read", message, new, held, part, again, anew, note, dialect.columns
    )


def _bare(file: SourceFile, rules: Rules) -> Entry:
    """Return the entry of a file of which nothing was delivered."""
    return Entry(
        name=file.name,
        identity=file.identity,
        size=file.size,
        modified=file.modified,
        changed=file.changed,
        length=file.size,
        offset=0,
        lines=0,
        dialect=b"",
        content=b"",
        head_length=0,
        head=b"",
        quarantine=None,
        schema_version=rules.wanted.schema_version,
        whole=False,
        refused=b"",
        continues=False,
    )


def _held(bare: Entry, known: Entry | None) -> Entry:
    """Return what the ledger says when nothing more of the file than is known is delivered."""
    if known is None:
        return bare
    return replace(
        bare,
        offset=known.offset,
        lines=known.lines,
        dialect=known.dialect,
        content=known.content,
        head_length=known.head_length,
        head=known.head,
        whole=known.whole and known.schema_version == bare.schema_version,
        refused=known.refused,
    )


def _renamed(known: Entry, new: Entry) -> Increment | None:
    """Return the increment of a file of which nothing is read; None when nothing is to be said."""
    new = replace(
        new,
        schema_version=known.schema_version,
        whole=known.whole,
        refused=known.refused,
        dialect=known.dialect,
    )
    if known.name != new.name:
        return Increment(new.name, "known", _before(known), entry=new)
    return None if new == replace(known, continues=True) else Increment(new.name, "same", entry=new)


def _decision(
    this: _Opened, known: Entry | None, rules: Rules, *, settled: bool
) -> Decision | None:
    """Return how a file is written: as it was before, if that has been judged by its rows."""
    if known and known.dialect and known.schema_version == rules.wanted.schema_version:
        before = _DIALECTS.decode(known.dialect)
        if before.judged:
            this.content.seek(known.offset)
            return Decision(rules.detector.refined(before, this.content.read(SAMPLE)))
    this.content.seek(0)
    sample = this.content.read(SAMPLE)
    return rules.detector.decide(sample, whole=settled and len(sample) == this.length)


def _written(decision: Decision, this: _Opened) -> str | None:
    unpacked = f"unpacked from {this.compression}" if this.compression else None
    return "; ".join(filter(None, (unpacked, decision.note))) or None


def _before(known: Entry) -> str:
    return f"delivered before as {known.name}" if known.name else "delivered before"


def _known(this: _Opened, entry: Entry | None, ledger: Ledger) -> Entry | None:
    """Return the entry with the most delivered bytes that the file begins with."""
    if entry is not None and entry.offset > 0 and _begins(this, entry):
        return entry
    return max(_copies(this, ledger), key=lambda each: each.offset, default=None)


def _begins(this: _Opened, entry: Entry) -> bool:
    # Who writes into the middle of a log keeps neither its end nor its inode, as a rule.
    thoroughly = entry.identity != this.file.identity
    return (
        entry.offset <= this.length
        and head(this.content, entry.head_length) == entry.head
        and holds(this.content, entry.content, entry.offset, thoroughly=thoroughly)
    )


def _copies(this: _Opened, ledger: Ledger) -> Iterator[Entry]:
    for length in ledger.head_lengths():
        if 0 < length <= this.length:
            for other in ledger.same_head(head(this.content, length)):
                if other.offset <= this.length and holds(
                    this.content, other.content, other.offset, thoroughly=True
                ):
                    yield other
                    break  # shorter ones of the same head are no better


def _whole_line(content: BufferedIOBase, offset: int, end: int, dialect: Dialect) -> int:
    """Return where to go on: at ``offset``, or at the start of the line that was cut there.

    A file that had settled without a last line end was delivered with its last line; when that
    line goes on, it was not whole, and is read again.
    """
    wide = dialect.wide
    if offset == 0 or offset >= end:
        return offset
    if offset % wide == 0:
        if after_line_end(content, offset - wide, offset, dialect) == offset:
            return offset
        content.seek(offset)
        if content.read(wide).strip(b"\0") in (b"\n", b"\r"):
            return offset
    return after_line_end(content, 0, offset, dialect)


def content_of(new: Increment, part: InputRange) -> bytes | str:
    """Return the digests of a file that is read from its start, its name if it cannot be read."""
    try:
        with open_content(part.path, part.compression) as content:
            return digests(content, 0, part.end)
    except (OSError, DialectError):
        return new.name  # the engine will find out what is wrong with it
