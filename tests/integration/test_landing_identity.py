"""Who may write to the landing service, asked of a real API server with real tokens."""

import base64
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.support.cluster import ApiServer
from tests.support.cluster.kube import until
from tests.support.landing_process import (
    ACCOUNT,
    LandingProcess,
    Pod,
    Pods,
    audience,
    files_below,
    manifest,
)

Forge = Callable[[str, Path], str]


def claims_of(token: str) -> dict[str, object]:
    middle = token.split(".")[1]
    claims: dict[str, object] = json.loads(
        base64.urlsafe_b64decode(middle + "=" * (-len(middle) % 4))
    )
    return claims


def with_claims(token: str, claims: dict[str, object]) -> str:
    """Change what a token claims, and keep the signature, which then is wrong."""
    header, _, signature = token.split(".")
    middle = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{header}.{middle}.{signature}"


def signed(token: str, key: Path) -> str:
    """Sign a token as the API server does (ES256: r and s instead of openssl's DER, RFC 7518)."""
    signed_part = token.rpartition(".")[0]
    der = subprocess.run(
        ["openssl", "dgst", "-sha256", "-sign", str(key)],
        input=signed_part.encode(),
        capture_output=True,
        check=True,
    ).stdout
    r_end = 4 + der[3]
    r, s = der[4:r_end], der[r_end + 2 :]
    raw = b"".join(int.from_bytes(number).to_bytes(32) for number in (r, s))
    return f"{signed_part}.{base64.urlsafe_b64encode(raw).rstrip(b'=').decode()}"


def test_a_pod_delivers_and_commits_under_its_own_name(service: LandingProcess, pod: Pod) -> None:
    created = service.put(f"{pod.url}/rows.parquet", b"rows", pod.token)
    assert created.status == 201, created.body
    ours = manifest(pod, {"rows.parquet": b"rows"})
    assert service.put(f"{pod.node_url}/manifest.json", ours, pod.token).status == 201
    bearer = {"Authorization": f"Bearer {pod.token}"}
    read = service.request("GET", f"{pod.node_url}/manifest.json", bearer)
    assert (read.status, read.body) == (200, ours)
    dataset = f"/v1/results/{pod.attempt.namespace}/{pod.attempt.job}/dataset.json"
    first, second = (service.request("GET", dataset, bearer) for _ in range(2))
    assert first.status == 200
    assert first.body == second.body
    assert sorted(files_below(service.root)) == [
        f"{pod.attempt.folder}/dataset.json",
        f"{pod.attempt.node_folder}/{pod.attempt.attempt}/rows.parquet",
        f"{pod.attempt.node_folder}/manifest.json",
    ]
    committed = next(line for line in service.log if line["message"] == "committed")
    assert committed["attempt"] == pod.attempt.attempt


def refused_tokens(pods: Pods, pod: Pod, key: Path) -> dict[str, tuple[str | None, int]]:
    """Return tokens that must not let anybody write as the pod, and the status each gets."""
    other_node, sibling = pods.create("pi-2"), pods.create("pi-1")
    stranger = pods.create("pi-1", account="default")
    uid = pod.attempt.attempt
    claims = claims_of(pod.token)
    kubernetes = claims["kubernetes.io"]
    assert isinstance(kubernetes, dict)
    past = {**claims, "iat": 1_700_000_000, "nbf": 1_700_000_000, "exp": 1_700_000_600}
    moved = {**kubernetes, "node": {"name": "pi-1"}, "pod": {"name": pod.name, "uid": uid}}
    return {
        "none": (None, 401),
        "garbage": ("garbage", 401),
        "of the API server": (pods.token(pod.name, uid, "https://kubernetes.default.svc"), 401),
        "of another job": (pods.token(pod.name, uid, audience(pods.namespace, "other")), 401),
        "of another namespace": (pods.token(pod.name, uid, audience("other")), 401),
        "of another run": (
            pods.token(pod.name, uid, audience(pods.namespace, run="20261122-130000")),
            403,
        ),
        "of another node": (other_node.token, 403),
        "of another pod of the node": (sibling.token, 403),
        "of another service account": (stranger.token, 403),
        "of no pod": (pods.unbound(), 403),
        "of a signature that is not the API server's": (
            with_claims(other_node.token, {**claims, "kubernetes.io": moved}),
            401,
        ),
        "of the past": (signed(with_claims(pod.token, past), key), 401),
    }


