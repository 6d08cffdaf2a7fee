"""The landing service's certificate: what is wrong with it, and what becomes of a renewed one."""

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from edge_etl_job.errors import EdgeError
from edge_etl_job.landing.tls import Certificate
from edge_etl_job.logs import log

from tests.support.cluster.pki import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    made = Authority(tmp_path_factory.mktemp("pki") / "authority")
    made.create()
    for name in ("first", "second"):
        made.issue(name, f"/CN={name}", ["DNS:landing"])
    return made


@pytest.fixture
def mounted(authority: Authority, tmp_path: Path) -> Path:
    """Give a folder as the kubelet mounts it, with the first certificate."""
    put(authority, tmp_path, "first")
    return tmp_path


def put(authority: Authority, folder: Path, name: str) -> None:
    """Let the files be others, at once, as the kubelet does it."""
    for source, file in ((authority.cert(name), "tls.crt"), (authority.key(name), "tls.key")):
        (folder / "new").write_bytes(source.read_bytes())
        (folder / "new").replace(folder / file)


def certificate(folder: Path) -> Certificate:
    return Certificate(folder / "tls.crt", folder / "tls.key")


async def shown(certificate: Certificate, authority: Authority) -> str:
    """Return the name in the certificate that a client is shown."""
    server = await asyncio.start_server(
        lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=certificate.context
    )
    async with server:
        port = server.sockets[0].getsockname()[1]
        trusting = ssl.create_default_context(cafile=authority.certificate)
        _, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=trusting, server_hostname="landing"
        )
        subject = writer.get_extra_info("peercert")["subject"]
        writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()
    return str(dict(pair for part in subject for pair in part)["commonName"])


def test_a_renewed_certificate_is_taken_up(mounted: Path, authority: Authority) -> None:
    async def scene() -> None:
        of_ours = certificate(mounted)
        renewing = asyncio.create_task(of_ours.renewed(every=0.005))
        assert await shown(of_ours, authority) == "first"
        put(authority, mounted, "second")
        async with asyncio.timeout(10):
            while await shown(of_ours, authority) != "second":
                await asyncio.sleep(0.005)
        renewing.cancel()

    asyncio.run(scene())


def test_the_old_one_stays_when_the_new_one_is_no_use(
    mounted: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "warning", lambda message, error: said.append(message % error))

    async def scene() -> None:
        of_ours = certificate(mounted)
        renewing = asyncio.create_task(of_ours.renewed(every=0.005))
        # The second's certificate without its key.
        (mounted / "tls.crt").write_bytes(authority.cert("second").read_bytes())
        async with asyncio.timeout(10):
            while not said:
                await asyncio.sleep(0.005)
        assert await shown(of_ours, authority) == "first"
        renewing.cancel()

    asyncio.run(scene())
    assert said[0].startswith("keeping the old certificate: ")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda folder: (folder / "tls.key").unlink(), "No such file"),
        (lambda folder: (folder / "tls.crt").write_text("no certificate"), "PEM"),
        (lambda folder: (folder / "tls.key").write_bytes(b""), "PEM"),
    ],
    ids=["no key", "not PEM", "empty key"],
)
def test_files_that_are_no_use(mounted: Path, wrong: object, said: str) -> None:
    assert callable(wrong)
    wrong(mounted)
    with pytest.raises(EdgeError, match=said) as refused:
        certificate(mounted)
    assert refused.value.reason == "CertificateInvalid"
    assert str(mounted / "tls.crt") in refused.value.message
