"""An S3 server for tests: Versity's gateway over a folder.

It refuses wrong signatures and digests, and evaluates conditions of puts under a lock of the key,
so that of two writers one wins.
"""

import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster.binaries import binary
from tests.support.cluster.kube import until
from tests.support.cluster.processes import kill, spawn

REGION = "eu-garden-1"
KEY_ID, SECRET = "tester", "not/a+secret="


@dataclass(frozen=True)
class S3Server:
    """A server that runs: its URL, its buckets as folders, and the file with the key to it."""

    endpoint: str
    root: Path
    credentials: Path

    def bucket(self) -> "TestBucket":
        """Make an empty bucket."""
        name = f"bucket-{secrets.token_hex(6)}"
        (self.root / name).mkdir()
        return TestBucket(self, name)


@dataclass(frozen=True)
class TestBucket:
    """A bucket that a test has for itself."""

    __test__ = False  # it is none of pytest's tests

    server: S3Server
    name: str

    @property
    def folder(self) -> Path:
        """Where the server keeps the objects: a file each, whose path is the key."""
        return self.server.root / self.name

    def location(self, prefix: str = "results") -> str:
        """Return the bucket as the programs are told of it."""
        query = f"endpoint={self.server.endpoint}&region={REGION}"
        return f"s3://{self.name}/{prefix}?{query}"

    def files(self) -> dict[str, bytes]:
        """Return all objects by key."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file() and not path.relative_to(self.folder).parts[0].startswith(".")
        }


@contextmanager
def s3_serving(
    folder: Path, *options: str | Path, scheme: str = "http", address: str = "127.0.0.1"
) -> Iterator[S3Server]:
    """Serve from a folder until the block ends; ``options`` are the gateway's own."""
    root, attributes = folder / "buckets", folder / "attributes"
    root.mkdir(parents=True)
    attributes.mkdir()
    credentials = folder / "credentials"
    write_credentials(credentials)
    with socket.create_server((address, 0)) as free:
        port = free.getsockname()[1]
    process = spawn(
        "versitygw",
        [
            binary("versitygw"), "--port", f"{address}:{port}", "--region", REGION,
            "--health", "/health", "--quiet", *options,
            "posix", "--sidecar", attributes, root,
        ],
        folder / "versitygw.log",
        {"ROOT_ACCESS_KEY": KEY_ID, "ROOT_SECRET_KEY": SECRET},
    )  # fmt: skip
    try:
        until(lambda: _listens(address, port), "the S3 server listens", every=0.05)
        yield S3Server(f"{scheme}://{address}:{port}", root, credentials)
    finally:
        kill([process])


def write_credentials(path: Path, secret: str = SECRET) -> None:
    """Write a key as AWS's programs keep theirs."""
    path.write_text(f"[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {secret}\n")


def _listens(address: str, port: int) -> bool:
    with socket.create_connection((address, port), timeout=1):
        return True
