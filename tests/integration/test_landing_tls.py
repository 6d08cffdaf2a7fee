"""The landing service over HTTPS, as its process, with a real API server's tokens."""

import http.client
from pathlib import Path

import pytest
from edge_etl_job.results import ResultError
from edge_etl_job.results.landing_client import LandingStore
from edge_etl_job.results.patience import Retries

from tests.support.cluster.pki import Authority
from tests.support.landing_process import LandingProcess, Pod


def made(folder: Path, *names: str) -> Authority:
    authority = Authority(folder)
    authority.create()
    authority.issue("landing", "/CN=landing", names)
    return authority


def test_only_a_service_that_is_known_gets_token_and_results(
    landing: LandingProcess, pod: Pod, tmp_path: Path
) -> None:
    ours, other = (made(tmp_path / name, "IP:127.0.0.1") for name in ("ours", "other"))
    certificate = ("--tls-certificate", str(ours.cert("landing")))
    landing.options = (*certificate, "--tls-key", str(ours.key("landing")))
    landing.ca_file = ours.certificate
    token_file = tmp_path / "token"
    token_file.write_text(pod.token)

    def store(ca_file: Path | None, url: str = "") -> LandingStore:
        patience = Retries(attempts=2, first=0.01)
        return LandingStore(url or landing.url, pod.attempt, token_file, patience, ca_file=ca_file)

    with landing:
        assert store(ours.certificate).dataset_id() == store(ours.certificate).dataset_id()
        for ca_file in (None, other.certificate):
            with pytest.raises(ResultError, match="is not trusted") as refused:
                store(ca_file).dataset_id()
            assert refused.value.reason == "LandingUnreachable"
        with pytest.raises(ResultError, match="is not trusted"):
            store(ours.certificate, f"https://localhost:{landing.port}").dataset_id()
        plain = http.client.HTTPConnection("127.0.0.1", landing.port, timeout=30)
        plain.request("GET", "/readyz")
        with pytest.raises(ConnectionError):
            plain.getresponse()


def test_a_ca_that_is_not_there(pod: Pod, tmp_path: Path) -> None:
    with pytest.raises(ResultError, match=r"ca\.crt is not there"):
        LandingStore("https://landing", pod.attempt, None, ca_file=tmp_path / "ca.crt")
