"""Lists and objects as the API server sends them, to what is kept of them."""

from collections.abc import Callable, Hashable
from functools import cache
from typing import Any, TypeVar, cast

import msgspec

from edge_etl_operator.kube.part import Part

_Item = TypeVar("_Item")


class ListMetadata(Part, frozen=True, kw_only=True):
    """Where a list was taken, and where its next page begins."""

    resource_version: str = ""
    continue_: str = msgspec.field(name="continue", default="")


class Page(Part, frozen=True, kw_only=True):
    """A page of a list; its items are decoded by their own type."""

    items: list[msgspec.Raw] = msgspec.field(default_factory=list)
    metadata: ListMetadata = ListMetadata()


def items(document: bytes, kind: type[_Item]) -> tuple[_Item, ...]:
    """Return the items of a list."""
    decode = decoder(kind)
    return tuple(decode(item) for item in msgspec.json.decode(document, type=Page).items)


def decoder(kind: type[_Item]) -> Callable[[bytes | msgspec.Raw], _Item]:
    """Return what decodes a type of object."""
    return _decoder(cast("Hashable", kind)).decode


@cache
def _decoder(kind: Hashable) -> "msgspec.json.Decoder[Any]":
    return msgspec.json.Decoder(kind)
