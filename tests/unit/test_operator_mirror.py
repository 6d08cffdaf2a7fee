"""The mirror: what was listed and what changed, whatever the watch does."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from edge_etl_operator.connection import ApiError, Query, RefusedError, TransientError, refusal
from edge_etl_operator.kube import Node
from edge_etl_operator.mirror import Mirror

LABEL = "job"
Script = list[Any]
"""What the API server answers, in order: a list, the lines of a watch, or an error."""


class Server:
    """Answers as its script says, and ends the mirror's thread when that is over."""

    def __init__(self, *script: Any) -> None:
        self._script = iter(script)
        self.asked: list[dict[str, str]] = []

    def call(self, method: str, place: str, *, query: Query = ()) -> bytes:
        return json.dumps(self._next(query)).encode()

    def stream(self, place: str, query: Query, silence: float) -> Iterator[bytes]:
        lines = self._next(query)
        yield b""
        for line in lines:
            if isinstance(line, Exception):
                raise line
            yield json.dumps(line).encode()

    def _next(self, query: Query) -> Any:
        self.asked.append(dict(query))
        answer = next(self._script, SystemExit())
        if isinstance(answer, BaseException):
            raise answer
        return answer


def thing(name: str, version: int, job: str = "air", uid: str = "") -> dict[str, Any]:
    labels = {LABEL: job}
    metadata = {"name": name, "namespace": "edge", "uid": uid or name, "labels": labels}
    return {"metadata": {**metadata, "resourceVersion": str(version)}}


def listed(version: int, *items: dict[str, Any], more: str = "") -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version), "continue": more}, "items": list(items)}


def change(kind: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": item}


def mirrored(monkeypatch: pytest.MonkeyPatch, server: Server) -> tuple[Mirror[Node], list[str]]:
    """Run a mirror to the end of the server's script; return it and what it told."""
    told: list[str] = []

    def changed(before: Node | None, now: Node | None) -> None:
        some = now or before
        assert some is not None
        told.append(("+" if before is None else "~" if now else "-") + some.metadata.name)

    monkeypatch.setattr("edge_etl_operator.mirror.time.sleep", lambda seconds: None)
    mirror = Mirror(server, Node, "/api/v1/things", label=LABEL, changed=changed)
    with pytest.raises(SystemExit):
        mirror._run()
    return mirror, told


def names(mirror: Mirror[Node], job: str = "air") -> list[str]:
    return sorted(item.metadata.name for item in mirror.group("edge", job))


def test_pages_and_changes_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(
        listed(5, thing("a", 1), more="page-2"),
        listed(5, thing("b", 2), thing("x", 3, job="other")),
        [
            change("ADDED", thing("c", 6)),
            change("MODIFIED", thing("a", 7)),
            change("DELETED", thing("b", 8)),
        ],
    )
    mirror, told = mirrored(monkeypatch, server)
    assert names(mirror) == ["a", "c"]
    assert names(mirror, "other") == ["x"]
    assert told == ["+a", "+b", "+x", "+c", "~a", "-b"]
    assert server.asked[1]["continue"] == "page-2"


def test_a_watch_that_ends_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers: a kopf operator deaf while /healthz says OK (dask#620)."""
    silent = TransientError(0, "Unreachable", "Read timed out.")
    bookmark = change("BOOKMARK", {"kind": "Node", "metadata": {"resourceVersion": "9"}})
    server = Server(listed(5), [change("ADDED", thing("a", 6)), silent], [bookmark], [])
    mirror, told = mirrored(monkeypatch, server)
    assert told == ["+a"]
    assert [asked.get("resourceVersion") for asked in server.asked] == [None, "5", "6", "9", "9"]
    assert names(mirror) == ["a"]


def test_after_a_version_that_is_too_old_everything_is_listed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    gone = change("ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "old"})
    server = Server(
        listed(5, thing("a", 1), thing("b", 2)), [gone], listed(9, thing("b", 2), thing("c", 8)), []
    )
    mirror, told = mirrored(monkeypatch, server)
    assert names(mirror) == ["b", "c"]
    assert told == ["+a", "+b", "+c", "-a"]


def test_what_may_not_be_seen_is_said_until_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    forbidden = refusal(403, b'{"message": "cannot list resource things"}')
    mirror, _ = mirrored(monkeypatch, Server(forbidden))
    with pytest.raises(RefusedError, match="cannot list"):
        mirror.all()
    assert mirror.synced.is_set()
    mirror, _ = mirrored(monkeypatch, Server(forbidden, listed(5, thing("a", 1)), []))
    assert names(mirror) == ["a"]


def test_nothing_is_known_before_it_was_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    mirror, _ = mirrored(monkeypatch, Server(TransientError(503, "", "starting")))
    with pytest.raises(ApiError, match="not listed yet"):
        mirror.group("edge", "air")


def test_an_answer_to_a_write_is_taken_unless_the_watch_was_further(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mirror, _ = mirrored(monkeypatch, Server(listed(5), []))
    mirror.put(node(thing("early", 6)))
    mirror.put(node(thing("late", 4)))  # created and deleted before we were at 5
    assert names(mirror) == ["early"]
    mirror.drop("edge", "early", "another uid")
    assert names(mirror) == ["early"]
    mirror.drop("edge", "early", "early")
    assert names(mirror) == []


def test_an_old_deletion_does_not_take_a_new_object_of_the_same_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(
        listed(5, thing("a", 4, uid="new")), [change("DELETED", thing("a", 3, uid="new"))]
    )
    mirror, _ = mirrored(monkeypatch, server)
    assert names(mirror) == ["a"]


def node(document: dict[str, Any]) -> Node:

    return msgspec.convert(document, Node)
