"""The agent against what it says of itself, and against senders that do not keep to it."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from edge_etl_agent.openapi import REFUSALS, document
from edge_etl_agent.refusals import OF_TASKS
from edge_etl_engine import STATUS
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.agent import JSON, AgentProcess
from tests.support.tasks import BEARER, TOKEN, TaskAgent

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    root = tmp_path_factory.mktemp("agent")
    agent = TaskAgent(root)
    agent.tokens = [{"name": "all", "token": TOKEN, "tasks": True}]
    agent.configuration["rest"] = {"silenceSeconds": 5}
    with agent:
        yield agent


def test_it_serves_its_description(agent: AgentProcess) -> None:
    answer = agent.request("GET", "/openapi.json")
    assert answer.document == json.loads(json.dumps(document()))
    assert {reason: status for status, (reason, _) in REFUSALS.items() if status != 405} == STATUS
    responses = answer.document["components"]["responses"]
    assert {f"{status}-{reason}" for reason, status in OF_TASKS.items()} <= responses.keys()


def test_schemathesis_finds_nothing_that_the_description_does_not_say(
    agent: AgentProcess, tmp_path: Path
) -> None:
    command = [Path(sys.executable).with_name("st"), "run"]
    command += [f"http://127.0.0.1:{agent.port}/openapi.json", "--no-color"]
    command += ["--max-examples=30", "--phases=examples,coverage,fuzzing", "--seed=7"]
    # What the schema of a reading cannot say is refused with 400: two columns of one name, a
    # time that is none, a text with line breaks.
    command += ["--exclude-checks=positive_data_acceptance", "--suppress-health-check=all"]
    command += ["--header", f"Authorization: {BEARER['Authorization']}"]
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, check=False, cwd=tmp_path,
        env=os.environ | {
            "SCHEMATHESIS_HOOKS": "tests.support.ndjson_hook", "PYTHONPATH": str(ROOT),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr
    assert agent.request("GET", "/healthz").status == 200


_CHUNK = st.binary(max_size=60) | st.sampled_from(
    [
        b"POST /v1/readings HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\n", b"Host: x\r\n",
        b"Content-Length: 5\r\n", b"Content-Length: -1\r\n", b"Transfer-Encoding: chunked\r\n",
        b"Content-Encoding: gzip\r\n", b"Expect: 100-continue\r\n", b"\r\n", b"5\r\nhello\r\n",
        b"Content-Type: application/json\r\n", b"ffffffffffffffff\r\n", b"0\r\n\r\n",
    ]
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(_CHUNK, min_size=1, max_size=8))
def test_bytes_that_are_no_http_end_only_their_own_connection(
    agent: AgentProcess, chunks: list[bytes]
) -> None:
    with socket.create_connection(("127.0.0.1", agent.port), timeout=30) as connection:
        connection.sendall(b"".join(chunks))
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        try:
            while part := connection.recv(4096):
                answer += part
        except ConnectionResetError:
            pass
    assert not answer or answer.startswith(b"HTTP/1.")
    assert not answer.startswith(b"HTTP/1.1 5")
    assert agent.request("GET", "/healthz").status == 200


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([JSON, "application/x-ndjson", "text/csv", "text/plain", "image/png"]),
    st.binary(max_size=300) | st.text(max_size=100).map(str.encode),
    st.sampled_from([None, "gzip", "br"]),
)
def test_any_body_is_stored_or_refused_with_a_reason(
    agent: AgentProcess, kind: str, body: bytes, coding: str | None
) -> None:
    headers = {"Content-Type": kind, **BEARER}
    if coding:
        headers["Content-Encoding"] = coding
    answer = agent.request("POST", "/v1/readings?stream=fuzz", body, headers)
    assert answer.status in (200, 400, 415)
    if answer.status != 200:
        assert STATUS[json.loads(answer.body)["reason"]] == answer.status
