"""The agent's REST service as a process: each input with its answer, and kills under load."""

import gzip
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent import JSON, AgentProcess, Answer
from tests.support.cluster.kube import until

TOKENS: list[dict[str, Any]] = [
    {"name": "roof", "token": "r" * 32, "streams": ["air"], "sensors": ["roof-1"]},
    {"name": "all", "token": "a" * 32},
    {"name": "old", "token": "o" * 32, "expires": "2026-01-01T00:00:00Z"},
]
ROOF = {"Authorization": "Bearer " + "r" * 32}
KILLS = int(os.environ.get("AGENT_KILLS", "6"))
READING = {"sensor_id": "a", "t": 21.5}


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path_factory.mktemp("agent"), {"rest": {"silenceSeconds": 1}}) as agent:
        yield agent


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    with AgentProcess(tmp_path_factory.mktemp("guarded"), tokens=TOKENS) as agent:
        yield agent


@pytest.mark.parametrize(
    ("kind", "body", "accepted"),
    [
        (JSON, b'{"sensor_id":"a","t":1}', 1),
        (JSON, b'[{"t":1},{"t":2}]', 2),
        ("application/x-ndjson", b'{"t":1}\n{"t":2}\n', 2),
        ("text/csv", b"sensor_id,t\na,1\n", 1),
        ("text/plain", b"air,room=x t=1\n", 1),
    ],
)
@pytest.mark.parametrize("compressed", [False, True])
def test_every_format_is_taken(
    agent: AgentProcess, kind: str, body: bytes, accepted: int, compressed: bool
) -> None:
    headers = {"Content-Type": kind}
    if compressed:
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
    answer = agent.request("POST", "/v1/readings", body, headers)
    assert (answer.status, answer.document) == (200, {"accepted": accepted, "duplicate": False})


def test_the_paths_of_influxdb_clients_take_line_protocol(agent: AgentProcess) -> None:
    for path in ("/write?db=influx", "/api/v2/write?org=x&bucket=influx&precision=ns"):
        assert agent.request("POST", path, b"air t=1\n").status == 204
    streams = {
        each["name"]: each for each in agent.request("GET", "/v1/streams").document["streams"]
    }
    assert streams["influx"]["readings"] == 2
    assert streams["influx"]["lastValues"] == {"measurement": "air", "t": "1"}


def test_a_repeated_key_is_answered_and_not_stored_again(agent: AgentProcess) -> None:
    first, second = (agent.send(READING, "keyed", Idempotency_Key="k") for _ in range(2))
    assert first.document == {"accepted": 1, "duplicate": False}
    assert second.document == {"accepted": 0, "duplicate": True}


def test_a_reading_that_comes_again_is_answered_and_not_stored_again(agent: AgentProcess) -> None:
    first, second, third = (
        {"sensor_id": "a", "t": number, "timestamp": "2026-03-01T12:00:00Z"} for number in range(3)
    )
    answers = [agent.send(body, "again") for body in (first, first, [first, second], third)]
    assert [answer.document for answer in answers] == [
        {"accepted": 1, "duplicate": False}, {"accepted": 0, "duplicate": True},
        {"accepted": 1, "duplicate": False}, {"accepted": 1, "duplicate": False},
    ]  # fmt: skip
    metrics = agent.request("GET", "/metrics").body.decode().splitlines()
    assert 'edge_etl_agent_readings_total{stream="again"} 3' in metrics
    assert 'edge_etl_agent_duplicates_total{stream="again",by="reading"} 2' in metrics


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "reason"),
    [
        ("POST", "/v1/readings", b'{"t"', {"Content-Type": JSON}, 400, "BadReading"),
        ("POST", "/v1/readings", b"{}", {"Content-Type": "image/png"}, 415, "UnsupportedMediaType"),
        ("POST", "/v1/readings", b'{"t":1}', {}, 415, "UnsupportedMediaType"),
        (
            "POST", "/v1/readings", b"no gzip",
            {"Content-Type": JSON, "Content-Encoding": "gzip"}, 400, "BadReading",
        ),
        ("POST", "/v1/readings?stream=../x", b'{"t":1}', {"Content-Type": JSON}, 400, "BadReading"),
        (
            "POST", "/v1/readings", b'{"t":1}',
            {"Content-Type": JSON, "Idempotency-Key": "k" * 300}, 400, "BadReading",
        ),
        ("POST", "/v1/readings", b" " * 10_000_000, {"Content-Type": JSON}, 413, "TooLarge"),
        (
            "POST", "/v1/readings", gzip.compress(b" " * 50_000_000),
            {"Content-Type": JSON, "Content-Encoding": "gzip"}, 413, "TooLarge",
        ),
        (
            "POST", "/v1/readings", b"[%b]" % b",".join([b'{"t":1}'] * 10_001),
            {"Content-Type": JSON}, 400, "BadReading",
        ),
        (
            "POST", "/v1/readings", json.dumps({f"c{each}": 1 for each in range(65)}).encode(),
            {"Content-Type": JSON}, 400, "BadReading",
        ),
        ("GET", "/v1/readings", None, {}, 405, "NotFound"),
        ("GET", "/nowhere", None, {}, 404, "NotFound"),
    ],
)  # fmt: skip
def test_what_is_refused_and_how(
    agent: AgentProcess,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    status: int,
    reason: str,
) -> None:
    answer = agent.request(method, path, body, headers)
    assert (answer.status, answer.document["reason"]) == (status, reason), answer.body


