"""What a token claims, what it allows, and how long a confirmation is remembered."""

import base64
import json
import re

import pytest
from edge_etl_job.landing.identity import Identity, authorise, bearer, claimed_run
from edge_etl_job.landing.reviewer import ApiServer, CachedReviewer
from edge_etl_job.results import ResultError
from edge_etl_job.results.layout import Attempt, Dataset, NodeRun

from tests.support.landing import ACCOUNT, PLACE, Known, audience, token

ATTEMPT = Attempt(**PLACE)
NODE_RUN = NodeRun(*(PLACE[part] for part in ("namespace", "job", "run", "node")))
DATASET = Dataset(PLACE["namespace"], PLACE["job"])
USER = f"system:serviceaccount:farm:{ACCOUNT}"
OURS = Identity(USER, PLACE["node"], PLACE["attempt"])


def raw_token(payload: bytes) -> str:
    return f"e30.{base64.urlsafe_b64encode(payload).rstrip(b'=').decode()}.c2ln"


@pytest.mark.parametrize(
    ("header", "expected"), [("Bearer abc", "abc"), ("bearer  abc ", "abc"), ("BEARER a.b", "a.b")]
)
def test_the_token_of_a_header(header: str, expected: str) -> None:
    assert bearer(header) == expected


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "abc"])
def test_a_header_without_a_token(header: str | None) -> None:
    with pytest.raises(ResultError) as refused:
        bearer(header)
    assert refused.value.reason == "Unauthenticated"


@pytest.mark.parametrize("claimed", [audience(), ["other", audience()]])
def test_the_run_that_a_token_claims(claimed: object) -> None:
    its = raw_token(json.dumps({"aud": claimed}).encode())
    assert claimed_run(its, DATASET) == PLACE["run"]


@pytest.mark.parametrize(
    "its",
    [
        "",
        "garbage",
        "a.b.c",
        "a.%%%.c",
        raw_token(b"{}"),
        raw_token(b"not JSON"),
        raw_token(b"[" * 100_000),
        raw_token(json.dumps({"aud": 7}).encode()),
        token("https://kubernetes.default.svc"),
        token("pi-edge-spark.io/farm/other/20261122-120000"),
        token("pi-edge-spark.io/farm/air-quality-2/20261122-120000"),
        token("pi-edge-spark.io/other/air-quality/20261122-120000"),
    ],
)
def test_what_is_no_token_of_the_job_is_refused_unasked(its: str) -> None:
    with pytest.raises(ResultError) as refused:
        claimed_run(its, DATASET)
    assert refused.value.reason == "Unauthenticated"


@pytest.mark.parametrize("run", ["", "../x", "20261122", "20261122-120000/x"])
def test_a_run_that_is_none_is_refused(run: str) -> None:
    with pytest.raises(ResultError):
        claimed_run(token(audience(run)), DATASET)


@pytest.mark.parametrize("place", [DATASET, NODE_RUN, ATTEMPT])
def test_a_pod_may_use_its_own_places(place: Dataset) -> None:
    authorise(OURS, place, ACCOUNT)


@pytest.mark.parametrize(
    ("place", "identity", "message"),
    [
        (DATASET, Identity("system:serviceaccount:farm:default", "pi-1", "a"), "not of system"),
        (DATASET, Identity("system:serviceaccount:other:edge", "pi-1", "a"), "not of system"),
        (DATASET, Identity("edge", "pi-1", "a"), "not of system"),
        (NODE_RUN, Identity(USER, "pi-2", PLACE["attempt"]), "the node pi-2"),
        (NODE_RUN, Identity(USER, None, None), "the node None"),
        (ATTEMPT, Identity(USER, "pi-2", PLACE["attempt"]), "the node pi-2"),
        (ATTEMPT, Identity(USER, "pi-1", "another-pod"), "the pod another-pod"),
        (ATTEMPT, Identity(USER, "pi-1", None), "the pod None"),
    ],
)
def test_and_no_others(place: Dataset, identity: Identity, message: str) -> None:
    with pytest.raises(ResultError, match=re.escape(message)) as refused:
        authorise(identity, place, ACCOUNT)
    assert refused.value.reason == "Forbidden"


class Clock:
    """A wall clock and a monotonic clock that go on together when told."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def cached(reviewer: Known, clock: Clock, size: int = 10) -> CachedReviewer:
    return CachedReviewer(reviewer, seconds=60, size=size, now=clock, clock=clock)


async def test_a_confirmed_token_is_not_asked_about_again_for_a_minute() -> None:
    its, clock = token("a"), Clock()
    reviewer = Known(**{its: OURS})
    cache = cached(reviewer, clock)
    assert [await cache.review(its, "a") for _ in range(3)] == [OURS] * 3
    assert reviewer.asked == [(its, "a")]
    clock.seconds += 60
    del reviewer.known[its]
    assert await cache.review(its, "a") is None


async def test_a_confirmation_is_for_one_audience() -> None:
    its, clock = token("a"), Clock()
    reviewer = Known(**{its: OURS})
    cache = cached(reviewer, clock)
    await cache.review(its, "a")
    await cache.review(its, "b")
    assert reviewer.asked == [(its, "a"), (its, "b")]


async def test_an_expired_token_is_not_remembered() -> None:
    clock = Clock()
    its = token("a", exp=clock.seconds + 10)
    reviewer = Known(**{its: OURS})
    cache = cached(reviewer, clock)
    await cache.review(its, "a")
    clock.seconds += 10
    await cache.review(its, "a")
    await cache.review(its, "a")
    assert len(reviewer.asked) == 3


async def test_refusals_are_not_remembered() -> None:
    its, reviewer = token("a"), Known()
    cache = cached(reviewer, Clock())
    assert await cache.review(its, "a") is None
    reviewer.known[its] = OURS
    assert await cache.review(its, "a") == OURS


async def test_the_memory_is_bounded() -> None:
    tokens = [token("a", number=number) for number in range(5)]
    reviewer = Known(**dict.fromkeys(tokens, OURS))
    cache = cached(reviewer, Clock(), size=2)
    for its in tokens:
        await cache.review(its, "a")
    reviewer.asked.clear()
    for its in reversed(tokens):
        await cache.review(its, "a")
    assert [its for its, _ in reviewer.asked] == list(reversed(tokens[:3]))


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("10.43.0.1", "https://10.43.0.1:443"),
        ("fd00::1", "https://[fd00::1]:443"),
        (None, None),
    ],
)
def test_where_the_api_server_is(
    monkeypatch: pytest.MonkeyPatch, host: str | None, url: str | None
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_PORT", raising=False)
    if host is None:
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    else:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    assert ApiServer.of_the_pod() == url
