"""What becomes of uploads: wrong ones, broken ones, many at once, and when the service dies."""

import base64
import hashlib
import json
import os
import random
import shutil
import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from edge_etl_job.results import ResultError
from edge_etl_job.results.landing_client import LandingStore
from edge_etl_job.results.patience import Retries

from tests.support.cluster.kube import until
from tests.support.landing_process import (
    LandingProcess,
    Pod,
    Pods,
    files_below,
    manifest,
)

MB = 1 << 20


@pytest.fixture
def token_file(pod: Pod, tmp_path: Path) -> Path:
    path = tmp_path / "pod-token"
    path.write_text(pod.token)
    return path


def visible(root: Path) -> dict[str, bytes]:
    """Return the files that readers see, by their last name."""
    found = files_below(root).items()
    return {Path(path).name: data for path, data in found if "/.incoming-" not in path}


def test_the_same_again_is_fine_and_other_content_is_refused(
    service: LandingProcess, pod: Pod
) -> None:
    path = f"{pod.url}/rows.parquet"
    statuses = [service.put(path, body, pod.token).status for body in (b"one", b"one", b"two")]
    assert statuses == [201, 200, 409]
    assert visible(service.root) == {"rows.parquet": b"one"}


def test_the_first_manifest_of_a_node_stands(service: LandingProcess, pods: Pods, pod: Pod) -> None:
    path, late = f"{pod.node_url}/manifest.json", pods.create("pi-1")
    first, second = manifest(pod, {}), manifest(late, {})
    assert service.put(path, first, pod.token).status == 201
    assert service.put(path, first, pod.token).status == 200
    refused = service.put(path, second, late.token)
    assert (refused.status, refused.body) == (409, first)


