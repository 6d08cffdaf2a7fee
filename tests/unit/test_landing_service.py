"""How the service treats senders who are slow or too many."""

import http.client
import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

from edge_etl_job.landing.identity import Identity
from edge_etl_job.landing.limits import Limits

from tests.support.landing import ACCOUNT, PLACE, Known, audience, manifest, serving, token

TOKEN = token(audience())
KNOWN = Known(
    **{TOKEN: Identity(f"system:serviceaccount:farm:{ACCOUNT}", PLACE["node"], PLACE["attempt"])}
)
PATH = "/v1/results/" + "/".join(PLACE.values()) + "/rows.parquet"
HEADERS = {
    "Authorization": f"Bearer {TOKEN}",
    "Content-Length": "4",
    "Content-Digest": "sha-256=:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=:",  # of "test"
}


def begin(url: str, sent: bytes) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
    connection.putrequest("PUT", PATH)
    for name, value in HEADERS.items():
        connection.putheader(name, value)
    connection.endheaders(sent)
    return connection


def answer(connection: http.client.HTTPConnection) -> tuple[int, dict[str, str], dict[str, str]]:
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    return response.status, body, dict(response.headers)


def test_who_sends_nothing_more_is_not_waited_for(tmp_path: Path) -> None:
    with serving(tmp_path, KNOWN, Limits(reserve=0, silence=0.05)) as url:
        status, body, _ = answer(begin(url, b"te"))
    assert (status, body["reason"]) == (408, "TimedOut")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_who_finds_no_slot_is_asked_to_come_back(tmp_path: Path) -> None:
    with serving(tmp_path, KNOWN, Limits(reserve=0, uploads=1, patience=0.05)) as url:
        first = begin(url, b"te")
        while not list(tmp_path.rglob(".incoming-*")):
            assert isinstance(first.sock, socket.socket)
        status, body, headers = answer(begin(url, b"test"))
        assert (status, body["reason"], headers["Retry-After"]) == (503, "Busy", "2")
        first.send(b"st")
        assert answer(first)[0] == 201
        assert answer(begin(url, b"test"))[0] == 200


def test_a_volume_that_is_gone_is_not_ready(tmp_path: Path) -> None:
    root = tmp_path / "results"
    root.mkdir()
    with serving(root, KNOWN) as url:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        for status in (200, 503):
            connection.request("GET", "/readyz")
            response = connection.getresponse()
            response.read()
            assert response.status == status
            if status == 200:
                root.rmdir()
        connection.request("GET", "/healthz")
        assert connection.getresponse().status == 200
        connection.close()


def test_a_manifest_that_is_not_the_announced_one_is_no_commit(tmp_path: Path) -> None:
    with serving(tmp_path, KNOWN, Limits(reserve=0)) as url:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        body = manifest({})
        headers = {**HEADERS, "Content-Length": str(len(body))}
        connection.request("PUT", PATH.rsplit("/", 2)[0] + "/manifest.json", body, headers)
        status, said, _ = answer(connection)
    assert (status, said["reason"]) == (422, "DigestMismatch")
    assert not list(tmp_path.rglob("manifest.json"))
