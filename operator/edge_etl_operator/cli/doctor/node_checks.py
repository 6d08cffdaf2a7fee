"""What the API server knows of the Pis: labels, state, architecture, room, images."""

import difflib
from collections.abc import Iterator, Sequence
from typing import Final

from edge_etl_operator.api import EdgeETLJob, Selector
from edge_etl_operator.builders.edge import edge_image
from edge_etl_operator.capacity import quantity
from edge_etl_operator.cli.cluster_view import MachineNode
from edge_etl_operator.cli.doctor.checks import Check, notice, ok, problem
from edge_etl_operator.policies import absence, nodes, quorum
from edge_etl_operator.settings import Settings

ARCHITECTURES: Final = ("arm64", "amd64")
_MOST_IMAGES: Final = 50
"""Images that a kubelet names (nodeStatusMaxImages)."""
_MEBIBYTE: Final = 1 << 20
LEAST_LIMIT: Final = 64 * _MEBIBYTE
"""What the cleaning pod's limit must leave it (docs/performance.md has what it takes)."""


def selected(job: EdgeETLJob, machines: Sequence[MachineNode]) -> list[MachineNode]:
    """Return the nodes that a job selects."""
    wanted = job.spec.nodes.selector
    return [node for node in machines if nodes.matches(wanted, node.metadata.labels)]


def checks(
    job: EdgeETLJob, machines: Sequence[MachineNode], settings: Settings | None
) -> Iterator[Check]:
    """Look at the nodes that a job selects."""
    mine = selected(job, machines)
    yield _label(job, mine, machines)
    for node in mine:
        yield _state(node, job)
        if not node.status.node_info.architecture:
            continue  # a node that was never heard of has told nothing of itself
        yield _architecture(node)
        yield _room(node, job)
        if settings is not None and (found := _image(node, job, settings)):
            yield found


def _label(job: EdgeETLJob, mine: Sequence[MachineNode], machines: Sequence[MachineNode]) -> Check:
    selector = job.spec.nodes.selector
    told = nodes.described(selector)
    needed = max(1, quorum.needed(job.spec.nodes.min_success, len(mine)))
    if not mine:
        near = _nearly(selector, machines)
        label = next((f"{key}={value}" for key, value in selector.match_labels.items()), told)
        return problem(
            "label",
            f"no node matches {told}{near}",
            f"Label the Pis: kubectl label node NAME {label} --overwrite; or correct "
            "spec.nodes.selector.",
        )
    if len(mine) < needed:
        return problem(
            "label",
            f"{len(mine)} nodes match {told}, {needed} are needed (spec.nodes.minSuccess)",
            "Label more Pis, or lower spec.nodes.minSuccess.",
        )
    return ok("label", f"{len(mine)} of {len(machines)} nodes match {told}")


def _nearly(selector: Selector, machines: Sequence[MachineNode]) -> str:
    """Say which labels look as if they were meant."""
    found = []
    for node in machines:
        own = [f"{key}={value}" for key, value in node.metadata.labels.items()]
        for key, value in selector.match_labels.items():
            if key in node.metadata.labels:
                found.append(f"{node.name} has {key}={node.metadata.labels[key]}")
            elif near := difflib.get_close_matches(f"{key}={value}", own, 1, cutoff=0.8):
                found.append(f"{node.name} has {near[0]}")
    return f"; {', '.join(found[:5])}" if found else ""


def _state(node: MachineNode, job: EdgeETLJob) -> Check:
    if cause := absence.closed(node.name, node, job.spec.nodes.tolerations):
        return problem("ready", cause.fact, cause.reason.remedy, node.name)
    for condition in node.status.conditions:
        if condition.type.endswith("Pressure") and condition.status == "True":
            said = f"{condition.type}: {condition.message}"
            return problem("ready", said, "Free some on the node.", node.name)
    return ok("ready", f"Ready, {node.status.node_info.os_image}", node.name)


def _architecture(node: MachineNode) -> Check:
    found = node.status.node_info.architecture
    if found in ARCHITECTURES:
        return ok("architecture", found, node.name)
    return problem(
        "architecture",
        f"{found}, and the images are for {' and '.join(ARCHITECTURES)}",
        "Write the 64-bit system to its card.",
        node.name,
    )


def _room(node: MachineNode, job: EdgeETLJob) -> Check:
    asked = job.spec.edge.resources
    wanted = quantity(str(asked.requests.get("memory", "0")))
    limit = quantity(str(asked.limits.get("memory", "0")))
    there = quantity(node.status.allocatable.get("memory", "0"))
    said = f"{there / _MEBIBYTE:.0f} MiB for pods"
    if wanted > there:
        return problem(
            "memory",
            f"spec.edge.resources.requests.memory is {wanted / _MEBIBYTE:.0f} MiB, and the node "
            f"has {said}",
            "Lower it: the cleaning pod needs no more than 128 MiB for any number of rows.",
            node.name,
        )
    if limit and limit < LEAST_LIMIT:
        return problem(
            "memory",
            f"spec.edge.resources.limits.memory is {limit / _MEBIBYTE:.0f} MiB: the cleaning pod "
            "is killed at it",
            f"Raise it to {LEAST_LIMIT // _MEBIBYTE}Mi at least.",
            node.name,
        )
    return ok("memory", said, node.name)


def _image(node: MachineNode, job: EdgeETLJob, settings: Settings) -> Check | None:
    """Look for the edge image where it cannot be pulled from anywhere."""
    image = edge_image(job, settings)
    if node.has_image(image):
        return ok("image", f"{image} is there", node.name)
    local = image.startswith("localhost/")
    if settings.edge.pull_policy != "Never" and not local:
        return None  # it is pulled; the look at the Pi tells whether that works
    if not 0 < len(node.status.images) < _MOST_IMAGES:
        return None
    tell = problem if settings.edge.pull_policy == "Never" else notice
    return tell(
        "image",
        f"the node does not name {image} among its images, and it is in no registry",
        "Load it: docs/raspberry-pi.md, The images.",
        node.name,
    )
