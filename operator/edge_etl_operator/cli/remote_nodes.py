"""The nodes of ``edge-etl remote``: Pis whose edge agents have the edge program run.

Nobody is in the way of a run that cannot be: an agent that is out of reach is what a node that is
off is in a cluster, and the same rules hold. What an agent delivered stays with it until it was
brought here, be it by a later run.
"""

import asyncio
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec

from edge_etl_operator.cli.agents import Agent, AgentError, AgentTask, OutOfReachError
from edge_etl_operator.cli.collecting import collect, dataset_id
from edge_etl_operator.cli.here_run import DEADLINE, Deliveries, Work
from edge_etl_operator.documents import NodeSummary, job_document
from edge_etl_operator.policies import quorum
from edge_etl_operator.policies.quorum import Tally, Verdict

OFFLINE: Final = "Offline"
_PAUSES: Final = (0.1, 2.0)
"""Seconds between two looks at an agent: at first, and at last."""


@dataclass(frozen=True)
class RemoteNodes:
    """Agents by the names of their nodes."""

    agents: dict[str, Agent]
    patience: float
    """For so many seconds an agent may be out of reach before it counts as offline."""
    replay: bool = False
    """Whether what was rejected is read again."""

    @property
    def kind(self) -> str:
        """The kind of document that tells of such a run."""
        return "RemoteRun"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all nodes."""
        return tuple(self.agents)

    async def deliver(self, work: Work) -> Deliveries:
        """Have all agents run the job, and bring what they deliver, until enough have."""
        fleet = _Fleet(self, work)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(fleet.follow(*each)) for each in self.agents.items()]
            refusal = await fleet.judged()
            for task in tasks:
                task.cancel()
        return Deliveries(tuple(map(fleet.summary, self.names)), refusal)


class _Fleet:
    """All agents during one run."""

    def __init__(self, nodes: RemoteNodes, work: Work) -> None:
        self._nodes = nodes
        self._work = work
        self._job = work.plan.job
        self._folder = work.plan.runs.parent
        self._dataset = dataset_id(self._folder)
        # A node hears each request once: the run's id is one that none has heard.
        content = job_document(self._job, work.run, work.run if nodes.replay else "")
        self._document = msgspec.json.encode(content)
        self._ended: dict[str, NodeSummary] = {}
        self._offline: dict[str, str] = {}
        """Why an agent is out of reach."""
        self._changed = asyncio.Event()

    async def follow(self, name: str, agent: Agent) -> None:
        """Have one agent run the job, and bring what it delivers."""
        begun = heard = time.monotonic()
        seconds, pause = self._job.spec.nodes.active_deadline_seconds, _PAUSES[0]
        while name not in self._ended:
            try:
                summary, task = await asyncio.to_thread(self._step, name, agent)
            except AgentError as error:
                self._end(self._failed(name, error.reason, error.message))
            except OutOfReachError as error:
                if time.monotonic() - heard >= self._nodes.patience:
                    self._lost(name, str(error))
            else:
                heard = time.monotonic()
                self._lost(name, None)
                if summary:
                    self._end(summary)
                elif task:
                    self._work.display.read(name, task.bytes_done, task.bytes_total)
                if heard - begun >= seconds and not summary:
                    message = f"it did not end within {seconds} s; a later run brings its results"
                    self._end(self._failed(name, DEADLINE, message))
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _PAUSES[1])

    def _step(self, name: str, agent: Agent) -> tuple[NodeSummary | None, AgentTask | None]:
        """Look at an agent once, bring what is there, and begin; return how far the run is.

        Each part can be done again: whatever breaks, the next step goes on.
        """
        overview = agent.overview()
        if overview.node != name:
            raise AgentError("OtherNode", f"{agent.url} is {overview.node}, not {name}")
        place = (self._dataset, self._job.namespace, self._job.name)
        own = None
        for task in overview.tasks:
            if (task.dataset, task.namespace, task.job) != place:
                continue
            if task.ended:
                collect(agent, task, name, self._folder)
            if task.run == self._work.run:
                own = task
        if own is None:
            return None, agent.add(self._dataset, self._document)
        return own.summary, own

    def _lost(self, name: str, why: str | None) -> None:
        known = name in self._offline
        if why is None:
            self._offline.pop(name, None)
        else:
            self._offline[name] = why
            if not known:
                self._work.display.away(name, why)
        self._changed.set()

    def _end(self, summary: NodeSummary) -> None:
        self._ended[summary.node] = summary
        self._work.display.node_done(summary)
        self._changed.set()

    def _failed(self, name: str, reason: str, message: str) -> NodeSummary:
        return NodeSummary(
            kind="NodeSummary",
            run=self._work.run,
            node=name,
            attempt="",
            succeeded=False,
            reason=reason,
            message=message,
        )

    def summary(self, name: str) -> NodeSummary:
        """Return what became of a node."""
        if name not in self._ended and name in self._offline:
            self._end(self._failed(name, OFFLINE, self._offline[name]))
        elif name not in self._ended:
            seconds = self._job.spec.active_deadline_seconds
            self._end(self._failed(name, DEADLINE, f"the run's {seconds} s were over"))
        return self._ended[name]

    async def judged(self) -> str:
        """Wait until it is clear what becomes of the run; return why nothing is to be merged."""
        spec, begun = self._job.spec, time.monotonic()
        minimum = quorum.needed(spec.nodes.min_success, len(self._nodes.names))
        while True:
            passed = time.monotonic() - begun
            waited = passed >= spec.nodes.active_deadline_seconds
            tally = self._tally()
            verdict = quorum.decide(tally, minimum, spec.nodes.offline_policy, waited=waited)
            if verdict is Verdict.AGGREGATE:
                return ""
            if verdict is Verdict.ABSENCE:
                away = ", ".join(sorted(self._offline.keys() - self._ended.keys()))
                return f"offline: {away} (spec.nodes.offlinePolicy is Fail)"
            if verdict is Verdict.TOO_MANY_FAILED or passed >= spec.active_deadline_seconds:
                return (
                    f"{tally.delivered} of {tally.nodes} nodes delivered, {minimum} are needed "
                    "(spec.nodes.minSuccess)"
                )
            deadlines = (spec.nodes.active_deadline_seconds, spec.active_deadline_seconds)
            left = min(each - passed for each in deadlines if each > passed)
            self._changed.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), left)

    def _tally(self) -> Tally:
        ended = self._ended.values()
        offline = len(self._offline.keys() - self._ended.keys())
        return Tally(
            delivered=sum(each.succeeded for each in ended),
            active=len(self._nodes.names) - len(ended) - offline,
            offline=offline,
            failed=sum(not each.succeeded for each in ended),
        )
