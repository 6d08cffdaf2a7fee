"""`edge-etl nodes`: which Pis can work, for which jobs, and what came from them."""

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.capacity import quantity
from edge_etl_operator.cli import DONE, output, session
from edge_etl_operator.cli.cluster_view import MachineNode, machines
from edge_etl_operator.cli.outcome import size
from edge_etl_operator.cli.output import Part
from edge_etl_operator.policies import absence
from edge_etl_operator.policies.nodes import matches

ROLE: Final = "pi-edge-spark.io/role"


class JobOnNode(Part, frozen=True, kw_only=True):
    """What a job has to do with a node."""

    namespace: str
    job: str
    phase: str = ""
    """In the job's last run; empty where it took no part."""
    reason: str = ""
    rows_read: int | None = None
    watermark: str | None = None


class NodeView(Part, frozen=True, kw_only=True):
    """A node for a person."""

    name: str
    state: str
    """Ready, or why it takes no new pods."""
    message: str = ""
    role: str = ""
    architecture: str = ""
    system: str = ""
    kernel: str = ""
    kubelet: str = ""
    memory_bytes: int = 0
    since: datetime | None = None
    jobs: tuple[JobOnNode, ...] = ()


def command(options: argparse.Namespace) -> int:
    """Show the nodes that jobs select, or all."""
    within = session.opened(options)
    namespace = None if options.all_namespaces else within.namespace
    jobs = session.jobs(within.connection, namespace)
    found = [view(node, jobs) for node in machines(within.connection)]
    shown = [node for node in found if options.all or node.jobs or node.role]
    if output.wanted(options):
        output.emit("EdgeNodeList", shown, options)
    elif shown:
        output.show(_table(shown))
    else:
        print(
            f"no node has the label {ROLE}, and no job selects one: "
            f"`kubectl label node NAME {ROLE}=edge` for each Pi that has readings",
            file=sys.stderr,
        )
    return DONE


def view(node: MachineNode, jobs: Sequence[EdgeETLJob]) -> NodeView:
    """Return what is shown of a node."""
    closed = absence.closed(node.name, node, ())
    info = node.status.node_info
    return NodeView(
        name=node.name,
        state=closed.reason.code if closed else "Ready",
        message=closed.message if closed else "",
        role=node.metadata.labels.get(ROLE, ""),
        architecture=info.architecture,
        system=info.os_image,
        kernel=info.kernel_version,
        kubelet=info.kubelet_version,
        memory_bytes=int(quantity(node.status.capacity.get("memory", "0"))),
        since=node.metadata.creation_timestamp,
        jobs=tuple(_part(job, node) for job in jobs if _selects(job, node)),
    )


def _selects(job: EdgeETLJob, node: MachineNode) -> bool:
    return matches(job.spec.nodes.selector, node.metadata.labels)


def _part(job: EdgeETLJob, node: MachineNode) -> JobOnNode:
    known = next((each for each in job.status.nodes if each.name == node.name), None)
    if known is None:
        return JobOnNode(namespace=job.namespace, job=job.name)
    return JobOnNode(
        namespace=job.namespace,
        job=job.name,
        phase=known.phase,
        reason=known.reason,
        rows_read=known.rows_read,
        watermark=known.watermark,
    )


def _table(shown: Sequence[NodeView]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("NODE", "STATE", "ROLE", "ARCH", "MEMORY", "KERNEL", "KUBELET"):
        table.add_column(name, no_wrap=True)
    table.add_column("JOBS: WHAT CAME LAST")
    for node in shown:
        colour = "green" if node.state == "Ready" else "yellow"
        table.add_row(
            node.name,
            Text(node.state, colour),
            node.role,
            node.architecture,
            size(node.memory_bytes),
            node.kernel,
            node.kubelet,
            "\n".join(map(_said, node.jobs)) or "no job selects it",
        )
    return table


def _said(part: JobOnNode) -> str:
    if not part.phase:
        return f"{part.job}: not in its last run"
    if part.phase != "Succeeded":
        return f"{part.job}: {part.phase} {part.reason}".rstrip()
    until = f", until {part.watermark[:19]}Z" if part.watermark else ""
    return f"{part.job}: {part.reason}, {part.rows_read or 0:,} rows{until}"
