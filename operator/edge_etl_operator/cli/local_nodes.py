"""The nodes of ``edge-etl local``: directories, each cleaned by a process of the edge program."""

import asyncio
import uuid
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from edge_etl_operator.cli.here_run import Deliveries, Work, flags, text_of
from edge_etl_operator.cli.program import Program
from edge_etl_operator.documents import NodeSummary, job_document, node_summary

EDGE: Final = "edge_etl_job"


@dataclass(frozen=True)
class LocalNodes:
    """Directories by the names of the nodes for which they stand."""

    directories: dict[str, Path]
    transform: Path | None = None
    """The file that stands for the ConfigMap of ``spec.edge.transform``."""
    replay: bool = False
    """Whether what was rejected is read again."""

    @property
    def kind(self) -> str:
        """The kind of document that tells of such a run."""
        return "LocalRun"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all nodes."""
        return tuple(self.directories)

    async def deliver(self, work: Work) -> Deliveries:
        """Run the edge program for all nodes, as many at once as there are cores."""
        # A node hears each request once: the run's id is one that none has heard.
        content = job_document(work.plan.job, work.run, work.run if self.replay else "")
        document = work.document("job.json", content)
        slots = asyncio.Semaphore(work.plan.cores)

        async def node(name: str) -> NodeSummary:
            async with slots:
                return await self._clean(work, name, document)

        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(node(name)) for name in self.names]
        nodes = tuple(task.result() for task in tasks)
        failed = ", ".join(each.node for each in nodes if not each.succeeded)
        return Deliveries(nodes, f"{failed} failed" if failed else "")

    async def _clean(self, work: Work, name: str, document: Path) -> NodeSummary:
        attempt, plan = str(uuid.uuid4()), work.plan
        directory, summary = work.directory(name), work.scratch / f"{name}.summary"
        state = plan.state / "nodes" / name
        state.mkdir(parents=True, exist_ok=True)
        paths = {
            "--job": document,
            "--source": self.directories[name],
            "--state": state,
            "--work": directory,
            "--results": plan.results,
            "--summary": summary,
        }
        if self.transform is not None:
            paths["--transform"] = self.transform
        who = ("--node", name, "--attempt", attempt)

        def on_progress(event: dict[str, Any]) -> None:
            work.display.read(name, int(event["bytesDone"]), int(event["bytesTotal"]))

        said = await work.told(
            Program(EDGE, ("run", *who, *flags(paths)), plan.log(name), directory),
            on_progress,
            plan.job.spec.nodes.active_deadline_seconds,
            lambda: node_summary(text_of(summary)),
            partial(
                NodeSummary,
                kind="NodeSummary",
                run=work.run,
                node=name,
                attempt=attempt,
                succeeded=False,
            ),
        )
        work.display.node_done(said)
        return said
