"""What the agent answers beside readings: streams, health, metrics, and its description."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec
from edge_etl_engine import STATUS

from edge_etl_agent.metrics import Counters, exposition
from edge_etl_agent.openapi import document
from edge_etl_agent.refusals import NOT_FOUND, UNAVAILABLE, Refusal
from edge_etl_agent.store import Store

_JSON: Final = ("Content-Type", "application/json")
_TEXT: Final = ("Content-Type", "text/plain; charset=utf-8")
_WRITE: Final = ("/v1/readings", "/write", "/api/v2/write")

Answer = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers, body."""


@dataclass(frozen=True)
class Service:
    """Its answers; ``respond`` is called in threads of the HTTP server."""

    store: Store
    counters: Counters

    def respond(
        self, method: str, path: str, _query: str, _caller: str | None, _body: bytes
    ) -> Answer:
        """Answer a request that is not for readings."""
        answers: dict[str, Callable[[], Answer]] = {
            "/v1/streams": lambda: _json(200, {"streams": self.store.facts.document()}),
            "/healthz": lambda: _text("ok\n"),
            "/readyz": self._ready,
            "/metrics": lambda: _text(exposition(self.store, self.counters)),
            "/openapi.json": lambda: _json(200, document()),
        }
        if path in _WRITE:
            return _not_allowed(method, path, "POST")
        if path not in answers:
            self.counters.refused(NOT_FOUND)
            return refused(Refusal(NOT_FOUND, f"nothing is at {path[:80]}"))
        if method not in ("GET", "HEAD"):
            return _not_allowed(method, path, "GET, HEAD")
        return answers[path]()

    def _ready(self) -> Answer:
        if self.store.budget.over:
            return refused(Refusal(UNAVAILABLE, "the disk budget is used up"))
        return _text("ok\n")


def refused(refusal: Refusal) -> Answer:
    """Return the answer that says no."""
    document = {"reason": refusal.reason, "message": refusal.message}
    return _json(STATUS[refusal.reason], document)


def _not_allowed(method: str, path: str, allowed: str) -> Answer:
    message = f"{path} is not for {method[:20]}"
    status, headers, body = _json(405, {"reason": NOT_FOUND, "message": message})
    return status, [*headers, ("Allow", allowed)], body


def _json(status: int, document: object) -> Answer:
    return status, [_JSON], msgspec.json.encode(document) + b"\n"


def _text(text: str) -> Answer:
    return 200, [_TEXT], text.encode()
