"""A plain-HTTP door to an API server that counts writes and can do something at each of them.

With it a test kills the operator at exact moments: just before a write reaches the API server, or
just after the API server has done it and before the operator hears of it.
"""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal

import kubernetes.client
import kubernetes.config
import urllib3
import yaml

Moment = Literal["before", "after"]
_WRITES = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@dataclass(frozen=True)
class Write:
    """One write: what was asked for and how the API server answered, 0 if it was never asked."""

    method: str
    path: str
    status: int


@dataclass
class ApiProxy:
    """Passes requests on; `at_write` is called before and after each write.

    `refuse` may give an HTTP status with which a request is answered instead.

    A write is dropped when `at_write` says so (returns True) before it; afterwards it is called
    for those that the API server did, not for those that it refused.
    """

    kubeconfig: Path
    folder: Path
    refuse: Callable[[str, str], int] = lambda method, path: 0
    at_write: Callable[[Moment, str, str], bool] = lambda moment, method, path: False
    writes: list[Write] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)

    def __enter__(self) -> "ApiProxy":
        configuration = kubernetes.client.Configuration()
        kubernetes.config.load_kube_config(  # type: ignore[no-untyped-call]
            str(self.kubeconfig), client_configuration=configuration
        )
        self.host = configuration.host
        self.pool = urllib3.PoolManager(
            ca_certs=configuration.ssl_ca_cert,
            cert_file=configuration.cert_file,
            key_file=configuration.key_file,
            cert_reqs="CERT_REQUIRED",
            maxsize=50,
            retries=False,
        )
        self.token = configuration.get_api_key_with_prefix("BearerToken")
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        self.pool.clear()

    def client_config(self) -> Path:
        """Write a kubeconfig that leads here."""
        path = self.folder / "proxy.kubeconfig"
        address = f"http://127.0.0.1:{self._server.server_port}"
        named: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "proxy", "cluster": {"server": address}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "none"}}],
            "users": [{"name": "none", "user": {}}],
            "current-context": "proxy",
        }
        path.write_text(yaml.safe_dump(named))
        return path


class _Handler(BaseHTTPRequestHandler):
    proxy: ApiProxy
    protocol_version = "HTTP/1.1"

    def _pass(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body = self.rfile.read(length) if length else None
        if status := self.proxy.refuse(self.command, self.path):
            self._refuse(status)
            return
        write = self.command in _WRITES
        if write and self.proxy.at_write("before", self.command, self.path):
            self.proxy.writes.append(Write(self.command, self.path, 0))
            self.close_connection = True
            return
        if not write:
            self.proxy.reads.append(self.path)
        response = self._ask(body)
        if write:
            self.proxy.writes.append(Write(self.command, self.path, response.status))
            if response.status < 300:
                self.proxy.at_write("after", self.command, self.path)
        try:
            self._answer(response)
        except (OSError, urllib3.exceptions.HTTPError):
            self.close_connection = True  # the client was killed, or the API server ended
        finally:
            response.close()

    def _refuse(self, status: int) -> None:
        said = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": status}
        body = json.dumps({**said, "reason": "Test", "message": "refused by the test"}).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _ask(self, body: bytes | None) -> urllib3.BaseHTTPResponse:
        kept = ("accept", "content-type")
        headers = {key: value for key, value in self.headers.items() if key.lower() in kept}
        if self.proxy.token:
            headers["Authorization"] = self.proxy.token
        return self.proxy.pool.request(
            self.command,
            f"{self.proxy.host}{self.path}",
            body=body,
            headers=headers,
            preload_content=False,
            timeout=urllib3.Timeout(connect=5, read=400),
        )

    def _answer(self, response: urllib3.BaseHTTPResponse) -> None:
        self.send_response(response.status)
        self.send_header("Content-Type", response.headers.get("Content-Type", ""))
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while chunk := response.read1(65536):
            self.wfile.write(f"{len(chunk):x}\r\n".encode() + chunk + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    # The names are those that http.server calls.
    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _pass  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base's name
        """Say nothing."""
