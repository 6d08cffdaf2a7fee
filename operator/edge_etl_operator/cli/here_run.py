"""One run that is driven from this machine: its nodes in parallel, then the aggregation here.

The seams are those of a cluster: the same JSON documents go to the same programs, results lie as
in ``docs/contracts/README.md``, and the ledgers make the next run read only what is new.
"""

import asyncio
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

import msgspec

from edge_etl_operator import names
from edge_etl_operator.api import EdgeETLJob
from edge_etl_operator.cli import SPARK, program
from edge_etl_operator.cli.outcome import Outcome
from edge_etl_operator.cli.program import Ending, Program
from edge_etl_operator.cli.progress import Display
from edge_etl_operator.documents import (
    AggregationReport,
    Delivery,
    NodeSummary,
    aggregation_document,
    aggregation_report,
)

DEADLINE: Final = "DeadlineExceeded"
CRASHED: Final = "Crashed"
_Said = TypeVar("_Said", NodeSummary, AggregationReport)


@dataclass(frozen=True)
class Deliveries:
    """What became of the nodes, in the order of their names' arguments."""

    nodes: tuple[NodeSummary, ...]
    refusal: str = ""
    """Why nothing is to be merged; empty when it is."""


class Nodes(Protocol):
    """The nodes of a run, and what has them deliver into its results."""

    @property
    def kind(self) -> str:
        """The kind of document that tells of such a run."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all nodes."""

    async def deliver(self, work: "Work") -> Deliveries:
        """Have all nodes deliver what is new; what they deliver is committed as in a cluster."""


@dataclass(frozen=True)
class HereRun:
    """What is to be run; ``state`` is the job's own directory for ledgers and logs."""

    job: EdgeETLJob
    nodes: Nodes
    results: Path
    state: Path
    application: Path | None = None
    """The file that stands for the ConfigMap of ``spec.aggregate.application``."""
    cores: int = field(default_factory=lambda: len(os.sched_getaffinity(0)))

    @property
    def runs(self) -> Path:
        """Where the nodes' results of all runs lie."""
        return self.results / self.job.namespace / self.job.name / "runs"

    def report(self, run: str) -> Path | None:
        """Return the report of a run, if it was written."""
        path = self.runs.with_name("reports") / f"{run}.html"
        return path if path.exists() else None

    def log(self, name: str) -> Path:
        """Return the log file of a node, or of the aggregation."""
        return self.state / "logs" / f"{name}.log"

    async def execute(self, display: Display) -> Outcome:
        """Run to the end. What a cancelled or failed run has not committed is removed."""
        started = time.monotonic()
        self.results.mkdir(parents=True, exist_ok=True)
        last = max((each.name for each in self.runs.glob("*")), default=None)
        run = names.run_id(datetime.now(UTC), last)
        aggregation = None
        try:
            with tempfile.TemporaryDirectory(prefix="work-", dir=self.state) as scratch:
                work = Work(self, run, Path(scratch), display)
                for name in self.nodes.names:
                    display.node(name)
                done = await self.nodes.deliver(work)
                if done.refusal:
                    await work.report(done)
                else:
                    aggregation = await work.aggregate(done)
        finally:
            self._remove_uncommitted(run)
        return Outcome(
            job=self.job,
            run=run,
            results=self.results,
            seconds=time.monotonic() - started,
            nodes=done.nodes,
            aggregation=aggregation,
            kind=self.nodes.kind,
            refusal=done.refusal,
            report=self.report(run),
            logs={name: self.log(name) for name in (*self.nodes.names, "aggregation")},
        )

    def _remove_uncommitted(self, run: str) -> None:
        """Remove what no manifest lists: every program of the run has ended."""
        for node in self.nodes.names:
            directory = self.runs / run / node
            if directory.exists() and not (directory / "manifest.json").exists():
                shutil.rmtree(directory)
        if (self.runs / run).exists() and not any((self.runs / run).iterdir()):
            (self.runs / run).rmdir()


