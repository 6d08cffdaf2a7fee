"""What is odd about what the nodes delivered, although nothing failed."""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from edge_etl_operator import conditions
from edge_etl_operator.api import EdgeETLJob, NodeStatus
from edge_etl_operator.conditions import Reason
from edge_etl_operator.documents import Drift
from edge_etl_operator.policies.nodes import Choice

_MISSING = frozenset({"Failed", "Offline"})
_IN_FUTURE = "timestamp_in_future"
_SHOWN = 12
_TOLD = 5


def refusal(job: EdgeETLJob, nodes: Sequence[NodeStatus]) -> str | None:
    """Return why the run may not be aggregated: too many of all rows that were read are rejected.

    Rows of nodes that were themselves refused count too: of the others alone it never is so.
    """
    limit = job.spec.quality.max_rejected_ratio
    read = sum(node.rows_read or 0 for node in nodes)
    rejected = sum(node.rows_rejected or 0 for node in nodes)
    if limit is None or 100 * rejected <= Decimal(limit.removesuffix("%")) * read:
        return None
    worst = sorted(nodes, key=lambda node: node.rows_rejected or 0, reverse=True)[:_TOLD]
    told = ", ".join(f"{node.name} {node.rows_rejected}" for node in worst if node.rows_rejected)
    return (
        f"{rejected} of {read} rows ({100 * rejected / read:.1f}%) are rejected in all, more than "
        f"{limit}: {told}"
    )


def differing(nodes: Sequence[Drift]) -> list[tuple[Reason, str]]:
    """Return what a person should look at where nodes were quarantined."""
    if not nodes:
        return []
    told = "; ".join(f"{each.node}: {each.difference}" for each in nodes[:_TOLD])
    more = f"; and {len(nodes) - _TOLD} more" if len(nodes) > _TOLD else ""
    return [(conditions.SCHEMA_DRIFT, f"Quarantined, unlike their fleet: {told}{more}")]


def oddities(
    job: EdgeETLJob, nodes: Sequence[NodeStatus], left_out: Choice
) -> list[tuple[Reason, str]]:
    """Return what a person should look at, the most important first.

    A field is not found when no file of any node had a column for it; that one node lacks a
    sensor is normal. A node that has nothing new is no reason to look, one without any file is.
    """
    done = [node for node in nodes if node.phase == "Succeeded"]
    readers = [node for node in done if node.files_read]
    found = list(_rejected(done))
    if missing := _missing_everywhere(readers):
        columns = sorted({column for node in readers for column in node.columns_seen})
        fields = {field.name: field.columns for field in job.spec.schema.fields}
        wanted = "; ".join(
            f"field {name} (column {' or '.join(fields.get(name, (name,)))})" for name in missing
        )
        found.append(
            (
                conditions.FIELD_NOT_FOUND,
                f"No file of any node has {wanted}; the files have the columns {_listed(columns)}",
            )
        )
    if quarantined := [node for node in done if node.files_quarantined]:
        # The node's own message names the files.
        told = "; ".join(f"{node.name}: {node.message}" for node in quarantined[:_TOLD])
        more = len(quarantined) - _TOLD
        fact = f"Files were quarantined. {told}" + (f"; and {more} more nodes" if more > 0 else "")
        found.append((conditions.FILES_QUARANTINED, fact))
    if empty := [node.name for node in done if node.reason == conditions.NO_FILES.code]:
        found.append((conditions.NO_FILES, f"No file matches on {_listed(empty)}"))
    missing = [f"{node.name} ({node.phase})" for node in nodes if node.phase in _MISSING]
    for reason, what, who in (
        (conditions.NODES_MISSING, "Nothing came from", missing),
        (conditions.NODES_CORDONED, "Cordoned and left out:", left_out.cordoned),
        (conditions.NODES_TAINTED, "Tainted and left out:", left_out.tainted),
        (conditions.NODES_JOINED, "Match since the run began:", left_out.chosen),
    ):
        if who:
            found.append((reason, f"{what} {_listed(who)}"))
    return found


def _rejected(done: Sequence[NodeStatus]) -> Iterator[tuple[Reason, str]]:
    """Yield why much of what was read is not in the table."""
    early = {node.name: node.rejected_by_reason.get(_IN_FUTURE, 0) for node in done}
    if any(early.values()):
        told = [f"{name} ({rows} rows)" for name, rows in early.items() if rows]
        yield conditions.TIMES_IN_FUTURE, f"Readings of the future are rejected: {_listed(told)}"
    # What is of the future has its remedy already.
    mostly = [
        node
        for node in done
        if node.rows_read and 2 * ((node.rows_rejected or 0) - early[node.name]) >= node.rows_read
    ]
    if mostly:
        told = [f"{node.name}: {node.message}" for node in mostly[:_TOLD]]
        others = f"; and {len(mostly) - _TOLD} more nodes" if len(mostly) > _TOLD else ""
        yield conditions.MOSTLY_REJECTED, f"Most rows are rejected. {'; '.join(told)}{others}"


def _missing_everywhere(readers: Sequence[NodeStatus]) -> list[str]:
    if not readers:
        return []
    missing = set(readers[0].columns_missing)
    for node in readers[1:]:
        missing &= set(node.columns_missing)
    return sorted(missing)


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
