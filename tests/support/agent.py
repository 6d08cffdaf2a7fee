"""The edge agent as a process, senders, and an independent reader of what it keeps."""

import csv
import getpass
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.support.cluster import packages
from tests.support.cluster.kube import until

JSON = "application/json"


@dataclass(frozen=True)
class Answer:
    """What the agent says to a request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)


def free_port() -> int:
    """Return a port that nobody has now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@dataclass
class AgentProcess:
    """An agent of a directory; it can be killed and started again."""

    root: Path
    configuration: dict[str, Any] = field(default_factory=dict)
    tokens: list[dict[str, Any]] | None = None
    port: int = field(default_factory=free_port)
    node: str = "pi-1"
    process: subprocess.Popen[bytes] | None = None

    @property
    def source(self) -> Path:
        return self.root / "source"

    def __enter__(self) -> Self:
        self.source.mkdir(parents=True, exist_ok=True)
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGKILL)

    def start(self) -> None:
        """Start it, and wait until it listens."""
        config = self.root / "agent.json"
        document: dict[str, Any] = {"trustClock": True, **self.configuration}
        document["rest"] = {"port": self.port, **document.get("rest", {})}
        config.write_text(json.dumps(document))
        command = [sys.executable, "-m", "edge_etl_agent", "--directory", str(self.source)]
        command += ["--node", self.node, "--config", str(config), "--host", "127.0.0.1"]
        if self.tokens is not None:
            (self.root / "tokens.json").write_text(json.dumps(self.tokens))
            command += ["--tokens", str(self.root / "tokens.json")]
        with self.log.open("ab") as log:
            begin = log.tell()
            self.process = subprocess.Popen(
                command, stderr=log, env=os.environ | {"PYTHONWARNINGS": "error"}
            )
        until(lambda: self._serving(begin), "the agent listens", every=0.02)

    def _serving(self, begin: int) -> bool:
        assert self.process
        content = self.log.read_bytes()[begin:].decode()
        assert self.process.poll() is None, content
        return '"serving"' in content

    @property
    def log(self) -> Path:
        return self.root / "agent.log"

    def stop(self, number: int = signal.SIGTERM) -> int:
        """End it by a signal; return its exit code."""
        assert self.process
        self.process.send_signal(number)
        return self.process.wait(timeout=60)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read())
        finally:
            connection.close()

    def send(self, body: object, stream: str = "readings", **headers: str) -> Answer:
        """Send readings as JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.request(
            "POST",
            f"/v1/readings?stream={stream}",
            json.dumps(body),
            {"Content-Type": JSON, **named},
        )

    def stored(self, stream: str = "readings") -> list[dict[str, str]]:
        """Return all rows of a stream."""
        return stored_rows(self.source / stream)


def stored_rows(folder: Path) -> list[dict[str, str]]:
    """Return what a reader that knows nothing of the agent finds in the files that jobs see."""
    found = []
    for path in sorted(folder.glob("[0-9]*.csv")):
        with path.open(newline="") as lines:
            found += list(csv.DictReader(lines, strict=True))
    return found


@dataclass(frozen=True)
class Encryption:
    """The files of a broker that asks for clients' certificates."""

    authority: Path
    certificate: Path
    key: Path

    def lines(self) -> str:
        return (
            f"cafile {self.authority}\ncertfile {self.certificate}\nkeyfile {self.key}\n"
            "require_certificate true\n"
        )


@dataclass
class Broker:
    """A Mosquitto that keeps its sessions on the disk; it can be killed and started again."""

    root: Path
    encryption: Encryption | None = None
    address: str = "127.0.0.1"
    """Where it listens; it can be asked there and at 127.0.0.1."""
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if not _mosquitto():
            packages.install("mosquitto")
        self.root.mkdir(parents=True, exist_ok=True)
        # As root it would become a user who cannot read the folder.
        text = f"user {getpass.getuser()}\n{self.configuration()}"
        (self.root / "mosquitto.conf").write_text(text)
        self.start()
        return self

    def configuration(self) -> str:
        """Return its mosquitto.conf."""
        return (
            f"listener {self.port} {self.address}\nallow_anonymous true\n"
            f"{self.encryption.lines() if self.encryption else ''}"
            f"persistence true\npersistence_location {self.root}/\nautosave_interval 1\n"
            "autosave_on_changes true\nmax_queued_messages 0\nlog_type error\n"
        )

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGKILL)

    def start(self) -> None:
        """Start it, and wait until it listens."""
        command = [_mosquitto() or "mosquitto", "-c", str(self.root / "mosquitto.conf")]
        self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        until(self._listens, "the broker listens", every=0.02)

    def _listens(self) -> bool:
        with socket.create_connection(("127.0.0.1", self.port)):
            return True

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it by a signal."""
        assert self.process
        self.process.send_signal(number)
        self.process.wait(timeout=60)


def passwords(file: Path, users: Mapping[str, str]) -> None:
    """Write the file of Mosquitto's users."""
    if not _mosquitto():
        packages.install("mosquitto")
    file.touch(mode=0o600)
    for name, password in users.items():
        subprocess.run(["mosquitto_passwd", "-b", file, name, password], check=True)


def _mosquitto() -> str | None:
    # Debian's users do not have the directory of services in their path.
    return shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin")