WRONG_HEADERS: list[tuple[dict[str, str | None], int]] = [
    ({"Content_Length": None, "Transfer_Encoding": "chunked"}, 411),
    ({"Content_Length": str((1 << 30) + 1)}, 413),
    ({"Content_Digest": None}, 400),
    ({"Content_Digest": "sha-256=:AAAA:"}, 400),
    ({"Content_Digest": "sha-512=:AAAA:"}, 400),
    ({"Content_Digest": f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"}, 422),
    ({"Content_Encoding": "gzip"}, 400),
]


def test_a_body_that_is_not_described_rightly_is_refused(service: LandingProcess, pod: Pod) -> None:
    body = b"4\r\nrows\r\n0\r\n\r\n"
    for headers, status in WRONG_HEADERS:
        answer = service.put(f"{pod.url}/rows.parquet", body, pod.token, **headers)
        assert answer.status == status, headers
        assert set(json.loads(answer.body)) == {"reason", "message"}
        assert files_below(service.root) == {}, headers


def test_a_body_without_a_length_is_refused(service: LandingProcess, pod: Pod) -> None:
    assert service.put(f"{pod.url}/a", b"", pod.token, Content_Length=None).status == 411


def test_a_manifest_that_names_what_is_not_there_is_no_commit(
    service: LandingProcess, pod: Pod
) -> None:
    service.put(f"{pod.url}/rows.parquet", b"rows", pod.token)
    for contents in ({"rows.parquet": b"ROWS"}, {"other.parquet": b""}, {"../x": b""}):
        body = manifest(pod, contents)
        assert service.put(f"{pod.node_url}/manifest.json", body, pod.token).status in (400, 422)
    assert visible(service.root) == {"rows.parquet": b"rows"}


WRONG_ENDS = [
    "..",
    "../rows.parquet",
    "../../../../../../etc/passwd",
    "%2e%2e",
    "%2e%2e%2frows.parquet",
    "..%2frows.parquet",
    "%2frows.parquet",
    "/rows.parquet",
    "a//b",
    "",
    ".incoming-x",
    "rows.parquet%00",
    "rows%0a",
    "x" * 300,
    "ROWS.PARQUET",
    "rows%20.parquet",
    "%c3%a4.parquet",
    "%ff",
    "rows.parquet/",
    "\\..\\x",
]


def test_no_path_leads_out_of_the_attempt(service: LandingProcess, pod: Pod) -> None:
    for end in WRONG_ENDS:
        answer = service.put(f"{pod.url}/{end}", b"rows", pod.token)
        assert answer.status in (400, 404), end
        assert files_below(service.root) == {}, end
        assert service.request("GET", "/healthz").status == 200


def test_no_part_of_a_place_leads_out_of_it(service: LandingProcess, pod: Pod) -> None:
    for part in range(5):
        for wrong in ("..", "%2e%2e", "%2e%2e%2f%2e%2e", "a%00", "x" * 300):
            parts = pod.url.removeprefix("/v1/results/").split("/")
            parts[part] = wrong
            path = f"/v1/results/{'/'.join(parts)}/rows.parquet"
            assert service.put(path, b"rows", pod.token).status in (400, 401, 403, 404), path
            assert files_below(service.root) == {}, path


def test_a_request_that_is_none_is_refused(service: LandingProcess) -> None:
    for line in (b"PUT /\0 HTTP/1.1", b"PUT", b"\xff\xff\xff", b"GET / HTTP/9.9"):
        with socket.create_connection(("127.0.0.1", service.port), timeout=30) as connection:
            connection.sendall(line + b"\r\nHost: x\r\n\r\n")
            assert connection.recv(100).startswith((b"HTTP/1.0 400", b"HTTP/1.1 400")), line
        assert service.request("GET", "/healthz").status == 200


def test_what_is_not_offered_is_answered_as_json(service: LandingProcess, pod: Pod) -> None:
    for method, path, status in (
        ("GET", "/", 404),
        ("DELETE", f"{pod.url}/rows.parquet", 405),
        ("GET", f"{pod.url}/rows.parquet", 405),
        ("POST", f"{pod.node_url}/manifest.json", 405),
    ):
        answer = service.request(method, path)
        assert answer.status == status
        assert set(json.loads(answer.body)) == {"reason", "message"}


def test_a_connection_that_is_cut_leaves_nothing(service: LandingProcess, pod: Pod) -> None:
    connection = service.half_sent(f"{pod.url}/rows.parquet", bytes(4 * MB), pod.token)
    until(lambda: files_below(service.root), "the beginning of the upload", every=0.01)
    connection.close()
    until(lambda: not files_below(service.root), "the end of it", every=0.01)
    assert service.put(f"{pod.url}/rows.parquet", b"rows", pod.token).status == 201


def test_uploads_under_way_may_end_when_the_service_is_told_to(
    service: LandingProcess, pod: Pod
) -> None:
    body = bytes(4 * MB)
    with service.half_sent(f"{pod.url}/rows.parquet", body, pod.token) as connection:
        until(lambda: files_below(service.root), "the beginning of the upload", every=0.01)
        stopped = threading.Thread(target=service.stop)
        stopped.start()
        until(lambda: not accepts(service.port), "no new connections", every=0.01)
        connection.sendall(body[len(body) // 2 :])
        assert connection.recv(100).startswith(b"HTTP/1.1 201")
    stopped.join()
    assert service.stop() == 0
    assert visible(service.root) == {"rows.parquet": body}
    assert service.log[-1]["message"] == "ended"


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def test_a_service_that_is_killed_again_and_again_shows_no_torn_file(
    landing: LandingProcess, pod: Pod, token_file: Path, tmp_path: Path
) -> None:
    chance = random.Random(20261122)
    sources = tmp_path / "sources"
    sources.mkdir()
    contents = {f"rows-{number}.parquet": chance.randbytes(2 * MB) for number in range(24)}
    for name, data in contents.items():
        (sources / name).write_bytes(data)

    def deliver(names: list[str]) -> None:
        store = LandingStore(
            landing.url, pod.attempt, token_file, Retries(attempts=500, first=0.02, longest=0.1)
        )
        for name in names:
            store.put(name, sources / name, hashlib.sha256(contents[name]).hexdigest())

    landing.start()
    with ThreadPoolExecutor(4) as pool:
        deliveries = [pool.submit(deliver, list(contents)[part::4]) for part in range(4)]
        kills = 0
        while not all(delivery.done() for delivery in deliveries) and kills < 6:
            goes_on = partial(progressed, landing.root, len(files_below(landing.root)), deliveries)
            until(goes_on, "some progress", every=0.001)
            landing.kill()
            kills += 1
            for name, data in visible(landing.root).items():
                assert data == contents[name], f"{name} is torn after kill {kills}"
            landing.start()
        for delivery in deliveries:
            delivery.result()
    assert kills > 1
    ours = manifest(pod, contents)
    store = LandingStore(landing.url, pod.attempt, token_file)
    assert store.commit(ours) == ours
    landing.kill()
    assert visible(landing.root) == {**contents, "manifest.json": ours}


def progressed(root: Path, files: int, deliveries: list[Future[None]]) -> bool:
    """Say whether more files have begun to arrive, or all is done."""
    return len(files_below(root)) > files or all(delivery.done() for delivery in deliveries)


def test_what_dead_uploads_left_is_removed_after_an_hour(landing: LandingProcess, pod: Pod) -> None:
    with landing:
        connection = landing.half_sent(f"{pod.url}/rows.parquet", bytes(MB), pod.token)
        until(lambda: files_below(landing.root), "the beginning of the upload", every=0.01)
    connection.close()
    left = [landing.root / path for path in files_below(landing.root)]
    assert len(left) == 1
    with landing:
        assert left[0].exists()
    os.utime(left[0], (time.time() - 3700,) * 2)
    with landing:
        until(lambda: not left[0].exists(), "the removal")


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="mounting a small volume needs root"
)
def test_a_full_volume_is_said_before_it_is_full(
    landing: LandingProcess, pod: Pod, token_file: Path, tmp_path: Path
) -> None:
    mount = f'mount -t tmpfs -o size=16m tmpfs {landing.root} && exec "$@"'
    landing.before = ("unshare", "--mount", "sh", "-c", mount, "sh")
    landing.options = ("--reserve-bytes", str(4 * MB))
    with landing:
        assert landing.put(f"{pod.url}/a", bytes(8 * MB), pod.token).status == 201
        refused = landing.put(f"{pod.url}/b", bytes(5 * MB), pod.token)
        assert (refused.status, refused.reason) == (507, "ResultsFull")
        # What others have been promised is not promised twice.
        half_of_c = 3 * MB // 2
        with landing.half_sent(f"{pod.url}/c", bytes(3 * MB), pod.token) as half:
            inside = Path(f"/proc/{landing.pid}/root{landing.root}")
            until(lambda: half_of_c in map(len, files_below(inside).values()), "it", every=0.01)
            assert landing.put(f"{pod.url}/d", bytes(2 * MB), pod.token).status == 507
            # What has arrived of it is not counted as promised too.
            assert landing.put(f"{pod.url}/g", bytes(MB // 2), pod.token).status == 201
            half.shutdown(socket.SHUT_RDWR)
        until(lambda: len(files_below(inside)) == 2, "the end of the upload", every=0.01)
        assert landing.put(f"{pod.url}/d", bytes(2 * MB), pod.token).status == 201
        # The client tells it, once, as a failure of the results and not of itself.
        file = tmp_path / "file"
        file.write_bytes(bytes(5 * MB))
        store = LandingStore(landing.url, pod.attempt, token_file)
        with pytest.raises(ResultError, match="enlarge the volume") as full:
            store.put("e", file, hashlib.sha256(bytes(5 * MB)).hexdigest())
        assert full.value.reason == "ResultsFull"
        # The reserve is not for files, but for the manifests that complete them.
        contents = {"a": bytes(8 * MB), "d": bytes(2 * MB), "f": bytes(3 * MB // 2)}
        assert landing.put(f"{pod.url}/f", contents["f"], pod.token).status == 201
        ours = manifest(pod, contents)
        assert landing.put(f"{pod.node_url}/manifest.json", ours, pod.token).status == 201


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("unshare"), reason="mounting a small volume needs root"
)
def test_a_volume_that_others_fill_meanwhile_gives_507_too(
    landing: LandingProcess, pod: Pod
) -> None:
    mount = f'mount -t tmpfs -o size=4m tmpfs {landing.root} && exec "$@"'
    landing.before = ("unshare", "--mount", "sh", "-c", mount, "sh")
    landing.options = ("--reserve-bytes", "0")
    body = bytes(3 * MB)
    with landing:
        inside = Path(f"/proc/{landing.pid}/root{landing.root}")
        with landing.half_sent(f"{pod.url}/a", body, pod.token) as half:
            until(lambda: files_below(inside), "the upload", every=0.01)
            (inside / "other").write_bytes(bytes(MB + MB // 4))
            half.sendall(body[len(body) // 2 :])
            assert half.recv(100).startswith(b"HTTP/1.1 507")
        assert set(files_below(inside)) == {"other"}


def test_64_pis_at_once_on_one_core_in_bounded_memory(
    landing: LandingProcess, pods: Pods, tmp_path: Path
) -> None:
    landing.before = ("taskset", "--cpu-list", str(min(os.sched_getaffinity(0))))
    body = random.Random(1).randbytes(8 * MB)
    file = tmp_path / "rows.parquet"
    file.write_bytes(body)

    def deliver(pod: Pod) -> bytes:
        token = tmp_path / pod.name
        token.write_text(pod.token)
        store = LandingStore(landing.url, pod.attempt, token)
        store.put(file.name, file, hashlib.sha256(body).hexdigest())
        return store.commit(manifest(pod, {file.name: body}))

    fleet = pods.fleet(64)
    with landing, ThreadPoolExecutor(64) as pool:
        before = memory(landing.pid)
        committed = list(pool.map(deliver, fleet))
        # 512 MiB went through it.
        assert memory(landing.pid) - before < 64 * MB
    folders = [landing.root / pod.folder for pod in fleet]
    assert all((folder / file.name).read_bytes() == body for folder in folders)
    assert [(folder.parent / "manifest.json").read_bytes() for folder in folders] == committed


def memory(pid: int) -> int:
    """Return the peak of a process's resident memory in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) * 1024


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--results", "/nonexistent"), "not a directory"),
        (("--api-ca-file", "/nonexistent"), "/nonexistent"),
        (("--api-token-file", "/nonexistent"), "/nonexistent"),
    ],
)
def test_a_service_that_cannot_begin_says_why(
    landing: LandingProcess, options: tuple[str, ...], message: str
) -> None:
    landing.options = options
    with pytest.raises(AssertionError):
        landing.start()
    assert landing.stop() == 1
    assert [line["level"] for line in landing.log] == ["ERROR"]
    assert message in landing.log[0]["message"]


def test_prometheus_is_told_of_the_volume_and_of_what_arrives(
    service: LandingProcess, pod: Pod
) -> None:
    for token in (pod.token, "nonsense"):
        service.put(f"{pod.url}/rows.parquet", b"four", token)
    service.request("DELETE", f"{pod.url}/rows.parquet")
    told = service.request("GET", "/metrics").body.decode().splitlines()
    figures = dict(line.rsplit(" ", 1) for line in told if not line.startswith("#"))
    for answer in ("PUT 201", "PUT 401", "other 405"):
        method, status = answer.split()
        name = f'edge_etl_landing_answers_total{{method="{method}",status="{status}"}}'
        assert figures[name] == "1", answer
    assert figures["edge_etl_landing_received_bytes_total"] == "4"
    volume = shutil.disk_usage(service.root)
    assert figures["edge_etl_landing_volume_bytes"] == str(volume.total)
    assert 0 < int(figures["edge_etl_landing_volume_free_bytes"]) <= volume.total
