"""Who may read the reports of runs from the landing service, and which files are one."""

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from edge_etl_job.landing.reports import ADDRESS, Reports

HTML = "<!DOCTYPE html><title>of the run</title>"


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """Serve a job's reports of two runs; beside them lies what is none."""
    folder = tmp_path / "farm" / "air-quality" / "reports"
    folder.mkdir(parents=True)
    (folder / "20260101-000000.html").write_text(HTML)
    (folder / "20260102-000000.html").write_text(HTML + "2")
    (folder / ".20260103-000000.html.new").write_text("half of")
    (folder.parent / "dataset.json").write_text("{}")
    for run, node in (("20260102-000000", "pi-1"), ("20260101-000000", "pi-2")):
        place = folder.parent / "runs" / run / node
        (place / "attempt").mkdir(parents=True)
        (place / "manifest.json").write_text(f'{{\n  "run": "{run}",\n  "node": "{node}"\n}}\n')
    (place / "attempt" / "rejected.parquet").write_bytes(b"PAR1 of pi-2")
    # A pod that mounts the volume may lay links to what only this service has.
    secret = tmp_path.with_name("token")
    secret.write_text("secret")
    (folder / "20250101-000000.html").symlink_to(secret)
    other = folder.parent / "runs" / "20260102-000000" / "pi-1" / "attempt" / "rejected.parquet"
    other.symlink_to(secret)
    (tmp_path / "farm" / "young").mkdir()
    ready, ended = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()
    ports: list[int] = []

    async def serve() -> None:
        runner = web.AppRunner(Reports(tmp_path).application(), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, ADDRESS, 0).start()
        ports.append(runner.addresses[0][1])
        ready.set()
        await ended.wait()
        await runner.cleanup()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    yield ports[0]
    loop.call_soon_threadsafe(ended.set)
    thread.join()
    loop.close()


def answer(
    port: int, path: str, method: str = "GET", host: str = "localhost:8081"
) -> tuple[int, str, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection(ADDRESS, port, timeout=30)
    connection.request(method, path, headers={"Host": host})
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body, response.headers


def test_a_report_is_served_as_it_is_and_may_ask_for_nothing(port: int) -> None:
    status, body, headers = answer(port, "/v1/reports/farm/air-quality/20260101-000000")
    assert (status, body) == (200, HTML)
    assert headers["Content-Type"] == "text/html; charset=utf-8"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert answer(port, "/v1/reports/farm/air-quality/latest")[1] == HTML + "2"


def test_the_runs_with_a_report_are_listed_the_latest_first(port: int) -> None:
    listed = json.loads(answer(port, "/v1/reports/farm/air-quality")[1])
    assert listed == {"runs": ["20260102-000000", "20260101-000000", "20250101-000000"]}
    assert json.loads(answer(port, "/v1/reports/farm/young")[1]) == {"runs": []}


def test_what_the_nodes_committed_is_sent_a_manifest_in_a_line_in_the_order_of_the_runs(
    port: int,
) -> None:
    status, body, headers = answer(port, "/v1/manifests/farm/air-quality")
    assert (status, headers["Content-Type"]) == (200, "application/x-ndjson")
    assert [json.loads(line) for line in body.splitlines()] == [
        {"run": "20260101-000000", "node": "pi-2"},
        {"run": "20260102-000000", "node": "pi-1"},
    ]
    assert answer(port, "/v1/manifests/farm/young")[:2] == (200, "")


def test_the_rows_that_an_attempt_rejected_are_sent_as_they_lie(port: int) -> None:
    status, body, _ = answer(port, "/v1/rejected/farm/air-quality/20260101-000000/pi-2/attempt")
    assert (status, body) == (200, "PAR1 of pi-2")


@pytest.mark.parametrize(
    ("path", "status", "reason"),
    [
        ("/v1/reports/farm/air-quality/20260109-000000", 404, "NoReport"),
        ("/v1/reports/farm/young/latest", 404, "NoReport"),
        ("/v1/reports/farm/air-quality/..%2fdataset.json", 400, "InvalidName"),
        ("/v1/reports/..%2f..%2fetc/air-quality/latest", 400, "InvalidName"),
        ("/v1/reports/farm/air-quality/.20260103-000000.html.new", 400, "InvalidName"),
        ("/v1/results/farm/air-quality/dataset.json", 404, "NotFound"),
        ("/v1/reports/farm/air-quality/20250101-000000", 404, "NoReport"),
        ("/v1/rejected/farm/air-quality/20260102-000000/pi-1/attempt", 404, "NothingRejected"),
        ("/v1/rejected/farm/air-quality/20260102-000000/pi-9/attempt", 404, "NothingRejected"),
        ("/v1/rejected/farm/air-quality/20260102-000000/..%2fpi-2/attempt", 400, "InvalidName"),
        ("/v1/manifests/farm/..%2f..%2fetc", 400, "InvalidName"),
    ],
)
def test_nothing_else_is_there(port: int, path: str, status: int, reason: str) -> None:
    answered, body, _ = answer(port, path)
    assert (answered, json.loads(body)["reason"]) == (status, reason)


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_nothing_can_be_changed(port: int, method: str) -> None:
    assert answer(port, "/v1/reports/farm/air-quality/20260101-000000", method)[0] == 405


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8081", "localhost.evil.example"])
def test_a_page_of_another_name_reaches_nothing_through_a_forwarded_port(
    port: int, host: str
) -> None:
    status, body, _ = answer(port, "/v1/reports/farm/air-quality/latest", host=host)
    assert (status, json.loads(body)["reason"]) == (403, "Forbidden")
    assert answer(port, "/v1/reports/farm/air-quality/latest", host="[::1]:9")[0] == 200
