"""`edge-etl logs`: what the pods of a run wrote; of those that are gone, what the status keeps."""

import argparse
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from rich.console import Console
from rich.text import Text

from edge_etl_operator import conditions
from edge_etl_operator.api import EdgeETLJob, PastRun
from edge_etl_operator.cli import DONE, UsageError, output, pod_logs, session
from edge_etl_operator.cli.session import Session
from edge_etl_operator.cluster import ApiError
from edge_etl_operator.kube import Pod

DRIVER: Final = "spark"
"""What the driver is called beside the nodes."""
_WITHOUT_SPARK: Final = {
    each.code
    for each in (
        conditions.WAITING, conditions.EDGE_FAILED, conditions.NOTHING_NEW,
        conditions.NO_ROOM_FOR_SPARK,
    )
}  # fmt: skip
"""Reasons of the condition Aggregated for which there never was a driver."""
_SILENCE_SECONDS: Final = 3600.0
_EVERY_SECONDS: Final = 1.0
_MOST_STREAMS: Final = 64


def command(options: argparse.Namespace) -> int:
    """Print the logs of a run; UsageError when there is no such run or node."""
    within = session.opened(options)
    job = session.job(within, options.job)
    run = options.run or (job.status.run.id if job.status.run else "")
    if not run:
        raise UsageError(f"{job.name} has not run yet; `run {job.name}` asks for a run")
    of_last = job.status.run is not None and job.status.run.id == run
    past = next((each for each in job.status.runs if each.id == run), None)
    if not of_last and past is None:
        known = ", ".join(each.id for each in job.status.runs) or "none"
        raise UsageError(f"{job.name}: nothing is kept of a run {run}; runs that are: {known}")
    teller = _Teller(options)
    if options.follow and of_last and job.status.going:
        _follow(within, job, run, teller)
        return DONE
    wanted = [pod for pod in pod_logs.pods(within, job.name, run) if teller.wants(_whose(pod))]
    for pod in wanted:
        _tell(within, pod, teller, options.tail)
    there = {_whose(pod) for pod in wanted}
    kept = kept_of_last(job) if of_last else kept_of_past(past)
    for each in kept:
        if each.whose not in there and teller.wants(each.whose):
            teller.kept(each)
    return DONE


class _Teller:
    """Prints lines, each with whose it is, as text or as JSON; from several threads."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._nodes: list[str] = options.node or []
        self._console = Console(markup=False, highlight=False, soft_wrap=True)
        self._lock = threading.Lock()

    def wants(self, whose: str) -> bool:
        """Tell whether the lines of a node, or of Spark, are asked for."""
        if self._nodes or self._options.driver:
            return whose in self._nodes or (self._options.driver and whose == DRIVER)
        return True

    def __call__(self, whose: str, event: dict[str, Any]) -> None:
        """Print a line of a log."""
        if event.get("event") == "progress" and not output.wanted(self._options):
            return
        with self._lock:
            if output.wanted(self._options):
                print(msgspec.json.encode({"from": whose, **event}).decode(), flush=True)
            else:
                self._console.print(_line(whose, event))

    def kept(self, kept: "Kept") -> None:
        """Print what the status keeps where there is no pod."""
        pod = "gone" if kept.ran else "none"
        self(kept.whose, {"message": kept.message, "kept": "status", "pod": pod})


def _line(whose: str, event: dict[str, Any]) -> Text:
    at = str(event.get("time", ""))[11:19]
    line = Text.assemble((whose, "cyan"), "  ", (f"{at}  " if at else "", "dim"))
    level = str(event.get("level", ""))
    if level in ("WARNING", "ERROR", "CRITICAL"):
        line.append(f"{level} ", "red" if level != "WARNING" else "yellow")
    line.append(_said(event))
    if event.get("kept"):
        why = "its pod is gone" if event["pod"] == "gone" else "it had no pod"
        line.append(f"  ({why}; from the job's status)", "dim")
    if trace := event.get("exc_info"):
        line.append(f"\n{trace}")
    return line


def _said(event: dict[str, Any]) -> str:
    """Return the message; of the summary, which ends a log, its reason and message."""
    if event.get("kind") in ("NodeSummary", "AggregationReport"):
        return f"{event.get('reason')}: {event.get('message')}"
    return str(event.get("message", ""))


def _whose(pod: Pod) -> str:
    return pod_logs.node_of(pod) or DRIVER


def _tell(within: Session, pod: Pod, teller: _Teller, tail: int | None) -> None:
    try:
        for event in pod_logs.lines(within, pod, tail):
            teller(_whose(pod), event)
    except ApiError as error:
        # A container that waits has no log yet; the status knows why it waits.
        teller(_whose(pod), {"level": "WARNING", "message": f"{pod.name}: {error.message}"})


@dataclass(frozen=True)
class Kept:
    """What the status keeps of a node, or of Spark."""

    whose: str
    message: str
    ran: bool = True
    """Whether it had a pod."""


def kept_of_last(job: EdgeETLJob) -> Iterator[Kept]:
    """Yield what the status keeps of the last run: of each node, and of Spark."""
    for node in job.status.nodes:
        said = f"{node.phase}: {node.reason}: {node.message}".rstrip(": ")
        yield Kept(node.name, said, node.start_time is not None)
    merged = job.status.condition(conditions.AGGREGATED)
    if merged is not None:
        ran = merged.reason not in _WITHOUT_SPARK
        yield Kept(DRIVER, f"{merged.reason}: {merged.message}", ran)


def kept_of_past(past: PastRun | None) -> Iterator[Kept]:
    """Yield what the status keeps of an earlier run."""
    if past is not None:
        missing = f", without {', '.join(past.missing)}" if past.missing else ""
        took = (past.completion_time - past.start_time).total_seconds()
        yield Kept(
            DRIVER,
            f"{past.result} ({past.reason}) after {took:.0f} s: {past.nodes_summary} nodes, "
            f"{past.rows_read or 0} rows read, {past.rows_rejected or 0} rejected{missing}",
        )


def _follow(within: Session, job: EdgeETLJob, run: str, teller: _Teller) -> None:
    """Print what the pods write as they write it, those that come later too, until the run ends."""
    followed: set[str] = set()

    def stream(pod: Pod) -> None:
        query = [("container", pod_logs.container_of(pod)), ("follow", "true")]
        try:
            for line in within.connection.stream(pod_logs.place(pod), query, _SILENCE_SECONDS):
                if line:
                    teller(_whose(pod), pod_logs.event(line))
        except ApiError as error:
            teller(_whose(pod), {"level": "WARNING", "message": f"{pod.name}: {error.message}"})

    with ThreadPoolExecutor(_MOST_STREAMS) as pool:
        while True:
            going = session.job(within, job.name).status
            over = going.run is None or going.run.id != run or not going.going
            for pod in pod_logs.pods(within, job.name, run):
                begun = pod.phase in ("Running", "Succeeded", "Failed")
                if begun and pod.uid not in followed and teller.wants(_whose(pod)):
                    followed.add(pod.uid)
                    pool.submit(stream, pod)
            if over:
                return
            time.sleep(_EVERY_SECONDS)
