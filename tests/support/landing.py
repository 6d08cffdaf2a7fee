"""A landing service in this process, and manifests for it: for tests of either side."""

import asyncio
import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from aiohttp import web
from edge_etl_job.landing.identity import Identity, TokenReviewer
from edge_etl_job.landing.limits import Limits
from edge_etl_job.landing.service import Landing

ACCOUNT = "edge"
PLACE = {
    "namespace": "farm",
    "job": "air-quality",
    "run": "20261122-120000",
    "node": "pi-1",
    "attempt": "6f1c1b1e-0000-4000-8000-000000000001",
}


def token(audience: str, **claims: object) -> str:
    """Make an unsigned token: what counts is what the reviewer says of it."""
    body = json.dumps({"aud": [audience], "exp": 4102444800, **claims}).encode()
    middle = base64.urlsafe_b64encode(body).rstrip(b"=").decode()
    return f"e30.{middle}.c2ln"


def audience(run: str = PLACE["run"], job: str = PLACE["job"]) -> str:
    """Return the audience of the tokens of a job's run."""
    return f"pi-edge-spark.io/{PLACE['namespace']}/{job}/{run}"


class Known:
    """A reviewer that knows some tokens, and counts what it is asked."""

    def __init__(self, **known: Identity) -> None:
        self.known = known
        self.asked: list[tuple[str, str]] = []

    async def review(self, token: str, audience: str) -> Identity | None:
        """Return whose token it is."""
        self.asked.append((token, audience))
        return self.known.get(token)


@contextmanager
def serving(root: Path, reviewer: TokenReviewer, limits: Limits | None = None) -> Iterator[str]:
    """Serve on a free port of this machine from another thread; give the URL."""
    started = threading.Event()
    loop = asyncio.new_event_loop()
    urls: list[str] = []
    ended = asyncio.Event()

    async def serve() -> None:
        app = Landing(root, reviewer, ACCOUNT, limits or Limits()).application()
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            host, port = runner.addresses[0][:2]
            urls.append(f"http://{host}:{port}")
            started.set()
            await ended.wait()
        finally:
            started.set()
            await runner.cleanup()

    def run() -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as loop_runner:
            loop_runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    started.wait()
    try:
        yield urls[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()


def manifest(contents: dict[str, bytes], /, **changes: object) -> bytes:
    """Return what a commit needs of a node manifest."""
    listed = [
        {"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in contents.items()
    ]
    document = {"kind": "NodeManifest", **PLACE, "files": listed, **changes}
    return json.dumps(document).encode()
