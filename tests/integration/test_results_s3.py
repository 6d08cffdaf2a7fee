"""What the edge program says to an S3 server, and what it makes of refusals."""

import hashlib
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from edge_etl_job.results import ResultError
from edge_etl_job.results.layout import Attempt
from edge_etl_job.results.patience import Retries
from edge_etl_job.results.s3 import Bucket, S3Store

from tests.support.cluster.pki import Authority
from tests.support.landing import PLACE, manifest
from tests.support.s3_server import S3Server, TestBucket, s3_serving, write_credentials

RUN = PLACE["run"]


@pytest.fixture
def bucket(s3_server: S3Server) -> TestBucket:
    return s3_server.bucket()


def store(bucket: TestBucket, credentials: Path | None = None, **changes: str) -> S3Store:
    place = Attempt(**{**PLACE, **changes})
    file = credentials or bucket.server.credentials
    return S3Store(Bucket.parse(bucket.location()), place, file, Retries(attempts=2, first=0))


def test_a_key_that_is_wrong_is_refused_and_said(bucket: TestBucket, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    write_credentials(credentials, "not-it")
    with pytest.raises(ResultError, match="SignatureDoesNotMatch") as refused:
        store(bucket, credentials).dataset_id()
    assert refused.value.reason == "ResultsUnauthorized"
    assert "not-it" not in refused.value.message
    assert bucket.files() == {}


def test_a_changed_key_is_taken_up(bucket: TestBucket, tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    write_credentials(credentials, "not-it")
    of = store(bucket, credentials)
    with pytest.raises(ResultError):
        of.dataset_id()
    shutil.copy(bucket.server.credentials, credentials)
    assert of.dataset_id()


def test_a_bucket_that_is_not_there_is_named(s3_server: S3Server) -> None:
    with pytest.raises(ResultError, match=r"bucket absent-bucket at .* NoSuchBucket") as refused:
        store(TestBucket(s3_server, "absent-bucket")).dataset_id()
    assert refused.value.reason == "ResultsUnavailable"


def test_a_server_that_is_away_is_named(tmp_path: Path) -> None:
    with s3_serving(tmp_path / "s3") as server:
        of = store(server.bucket())
        assert of.dataset_id()
    with pytest.raises(ResultError, match="does not answer") as refused:
        of.manifest(RUN)
    assert refused.value.reason == "ResultsUnavailable"


def test_a_clock_that_is_behind_is_set_by_the_servers(
    bucket: TestBucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Behind(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            return datetime.now(UTC) - timedelta(days=400)

    monkeypatch.setattr("edge_etl_job.results.s3.datetime", Behind)
    of = store(bucket)
    file = tmp_path / "rows.parquet"
    file.write_bytes(b"rows")
    of.put("rows.parquet", file, hashlib.sha256(b"rows").hexdigest())
    ours = manifest({"rows.parquet": b"rows"})
    assert of.commit(ours) == ours


def test_an_answer_that_got_lost_is_no_conflict(
    bucket: TestBucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The server has made the object, but the client must ask again."""
    of = store(bucket)
    send: Callable[..., object] = of._send
    lost: list[str] = []

    def losing(method: str, key: str, *rest: object, **options: object) -> object:
        answer = send(method, key, *rest, **options)
        if method == "PUT" and key not in lost:
            lost.append(key)
            answer.status = 503  # type: ignore[attr-defined]
        return answer

    monkeypatch.setattr(of, "_send", losing)
    file = tmp_path / "rows.parquet"
    file.write_bytes(b"rows")
    of.put("rows.parquet", file, hashlib.sha256(b"rows").hexdigest())
    ours = manifest({"rows.parquet": b"rows"})
    assert of.commit(ours) == ours
    assert len(lost) == 2


def test_over_tls_the_servers_certificate_must_be_of_the_named_authority(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    authority.create()
    authority.issue("s3", "/CN=s3", ["IP:127.0.0.1"])
    options = ("--cert", tmp_path / "pki/s3.crt", "--key", tmp_path / "pki/s3.key")
    with s3_serving(tmp_path / "s3", *options, scheme="https") as server:
        bucket = server.bucket()
        with pytest.raises(ResultError, match="CERTIFICATE_VERIFY_FAILED"):
            store(bucket).dataset_id()
        shutil.copy(authority.certificate, server.credentials.with_name("ca.crt"))
        assert store(bucket).dataset_id()
