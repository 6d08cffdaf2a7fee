"""Whether what a node delivers is like what its fleet delivers: pure, before anything is merged.

A node drifts when its files have no column for a field that the fleet has, or when most of its
values are of other types than the schema says while those of the fleet are not. All is read in the
manifests, so it is found again in each aggregation for as long as it is so.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from edge_etl_spark.documents import Drift, VersionManifest

INVALID: Final = "invalid_value"
"""The edge program's reason of a row with a value that is not of its field's type."""

_SHOWN: Final = 6
_LONGEST: Final = 240


class Delivered(Protocol):
    """What is looked at of a node's manifest."""

    @property
    def node(self) -> str:
        """Who delivered."""

    @property
    def rows_read(self) -> int:
        """Of which `rejected_by_reason` counts the rejected ones."""

    @property
    def rejected_by_reason(self) -> Mapping[str, int]:
        """How many rows were rejected."""

    @property
    def columns_missing(self) -> Sequence[str]:
        """The fields that no file had a column for."""

    @property
    def columns_seen(self) -> Sequence[str]:
        """The columns of the files that are no field's."""


def drifts(
    deliveries: Iterable[Delivered],
    current: VersionManifest | None,
    fields: Callable[[str], str] = lambda node: "",
) -> tuple[Drift, ...]:
    """Return the nodes that differ from their fleet, each with the difference.

    ``fields`` names the fields of a node whose values are of other types; it is asked only when
    most of them are.

    The fleet are the nodes that deliver rows now. A field is the fleet's when more than half of
    them have it; where there are only one or two nodes, also when the table had it before.
    """
    nodes: defaultdict[str, list[Delivered]] = defaultdict(list)
    for manifest in deliveries:
        if manifest.rows_read:
            nodes[manifest.node].append(manifest)
    lacking = {node: _lacking(own) for node, own in nodes.items()}
    expected = _expected(lacking, current)
    known = len(nodes) > 1 or current is not None
    mistyped = {node: share for node, own in nodes.items() if (share := _invalid(own)) > 0.5}
    alone = known and 2 * len(mistyped) <= max(2, len(nodes))
    found = []
    for node in sorted(nodes):
        told = []
        if missing := sorted(lacking[node] & expected):
            told.append(_columns(node, missing, nodes))
        if alone and node in mistyped:
            told.append(_types(mistyped[node], fields(node)))
        if told:
            found.append(Drift(node=node, difference="; ".join(told)[:_LONGEST]))
    return tuple(found)


def fields_had(
    fields: Iterable[str], deliveries: Iterable[Delivered], before: VersionManifest | None
) -> tuple[str, ...]:
    """Return the fields that some node has had a column for, up to now."""
    had = set(before.fields_had) if before else set()
    wanted = set(fields)
    for manifest in deliveries:
        if manifest.rows_read:
            had |= wanted - set(manifest.columns_missing)
    return tuple(sorted(had))


def _lacking(own: Sequence[Delivered]) -> set[str]:
    """Return the fields that no file of a node had a column for."""
    lacking = set(own[0].columns_missing)
    for manifest in own[1:]:
        lacking &= set(manifest.columns_missing)
    return lacking


def _expected(lacking: Mapping[str, set[str]], current: VersionManifest | None) -> set[str]:
    every = set[str]().union(*lacking.values())
    expected = {
        field
        for field in every
        if 2 * sum(field not in fields for fields in lacking.values()) > len(lacking)
    }
    if len(lacking) < 3 and current is not None:
        expected |= set(current.fields_had)
    return expected


def _invalid(own: Sequence[Delivered]) -> float:
    read = sum(manifest.rows_read for manifest in own)
    return sum(manifest.rejected_by_reason.get(INVALID, 0) for manifest in own) / read


def _types(share: float, fields: str) -> str:
    """Say how many rows have values of other types, and of which fields."""
    told = f"{share:.0%} of its rows have values of other types than the schema says"
    return f"{told}: {fields}" if fields else told


def _columns(node: str, missing: Sequence[str], nodes: Mapping[str, Sequence[Delivered]]) -> str:
    """Name the fields without a column, and the columns that only this node has."""
    own = _seen(nodes[node])
    others = set[str]().union(*(_seen(each) for name, each in nodes.items() if name != node))
    extra = sorted(own - others)
    instead = f"; only it has {', '.join(extra[:_SHOWN])}" if extra else ""
    return f"no column for {', '.join(missing[:_SHOWN])}{instead}"


def _seen(own: Sequence[Delivered]) -> set[str]:
    return set[str]().union(*(manifest.columns_seen for manifest in own))
