"""One run of a job on this machine: nodes in parallel, then the aggregation.

The seams are those of a cluster: the same JSON documents go to the same programs, results lie as
in ``docs/contracts/README.md``, and the ledgers make the next run read only what is new.
"""

import asyncio
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

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
    job_document,
    node_summary,
)

EDGE: Final = "edge_etl_job"
DEADLINE: Final = "DeadlineExceeded"
CRASHED: Final = "Crashed"


@dataclass(frozen=True)
class LocalRun:
    """What is to be run; ``state`` is the job's own directory for ledgers and logs."""

    job: EdgeETLJob
    nodes: dict[str, Path]
    results: Path
    state: Path
    transform: Path | None = None
    """The file that stands for the ConfigMap of ``spec.edge.transform``."""
    application: Path | None = None
    """The file that stands for the ConfigMap of ``spec.aggregate.application``."""
    replay: bool = False
    """Whether what was rejected is read again."""
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
                work = _Work(self, run, Path(scratch), display)
                nodes = await work.clean()
                if all(node.succeeded for node in nodes):
                    aggregation = await work.aggregate(nodes)
                else:
                    await work.report(nodes)
        finally:
            self._remove_uncommitted(run)
        return Outcome(
            job=self.job,
            run=run,
            results=self.results,
            seconds=time.monotonic() - started,
            nodes=tuple(nodes),
            aggregation=aggregation,
            report=self.report(run),
            logs={name: self.log(name) for name in (*self.nodes, "aggregation")},
        )

    def _remove_uncommitted(self, run: str) -> None:
        """Remove what no manifest lists: every program of the run has ended."""
        for node in self.nodes:
            directory = self.runs / run / node
            if directory.exists() and not (directory / "manifest.json").exists():
                shutil.rmtree(directory)
        if (self.runs / run).exists() and not any((self.runs / run).iterdir()):
            (self.runs / run).rmdir()


@dataclass(frozen=True)
class _Work:
    """A run that is going on."""

    plan: LocalRun
    run: str
    scratch: Path
    display: Display

    async def clean(self) -> list[NodeSummary]:
        """Run the edge program for all nodes, as many at once as there are cores."""
        # A node hears each request once: the run's id is one that none has heard.
        replay = self.run if self.plan.replay else ""
        document = self._document("job.json", job_document(self.plan.job, self.run, replay))
        slots = asyncio.Semaphore(self.plan.cores)

        async def node(name: str) -> NodeSummary:
            async with slots:
                return await self._clean_node(name, document)

        for name in self.plan.nodes:
            self.display.node(name)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(node(name)) for name in self.plan.nodes]
        return [task.result() for task in tasks]

    async def _clean_node(self, name: str, document: Path) -> NodeSummary:
        attempt = str(uuid.uuid4())
        work, summary = self._directory(name), self.scratch / f"{name}.summary"
        state = self.plan.state / "nodes" / name
        state.mkdir(parents=True, exist_ok=True)
        paths = {
            "--job": document,
            "--source": self.plan.nodes[name],
            "--state": state,
            "--work": work,
            "--results": self.plan.results,
            "--summary": summary,
        }
        if self.plan.transform is not None:
            paths["--transform"] = self.plan.transform
        arguments = ["run", "--node", name, "--attempt", attempt]
        arguments += [str(part) for pair in paths.items() for part in pair]

        def on_event(event: dict[str, Any]) -> None:
            if event.get("event") == "progress":
                self.display.read(name, int(event["bytesDone"]), int(event["bytesTotal"]))

        reason, message = await self._program(
            Program(EDGE, tuple(arguments), self.plan.log(name), work),
            on_event,
            self.plan.job.spec.nodes.active_deadline_seconds,
        )
        said = node_summary(_text(summary))
        if said is None or (reason and said.succeeded):
            said = NodeSummary(
                kind="NodeSummary",
                run=self.run,
                node=name,
                attempt=attempt,
                succeeded=False,
                reason=reason or CRASHED,
                message=f"{message}; its log is {self.plan.log(name)}",
            )
        self.display.node_done(said)
        return said

    async def aggregate(self, nodes: list[NodeSummary]) -> AggregationReport:
        """Run the aggregation with Spark in local mode."""
        work, summary = self._directory("spark"), self.scratch / "report"
        document = self._aggregation_document(nodes, work)
        paths = {"--document": document, "--results": self.plan.results, "--summary": summary}
        arguments = ["run", *(str(part) for pair in paths.items() for part in pair)]

        def on_event(event: dict[str, Any]) -> None:
            if event.get("event") == "progress":
                self.display.aggregation(str(event.get("message", "")))

        log = self.plan.log("aggregation")
        reason, message = await self._program(
            Program(SPARK, tuple(arguments), log, work),
            on_event,
            self.plan.job.spec.active_deadline_seconds,
        )
        said = aggregation_report(_text(summary))
        if said is None or (reason and said.succeeded):
            said = AggregationReport(
                kind="AggregationReport",
                run=self.run,
                succeeded=False,
                reason=reason or CRASHED,
                message=f"{message}; its log is {log}",
            )
        return said

    async def report(self, nodes: list[NodeSummary]) -> None:
        """Have the report written of a run whose nodes failed, without any aggregation."""
        work = self._directory("spark")
        paths = {
            "--document": self._aggregation_document(nodes, work),
            "--results": self.plan.results,
        }
        failed = ", ".join(node.node for node in nodes if not node.succeeded)
        arguments = ["report", *(str(part) for pair in paths.items() for part in pair)]
        arguments += [
            "--reason",
            "NodesFailed",
            "--message",
            f"nothing was merged: {failed} failed",
        ]
        log = self.plan.log("aggregation")
        program = Program(SPARK, tuple(arguments), log, work)
        await self._program(program, lambda _: None, self.plan.job.spec.active_deadline_seconds)

    def _aggregation_document(self, nodes: list[NodeSummary], work: Path) -> Path:
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
        return self._document("aggregation.json", content)

    async def _program(
        self, what: Program, on_event: Callable[[dict[str, Any]], None], seconds: int
    ) -> tuple[str, str]:
        """Run a program; return why it failed, as reason and message, both empty if it did not."""
        try:
            async with asyncio.timeout(seconds):
                ending: Ending = await program.run(what, on_event)
        except TimeoutError:
            return DEADLINE, f"did not end within {seconds} s"
        return (CRASHED, str(ending)) if ending.code else ("", "")

    def _directory(self, name: str) -> Path:
        directory = self.scratch / name
        directory.mkdir()
        return directory

    def _document(self, name: str, content: dict[str, Any]) -> Path:
        path = self.scratch / name
        path.write_bytes(msgspec.json.encode(content))
        return path


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""
