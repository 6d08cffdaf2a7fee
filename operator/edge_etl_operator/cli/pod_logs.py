"""The pods of a run as the API server has them, and what they have written."""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec

from edge_etl_operator import names
from edge_etl_operator.builders import aggregate, edge
from edge_etl_operator.cli.run_view import Progress
from edge_etl_operator.cli.session import Session
from edge_etl_operator.cluster import ApiError
from edge_etl_operator.kube import Pod

_AT_ONCE: Final = 8
_MOST: Final = 40
"""Pods whose progress is looked at: each look is a request."""
_TAIL: Final = 5


def pods(within: Session, job: str, run: str) -> list[Pod]:
    """Return the pods of a run, those of executors of Spark not among them, the oldest first."""
    selector = f"{names.JOB}={job},{names.RUN}={run},!spark-role"
    found = within.cluster.pods(within.namespace, selector)
    return sorted(found, key=lambda pod: (str(pod.metadata.creation_timestamp), pod.name))


def node_of(pod: Pod) -> str:
    """Return the node that a cleaning pod is for, empty for Spark's driver."""
    return pod.metadata.labels.get(names.NODE, "")


def container_of(pod: Pod) -> str:
    """Return the container that does the work."""
    return edge.CONTAINER if node_of(pod) else aggregate.CONTAINER


def place(pod: Pod) -> str:
    """Return the path of a pod's log."""
    return f"/api/v1/namespaces/{pod.metadata.namespace}/pods/{pod.name}/log"


def lines(within: Session, pod: Pod, tail: int | None = None) -> Iterator[dict[str, Any]]:
    """Yield what a pod has logged until now; ApiError when it cannot be had."""
    query = [("container", container_of(pod)), ("tailLines", str(tail) if tail else "")]
    for line in within.connection.call("GET", place(pod), query=query).splitlines():
        yield event(line)


def event(line: bytes) -> dict[str, Any]:
    """Parse a line of a log; one that is no JSON object is a message."""
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError):
        return {"message": line.decode(errors="replace")}


def progress(within: Session, job: str, run: str) -> Mapping[str, Progress]:
    """Return how far the pods at work are, by node, and Spark's driver by ''.

    Empty where the logs may not be read: the status alone then has to do.
    """
    try:
        running = [pod for pod in pods(within, job, run) if pod.phase == "Running"][-_MOST:]
    except ApiError:
        return {}
    if not running:
        return {}

    def last(pod: Pod) -> Progress | None:
        try:
            return _last(lines(within, pod, _TAIL))
        except ApiError:
            return None

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        said = pool.map(last, running)
        return {node_of(pod): at for pod, at in zip(running, said, strict=True) if at}


def _last(events: Iterable[dict[str, Any]]) -> Progress | None:
    found = None
    for each in events:
        if each.get("event") == "progress":
            found = Progress(
                bytes_done=int(each.get("bytesDone", 0)),
                bytes_total=int(each.get("bytesTotal", 0)),
                step=str(each.get("step", "")),
            )
    return found
