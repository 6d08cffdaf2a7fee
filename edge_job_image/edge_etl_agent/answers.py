"""Answers of the agent, as the intake takes them."""

from pathlib import Path
from typing import Final

import msgspec

from edge_etl_agent.refusals import BUSY, NOT_FOUND, STATUS, Refusal

JSON: Final = ("Content-Type", "application/json")
_TEXT: Final = ("Content-Type", "text/plain; charset=utf-8")
_AGAIN_SECONDS: Final = "5"

Answer = tuple[int, list[tuple[str, str]], bytes | Path]
"""Status, headers, body; a path is sent as the file that it names."""


def json(status: int, document: object) -> Answer:
    """Return a document."""
    return status, [JSON], msgspec.json.encode(document) + b"\n"


def text(content: str) -> Answer:
    """Return a text."""
    return 200, [_TEXT], content.encode()


def refused(refusal: Refusal) -> Answer:
    """Return the answer that says no."""
    document = {"reason": refusal.reason, "message": refusal.message}
    status, headers, body = json(STATUS[refusal.reason], document)
    if refusal.reason == BUSY:
        headers.append(("Retry-After", _AGAIN_SECONDS))
    return status, headers, body


def not_allowed(method: str, path: str, allowed: str) -> Answer:
    """Return the answer to a method that a path has not."""
    message = f"{path} is not for {method[:20]}"
    status, headers, body = json(405, {"reason": NOT_FOUND, "message": message})
    return status, [*headers, ("Allow", allowed)], body
