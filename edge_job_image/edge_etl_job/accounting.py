"""What a run says of each file that it read, and what the ledger is to become."""

from collections import Counter
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from edge_etl_job.documents import Input, Known
from edge_etl_job.engine import InputResult, Quarantined, Range, packed, ranges
from edge_etl_job.increments import Increment, content_of
from edge_etl_job.ledger import Entry
from edge_etl_job.reasons import UNREADABLE
from edge_etl_job.report import said

_NO_ROWS = InputResult(0, 0, 0, {}, 0)


def apart(increments: Sequence[Increment]) -> tuple[list[Increment], dict[str, str]]:
    """Return the increments to read, and which others hold the same bytes as one of these."""
    read = [(new, new.entry) for new in increments if new.entry is not None and new.parts]
    # To look at all of a file costs as much as to clean it.
    alike = Counter((entry.head, entry.offset) for _, entry in read)
    firsts: dict[bytes | str, Increment] = {}
    copies: dict[str, str] = {}
    for new, entry in read:
        identity: bytes | str = new.name
        if alike[entry.head, entry.offset] > 1:
            if new.part is None:
                identity = entry.content
            elif new.part.start == 0:  # what a file that goes on has more is its own
                identity = content_of(new, new.part)
        first = firsts.setdefault(identity, new)
        if first is not new:
            copies[new.name] = first.name
    return list(firsts.values()), copies


def accounted(
    increments: Sequence[Increment],
    copies: Mapping[str, str],
    results: Mapping[str, Sequence[InputResult]],
) -> tuple[list[Input], list[Entry]]:
    """Return what the manifest says of each file, and the entries of the ledger.

    ``results`` has those of the parts of each increment that was read, by its name.
    """
    inputs: list[Input] = []
    entries: list[Entry] = []
    contents: dict[str, bytes] = {}
    for new in increments:
        original = copies.get(new.name)
        read = results.get(original or new.name)
        if read is not None:
            inputs.append(_input(new, read, original))
            entry = _entry(new, read)
            if entry is not None:
                entry = replace(entry, content=contents.get(original or "", entry.content))
                contents[new.name] = entry.content
        else:
            if new.kind != "same":
                inputs.append(_unread(new))
            entry = new.entry
        if entry is not None:
            entries.append(entry)
            if new.kind != "same":
                inputs[-1] = replace(inputs[-1], known=_known(entry))
    return inputs, entries


def _known(entry: Entry) -> Known | None:
    if entry.offset == 0:
        return None
    return Known(
        offset=entry.offset,
        lines=entry.lines,
        head=entry.head,
        content=entry.content,
        continues=entry.continues,
    )


def _unread(new: Increment) -> Input:
    return said(new.name, "read" if new.kind == "known" else "quarantined", new.message)


def _input(new: Increment, read: Sequence[InputResult], original: str | None) -> Input:
    quarantine = _quarantine(new, read)
    if quarantine is None and original is not None:
        return said(new.name, "read", f"the same bytes as {original}")
    message = new.message
    if quarantine is not None:
        message = f"{quarantine.reason}: {quarantine.message}"
    total = _total(read) if original is None else _NO_ROWS
    return Input(
        path=new.name,
        bytes_read=sum(
            part.end - part.start
            for part, result in zip(new.parts, read, strict=True)
            if result.quarantined is None and original is None
        ),
        rows_read=total.rows_read,
        rows_clean=total.rows_clean,
        rows_rejected=total.rows_rejected,
        rows_duplicate=total.rows_duplicate,
        status="read" if quarantine is None else "quarantined",
        rejected_by_reason=dict(sorted(total.rejected_by_reason.items())),
        read_again=bool(new.again) or (new.anew and quarantine is None),
        message=message,
        dialect=new.dialect,
    )


def _quarantine(new: Increment, read: Sequence[InputResult]) -> Quarantined | None:
    """Return why the file's new range is left where it is."""
    return read[-1].quarantined if new.part is not None else None


def _entry(new: Increment, read: Sequence[InputResult]) -> Entry | None:
    """Return what the ledger says of a file of which these parts were read."""
    quarantine = _quarantine(new, read)
    entry = new.entry if quarantine is None else new.held
    if entry is None or (quarantine is not None and quarantine.reason == UNREADABLE):
        return None
    left = [*ranges(entry.refused)]
    for part, result in zip(new.parts, read, strict=True):
        if result.quarantined is None:
            left += ranges(result.refused)
        elif part is not new.part:
            left.append(Range(part.start, part.end, part.lines))
    entry = replace(entry, refused=packed(left))
    if quarantine is not None:
        return replace(entry, quarantine=f"{quarantine.reason}: {quarantine.message}")
    if new.part is None:
        return entry
    last = read[-1]
    return replace(entry, lines=last.lines, content=entry.content + last.content)


def _total(read: Sequence[InputResult]) -> InputResult:
    """Return the sum of what was read; a part that was quarantined counts for nothing."""
    reasons: Counter[str] = Counter()
    for result in read:
        reasons.update(result.rejected_by_reason)
    return InputResult(
        sum(result.rows_read for result in read),
        sum(result.rows_clean for result in read),
        sum(result.rows_duplicate for result in read),
        reasons,
        0,
    )