def test_no_other_token_writes(
    service: LandingProcess, pods: Pods, pod: Pod, api_server: ApiServer
) -> None:
    key = api_server.control_plane.authority.account_key
    for what, (token, status) in refused_tokens(pods, pod, key).items():
        for url in (f"{pod.url}/rows.parquet", f"{pod.node_url}/manifest.json"):
            answer = service.put(url, manifest(pod, {}), token)
            if what == "of another pod of the node" and url.endswith("manifest.json"):
                # It may commit, but only an attempt of its own.
                assert answer.status == 422
                continue
            assert answer.status == status, f"a token {what}: {answer.body!r}"
            assert set(json.loads(answer.body)) == {"reason", "message"}
    assert files_below(service.root) == {}
    # What was signed as the API server signs, but is not of the past, counts: the key was right.
    claims = claims_of(pod.token)
    resigned = signed(with_claims(pod.token, claims), key)
    assert service.put(f"{pod.url}/rows.parquet", b"rows", resigned).status == 201


def test_a_refusal_is_logged_without_the_token(
    service: LandingProcess, pods: Pods, pod: Pod
) -> None:
    other = pods.create("pi-2")
    service.put(f"{pod.url}/rows.parquet", b"rows", other.token)
    refusals = [line for line in service.log if line["message"] == "refused"]
    assert [(line["status"], line["reason"]) for line in refusals] == [(403, "Forbidden")]
    assert "pi-2" in refusals[0]["detail"]
    text = service.log_file.read_text()
    assert other.token.split(".")[1] not in text
    assert other.token.split(".")[2] not in text


def test_reading_needs_a_token_of_the_node(service: LandingProcess, pods: Pods, pod: Pod) -> None:
    path = f"{pod.node_url}/manifest.json"
    own, other = ({"Authorization": f"Bearer {p.token}"} for p in (pod, pods.create("pi-2")))
    assert service.request("GET", path).status == 401
    assert service.request("GET", path, other).status == 403
    missing = service.request("GET", path, own)
    assert (missing.status, missing.reason) == (404, "NoManifest")
    # Of an earlier run too: the node looks up what became of its attempt there.
    earlier = path.replace(pod.attempt.run, "20261121-000000")
    assert service.request("GET", earlier, own).status == 404
    dataset = f"/v1/results/{pod.attempt.namespace}/{pod.attempt.job}"
    runs = f"{dataset}/nodes/{pod.attempt.node}/runs.json"
    assert service.request("GET", runs).status == 401
    assert service.request("GET", runs, other).status == 403
    assert service.request("GET", runs, own).status == 200


def test_a_deleted_pod_writes_no_more_once_it_is_forgotten(
    landing: LandingProcess, pods: Pods, pod: Pod
) -> None:
    pods.delete(pod)
    with landing:
        # The API server's own memory of tokens lasts ten seconds.
        until(
            lambda: landing.put(f"{pod.url}/a", b"", pod.token).status == 401,
            "the refusal of a deleted pod's token",
            timeout=30,
        )


def test_without_the_right_to_review_it_says_so_and_asks_to_come_back(
    landing: LandingProcess, pods: Pods, pod: Pod
) -> None:
    landing.token_file.write_text(
        pods.server.kubectl("create", "token", ACCOUNT, "-n", pods.namespace)
    )
    with landing:
        answer = landing.put(f"{pod.url}/rows.parquet", b"rows", pod.token)
        assert (answer.status, answer.reason) == (503, "ReviewUnavailable")
        assert answer.headers["Retry-After"] == "5"
        assert "tokenreviews" in json.loads(answer.body)["message"]
        # The token is read again for each review.
        landing.token_file.write_text(
            pods.server.kubectl("create", "token", "landing", "-n", "default")
        )
        assert landing.put(f"{pod.url}/rows.parquet", b"rows", pod.token).status == 201