def test_a_record_is_named_that_is_wrong(agent: AgentProcess) -> None:
    answer = agent.send([READING, {"t": [1]}])
    assert answer.document["record"] == 2
    assert answer.document["message"] == "t: lists are not taken, send text or numbers"


def test_a_slow_sender_is_told_and_does_not_hold_up_others(agent: AgentProcess) -> None:
    with socket.create_connection(("127.0.0.1", agent.port)) as slow:
        slow.sendall(
            b"POST /v1/readings HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        assert agent.send(READING).status == 200
        slow.settimeout(30)
        assert slow.recv(100).startswith(b"HTTP/1.1 408 ")


def test_what_does_not_fit_into_memory_is_to_be_sent_again(tmp_path: Path) -> None:
    with AgentProcess(tmp_path, {"storage": {"waitingBytes": 20}}) as agent:
        assert agent.send([READING] * 10).status == 200  # nobody else is there
        with socket.create_connection(("127.0.0.1", agent.port)) as slow:
            head = b"POST /v1/readings HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
            slow.sendall(head + b"{")
            answers: list[Answer] = []

            def refused() -> bool:
                answers.append(agent.send(READING))
                return answers[-1].status != 200

            until(refused, "the body has begun to arrive", every=0.02)
        answer = answers[-1]
        assert (answer.status, answer.headers["retry-after"]) == (429, "1")
        until(lambda: agent.send(READING).status == 200, "there is room again", every=0.02)


def test_a_stream_that_cannot_be_written_holds_up_no_other(agent: AgentProcess) -> None:
    (agent.source / "blocked").write_text("a file in the place of the folder")
    answer = agent.send(READING, "blocked")
    assert (answer.status, answer.document["reason"]) == (503, "Unavailable")
    assert agent.send(READING).status == 200


def test_another_method_is_told_which_there_are(agent: AgentProcess) -> None:
    assert agent.request("PUT", "/v1/readings", b"").headers["allow"] == "POST"
    assert agent.request("DELETE", "/metrics").headers["allow"] == "GET, HEAD"


def test_a_thousand_connections_at_once(agent: AgentProcess) -> None:
    idle = [socket.create_connection(("127.0.0.1", agent.port)) for _ in range(1000)]
    try:
        assert agent.send(READING).status == 200
    finally:
        for each in idle:
            each.close()


@pytest.mark.parametrize(
    ("headers", "stream", "body", "status", "message"),
    [
        ({}, "air", READING, 401, "Authorization: Bearer"),
        ({"Authorization": "Bearer x"}, "air", READING, 401, "nobody has this token"),
        ({"Authorization": "Basic " + "a" * 32}, "air", READING, 401, "Authorization: Bearer"),
        ({"Authorization": "Bearer " + "o" * 32}, "air", READING, 401, "of old has expired"),
        (ROOF, "water", {"sensor_id": "roof-1", "t": 1}, 403, "not for the stream water"),
        (ROOF, "air", [{"sensor_id": "roof-1", "t": 1}, READING], 403, "sensor_id"),
        (ROOF, "air", {"sensor_id": "roof-1", "t": 1}, 200, ""),
        ({"Authorization": "Token " + "a" * 32}, "water", READING, 200, ""),
    ],
)
def test_who_may_send_what(
    guarded: AgentProcess,
    headers: dict[str, str],
    stream: str,
    body: object,
    status: int,
    message: str,
) -> None:
    answer = guarded.send(body, stream, **headers)
    assert answer.status == status
    assert message in answer.document.get("message", "")


def test_another_senders_key_is_another_key(guarded: AgentProcess) -> None:
    reading = {"sensor_id": "roof-1", "t": 1}
    for headers in (ROOF, {"Authorization": "Bearer " + "a" * 32}):
        answer = guarded.send(reading, "air", Idempotency_Key="same", **headers)
        assert answer.document["duplicate"] is False


def test_what_prometheus_and_probes_see(agent: AgentProcess) -> None:
    assert agent.send(READING, "seen").status == 200
    assert [agent.request("GET", path).status for path in ("/healthz", "/readyz")] == [200, 200]
    lines = agent.request("GET", "/metrics").body.decode().splitlines()
    assert 'edge_etl_agent_readings_total{stream="seen"} 1' in lines
    assert "edge_etl_agent_clock_believable 1" in lines


def test_a_full_budget_is_507_and_not_ready(tmp_path: Path) -> None:
    with AgentProcess(tmp_path, {"storage": {"budgetBytes": 100}}) as agent:
        answers = [agent.send(READING) for _ in range(5)]
        assert answers[0].status == 200
        assert (answers[-1].status, answers[-1].document["reason"]) == (507, "Full")
        assert agent.request("GET", "/readyz").status == 503


def test_at_rest_it_is_small_and_has_neither_arrow_nor_pandas(tmp_path: Path) -> None:
    with AgentProcess(tmp_path) as agent:
        assert agent.send([READING] * 1000).status == 200
        assert agent.process
        process = Path(f"/proc/{agent.process.pid}")
        maps = (process / "maps").read_text()
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    assert [name for name in ("arrow", "pandas", "numpy") if name in maps] == []
    assert int(status["VmRSS"].split()[0]) < 48 * 1024


@pytest.mark.parametrize(
    ("configuration", "message"),
    [
        ('{"rest": {"port": "x"}}', "$.rest.port"),
        ('{"storage": {"onFul": "Refuse"}}', "onFul"),
        ('{"mqtt": {"host": "x", "topics": [{"pattern": "a/{b"}]}}', "mqtt.topics: 'a/{b'"),
    ],
)
def test_a_wrong_configuration_is_said_in_one_line(
    tmp_path: Path, configuration: str, message: str
) -> None:
    (tmp_path / "agent.json").write_text(configuration)
    command = [sys.executable, "-m", "edge_etl_agent", "--directory", str(tmp_path)]
    done = subprocess.run(
        [*command, "--config", str(tmp_path / "agent.json")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    errors = [json.loads(line) for line in done.stderr.splitlines()]
    assert message in errors[-1]["message"]


class Senders:
    """Senders that repeat what was not answered, with its key, until it is."""

    def __init__(self, agent: AgentProcess) -> None:
        self._agent = agent
        self._done = threading.Event()
        self.acknowledged: list[str] = []
        self._pool = ThreadPoolExecutor(8)
        self._running = [self._pool.submit(self._send, name) for name in range(8)]

    def _send(self, name: int) -> None:
        number = 0
        while not self._done.is_set():
            batch = [f"{name}-{number}-{part}" for part in range(random.randint(1, 5))]
            while not self._answered(batch, f"{name}-{number}"):
                time.sleep(0.01)
            self.acknowledged += batch
            number += 1

    def _answered(self, batch: list[str], key: str) -> bool:
        try:
            answer: Answer = self._agent.send(
                [{"sensor_id": each, "t": 1} for each in batch], Idempotency_Key=key
            )
        except (OSError, ValueError, AssertionError):
            return False
        except Exception as error:
            if "http.client" in type(error).__module__:
                return False
            raise
        return answer.status == 200

    def wait(self, count: int) -> None:
        """Wait until so many readings are acknowledged."""
        until(lambda: len(self.acknowledged) > count, f"{count} readings", every=0.01)

    def end(self) -> list[str]:
        """Wait until everything is answered; return it."""
        self._done.set()
        for each in self._running:
            each.result(timeout=120)
        self._pool.shutdown()
        return self.acknowledged


def test_what_was_acknowledged_is_stored_once_through_kills(tmp_path: Path) -> None:
    with AgentProcess(tmp_path, {"storage": {"segmentBytes": 2000}}) as agent:
        senders = Senders(agent)
        for _ in range(KILLS):
            before = len(senders.acknowledged)
            senders.wait(before + 20)
            agent.stop(9)
            agent.start()
        acknowledged = senders.end()
        assert agent.stop() == 0
        stored = [row["sensor_id"] for row in agent.stored()]
    assert len(stored) == len(set(stored))
    assert set(stored) == set(acknowledged)
    assert len(acknowledged) > KILLS * 20
