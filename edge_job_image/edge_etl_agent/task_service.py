"""What the agent answers below /v1/tasks."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

import msgspec
from edge_etl_job.documents import NodeSummary

from edge_etl_agent.answers import JSON, Answer, json, not_allowed
from edge_etl_agent.refusals import FORBIDDEN, NOT_FOUND, TOO_LARGE, Refusal
from edge_etl_agent.task_queue import TaskQueue
from edge_etl_agent.tasks import Phase, Task
from edge_etl_agent.tokens import Tokens

ROOT: Final = "/v1/tasks"
_LONGEST: Final = 128 << 10
"""Bytes of a job document: to say what is wrong with a longer one would hold up others."""
_READ: Final = ("GET", "HEAD")
_BYTES: Final = ("Content-Type", "application/octet-stream")


class Shown(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A task as a sender sees it."""

    id: str
    dataset: str
    namespace: str
    job: str
    run: str
    phase: Phase
    bytes_done: int
    bytes_total: int
    summary: NodeSummary | None
    """What the edge program said when it ended."""

    @classmethod
    def of(cls, task: Task) -> "Shown":
        """Show a task as it is now."""
        job = task.asked.job
        return cls(
            id=task.id,
            dataset=task.asked.dataset,
            namespace=job.namespace,
            job=job.job,
            run=job.run,
            phase=task.phase,
            bytes_done=task.bytes_done,
            bytes_total=task.bytes_total,
            summary=task.summary,
        )


class Overview(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whose tasks these are, what they may read, and all of them."""

    node: str
    sources: tuple[str, ...]
    tasks: tuple[Shown, ...]


@dataclass(frozen=True)
class TaskService:
    """The requests for tasks; only those of senders who may have them run come through."""

    queue: TaskQueue
    tokens: Tokens

    def respond(
        self, method: str, path: str, query: str, caller: str | None, body: bytes
    ) -> Answer:
        """Answer a request; raise Refusal."""
        if not self.tokens.may_run_tasks(caller):
            raise Refusal(FORBIDDEN, f"the token of {caller} is not for tasks")
        match path.removeprefix(ROOT).split("/")[1:]:
            case []:
                return self._all(method, path, query, body)
            case [name]:
                return self._one(method, path, name)
            case [name, "files", file]:
                return self._file(method, path, name, file)
        raise Refusal(NOT_FOUND, f"nothing is at {path[:80]}")

    def _all(self, method: str, path: str, query: str, body: bytes) -> Answer:
        if method == "POST":
            if len(body) > _LONGEST:
                raise Refusal(TOO_LARGE, f"a job document has at most {_LONGEST} bytes")
            dataset = parse_qs(query).get("dataset", [""])[0]
            task, new = self.queue.add(dataset, body)
            return json(201 if new else 200, Shown.of(task))
        if method not in _READ:
            return not_allowed(method, path, "GET, HEAD, POST")
        tasks = tuple(map(Shown.of, self.queue.all()))
        sources = tuple(sorted(self.queue.sources))
        return json(200, Overview(node=self.queue.node, sources=sources, tasks=tasks))

    def _one(self, method: str, path: str, name: str) -> Answer:
        if method == "DELETE":
            self.queue.remove(name)
            return 204, [], b""
        if method not in _READ:
            return not_allowed(method, path, "DELETE, GET, HEAD")
        return json(200, Shown.of(self.queue.get(name)))

    def _file(self, method: str, path: str, name: str, file: str) -> Answer:
        if method not in _READ:
            return not_allowed(method, path, "GET, HEAD")
        found = self.queue.file(self.queue.get(name), file)
        return 200, [JSON if found.suffix == ".json" else _BYTES], found
