"""What the edge program does when the landing service is away, busy, or refuses."""

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from edge_etl_job.results import ResultError
from edge_etl_job.results.landing_client import LandingStore
from edge_etl_job.results.layout import Attempt
from edge_etl_job.results.patience import Retries

from tests.support.landing import PLACE

ATTEMPT = Attempt(**PLACE)
CUT = -1


@dataclass
class Script:
    """A server that answers as it is told, one answer after another, and notes what it was sent."""

    answers: list[tuple[int, bytes]]
    headers: dict[str, str] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def answering(script: Script) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            status, body = script.answers[min(len(script.requests), len(script.answers) - 1)]
            if status == CUT:
                script.requests.append((self.command, self.path, dict(self.headers), b""))
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            script.requests.append((self.command, self.path, dict(self.headers), sent))
            self.send_response(status)
            for name, value in script.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = answer  # noqa: N815 - the names that http.server calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def said(reason: str, message: str = "as told") -> bytes:
    return json.dumps({"reason": reason, "message": message}).encode()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("first-token\n")
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"rows" * 100_000)
    return path


def never(pause: float) -> None:
    pytest.fail(f"waited {pause} s before another try")


def put(store: LandingStore, file: Path) -> None:
    store.put("rows.parquet", file, hashlib.sha256(file.read_bytes()).hexdigest())


@pytest.mark.parametrize("first", [CUT, 408, 429, 500, 502, 503, 504])
def test_what_passes_is_tried_again_from_the_beginning(
    token_file: Path, file: Path, first: int
) -> None:
    pauses: list[float] = []
    script = Script([(first, said("Busy")), (first, b"<html>"), (201, b"{}")])
    with answering(script) as url:
        put(LandingStore(url, ATTEMPT, token_file, sleep=pauses.append), file)
    assert len(script.requests) == 3
    method, path, headers, body = script.requests[-1]
    assert (method, path) == (
        "PUT",
        "/v1/results/farm/air-quality/20261122-120000/pi-1/" + f"{ATTEMPT.attempt}/rows.parquet",
    )
    assert body == file.read_bytes()
    assert headers["Content-Length"] == "400000"
    assert headers["Content-Digest"].startswith("sha-256=:")
    assert "Transfer-Encoding" not in headers
    assert 0.25 <= pauses[0] <= 0.5 <= pauses[1] <= 1


def test_a_longer_pause_that_the_service_asks_for_is_kept(token_file: Path, file: Path) -> None:
    pauses: list[float] = []
    script = Script([(503, said("Busy")), (201, b"{}")], headers={"Retry-After": "8"})
    with answering(script) as url:
        put(LandingStore(url, ATTEMPT, token_file, sleep=pauses.append), file)
    assert 4 <= pauses[0] <= 8


@pytest.mark.parametrize(
    ("status", "theirs", "ours"),
    [
        (400, "InvalidName", "InvalidName"),
        (401, "Unauthenticated", "LandingUnauthorized"),
        (403, "Forbidden", "LandingUnauthorized"),
        (409, "ResultConflict", "ResultConflict"),
        (413, "ResultTooLarge", "ResultTooLarge"),
        (422, "DigestMismatch", "DigestMismatch"),
        (507, "ResultsFull", "ResultsFull"),
    ],
)
def test_a_refusal_is_final_and_keeps_its_reason(
    token_file: Path, file: Path, status: int, theirs: str, ours: str
) -> None:
    script = Script([(status, said(theirs, "the cause"))])
    with answering(script) as url, pytest.raises(ResultError, match="the cause") as refused:
        put(LandingStore(url, ATTEMPT, token_file, sleep=never), file)
    assert refused.value.reason == ours
    assert len(script.requests) == 1


def test_it_gives_up_after_a_bounded_number_of_tries(token_file: Path, file: Path) -> None:
    pauses: list[float] = []
    script = Script([(503, said("Busy", "all slots are taken"))])
    with answering(script) as url, pytest.raises(ResultError, match="all slots") as failed:
        put(LandingStore(url, ATTEMPT, token_file, Retries(attempts=5), pauses.append), file)
    assert failed.value.reason == "LandingUnreachable"
    assert (len(script.requests), len(pauses)) == (5, 4)


def test_nobody_at_the_address(token_file: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
        store = LandingStore(url, ATTEMPT, token_file, Retries(attempts=2), lambda pause: None)
        with pytest.raises(ResultError, match="does not answer") as failed:
            store.dataset_id()
    assert failed.value.reason == "LandingUnreachable"
    assert url in failed.value.message


def test_the_token_is_read_for_every_try(token_file: Path, file: Path) -> None:
    def renew(pause: float) -> None:
        token_file.write_text("second")

    script = Script([(503, said("Busy")), (201, b"{}")])
    with answering(script) as url:
        put(LandingStore(url, ATTEMPT, token_file, sleep=renew), file)
    sent = [headers["Authorization"] for _, _, headers, _ in script.requests]
    assert sent == ["Bearer first-token", "Bearer second"]


@pytest.mark.parametrize("content", [b"", b"\n", b"a\nb", b"\xff"])
def test_a_token_file_without_a_token_is_named(tmp_path: Path, content: bytes) -> None:
    token_file = tmp_path / "token"
    token_file.write_bytes(content)
    store = LandingStore("http://localhost", ATTEMPT, token_file)
    with pytest.raises(ResultError, match="token") as refused:
        store.dataset_id()
    assert refused.value.reason == "LandingUnauthorized"


@pytest.mark.parametrize(
    ("status", "body"), [(200, b"<html>"), (200, b"[]"), (404, b"not here"), (302, b"")]
)
def test_another_service_at_the_address_is_not_taken_for_ours(
    token_file: Path, status: int, body: bytes
) -> None:
    with answering(Script([(status, body)])) as url:
        store = LandingStore(url, ATTEMPT, token_file, sleep=never)
        with pytest.raises(ResultError, match=f"answered {status}, not as a landing service"):
            store.dataset_id()
        if status != 200:
            with pytest.raises(ResultError, match="not as a landing service"):
                store.manifest(ATTEMPT.run)


def test_a_location_without_a_host_is_refused(token_file: Path) -> None:
    with pytest.raises(ResultError, match="not a URL"):
        LandingStore("http://", ATTEMPT, token_file)