@dataclass(frozen=True)
class Work:
    """A run that is going on; what lies in ``scratch`` goes with its end."""

    plan: HereRun
    run: str
    scratch: Path
    display: Display

    async def aggregate(self, done: Deliveries) -> AggregationReport:
        """Run the aggregation with Spark in local mode."""
        work, summary = self.directory("spark"), self.scratch / "report"
        paths = {
            "--document": self._aggregation_document(done.nodes, work),
            "--results": self.plan.results,
            "--summary": summary,
        }
        return await self.told(
            Program(SPARK, ("run", *flags(paths)), self.plan.log("aggregation"), work),
            lambda event: self.display.aggregation(str(event.get("message", ""))),
            self.plan.job.spec.active_deadline_seconds,
            lambda: aggregation_report(text_of(summary)),
            partial(AggregationReport, kind="AggregationReport", run=self.run, succeeded=False),
        )

    async def report(self, done: Deliveries) -> None:
        """Have the report written of a run whose nodes failed, without any aggregation."""
        work = self.directory("spark")
        paths = {
            "--document": self._aggregation_document(done.nodes, work),
            "--results": self.plan.results,
        }
        why = ("--reason", "NodesFailed", "--message", f"nothing was merged: {done.refusal}")
        log = self.plan.log("aggregation")
        program = Program(SPARK, ("report", *flags(paths), *why), log, work)
        await self._run(program, lambda _: None, self.plan.job.spec.active_deadline_seconds)

    def _aggregation_document(self, nodes: tuple[NodeSummary, ...], work: Path) -> Path:
        own = self.plan.application
        content = aggregation_document(
            self.plan.job,
            self.run,
            [Delivery(each.node, each.attempt) for each in nodes if each.succeeded],
            master=f"local[{self.plan.cores}]",
            conf={
                "spark.driver.memory": self.plan.job.spec.aggregate.driver.memory or "1g",
                "spark.local.dir": str(work),
            },
            missing={
                each.node: f"{each.reason}: {each.message}" for each in nodes if not each.succeeded
            },
            application={"path": str(own), "name": str(own)} if own else None,
        )
        return self.document("aggregation.json", content)

    async def told(
        self,
        what: Program,
        on_progress: Callable[[dict[str, Any]], None],
        seconds: int,
        said: Callable[[], _Said | None],
        failed: Callable[..., _Said],
    ) -> _Said:
        """Run a program; return what it says of its work, or why it failed: reason and message."""

        def on_event(event: dict[str, Any]) -> None:
            if event.get("event") == "progress":
                on_progress(event)

        reason, message = await self._run(what, on_event, seconds)
        summary = said()
        if summary is None or (reason and summary.succeeded):
            message = f"{message or 'it left no summary'}; its log is {what.log}"
            return failed(reason=reason or CRASHED, message=message)
        return summary

    async def _run(
        self, what: Program, on_event: Callable[[dict[str, Any]], None], seconds: int
    ) -> tuple[str, str]:
        """Run a program; return why it failed, as reason and message, both empty if it did not."""
        try:
            async with asyncio.timeout(seconds):
                ending: Ending = await program.run(what, on_event)
        except TimeoutError:
            return DEADLINE, f"did not end within {seconds} s"
        return (CRASHED, str(ending)) if ending.code else ("", "")

    def directory(self, name: str) -> Path:
        """Make a directory of the run's own."""
        directory = self.scratch / name
        directory.mkdir()
        return directory

    def document(self, name: str, content: dict[str, Any]) -> Path:
        """Write a JSON document for a program."""
        path = self.scratch / name
        path.write_bytes(msgspec.json.encode(content))
        return path


def flags(paths: Mapping[str, Path]) -> Iterable[str]:
    """Return options and their paths as a command line has them."""
    return (str(part) for pair in paths.items() for part in pair)


def text_of(path: Path) -> str:
    """Return what a program wrote, nothing if it did not."""
    return path.read_text() if path.exists() else ""
