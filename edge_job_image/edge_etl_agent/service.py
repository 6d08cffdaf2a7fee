"""What the agent answers beside readings: streams, tasks, health, metrics, and its description."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edge_etl_agent.answers import Answer, json, not_allowed, refused, text
from edge_etl_agent.metrics import Counters, exposition
from edge_etl_agent.openapi import document
from edge_etl_agent.refusals import NOT_FOUND, UNAVAILABLE, Refusal
from edge_etl_agent.store import Store
from edge_etl_agent.task_service import ROOT, TaskService

_WRITE: Final = ("/v1/readings", "/write", "/api/v2/write")


@dataclass(frozen=True)
class Service:
    """Its answers; ``respond`` is called in threads of the HTTP server."""

    store: Store
    counters: Counters
    tasks: TaskService | None = None

    def respond(
        self, method: str, path: str, query: str, caller: str | None, body: bytes
    ) -> Answer:
        """Answer a request that is not for readings."""
        try:
            if self.tasks and (path == ROOT or path.startswith(f"{ROOT}/")):
                return self.tasks.respond(method, path, query, caller, body)
            return self._look(method, path)
        except Refusal as refusal:
            self.counters.refused(refusal.reason)
            return refused(refusal)

    def _look(self, method: str, path: str) -> Answer:
        answers: dict[str, Callable[[], Answer]] = {
            "/v1/streams": lambda: json(200, {"streams": self.store.facts.document()}),
            "/healthz": lambda: text("ok\n"),
            "/readyz": self._ready,
            "/metrics": lambda: text(exposition(self.store, self.counters)),
            "/openapi.json": lambda: json(200, document()),
        }
        if path in _WRITE:
            return not_allowed(method, path, "POST")
        if path not in answers:
            raise Refusal(NOT_FOUND, f"nothing is at {path[:80]}")
        if method not in ("GET", "HEAD"):
            return not_allowed(method, path, "GET, HEAD")
        return answers[path]()

    def _ready(self) -> Answer:
        if self.store.budget.over:
            return refused(Refusal(UNAVAILABLE, "the disk budget is used up"))
        return text("ok\n")
