"""What all parts of the resource have in common, and how one is written as JSON."""

from typing import Any

import msgspec

Count = int
"""A number of rows, files or bytes, never negative."""


# Without gc, since a thousand nodes are kept of each job, and what was decoded has no cycles.
class Part(msgspec.Struct, gc=False, frozen=True, kw_only=True, rename="camel"):
    """A part of the resource: immutable, camelCase in JSON."""


def as_document(part: msgspec.Struct) -> dict[str, Any]:
    """Return a part as JSON has it, without fields that are None."""
    document: dict[str, Any] = _without_none(msgspec.to_builtins(part))
    return document


def _without_none(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_none(item) for key, item in value.items() if item is not None}
        case list() | tuple():
            return [_without_none(item) for item in value]
        case _:
            return value
