"""What the operator answers over HTTP: `/healthz` for the kubelet, `/metrics` for Prometheus."""

import json
import logging
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from edge_etl_operator import metrics

log = logging.getLogger(__name__)

Health = Callable[[], list[str]]
"""Returns what is wrong; nothing when the operator is alive."""


def serve(port: int, health: Health) -> ThreadingHTTPServer:
    """Answer on a port in a thread until the server is shut down."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            match self.path.partition("?")[0]:
                case "/healthz":
                    problems = health()
                    if problems:
                        log.warning("not healthy: %s", "; ".join(problems))
                    body = json.dumps({"problems": problems}).encode()
                    bad = HTTPStatus.SERVICE_UNAVAILABLE
                    self._answer(bad if problems else HTTPStatus.OK, "application/json", body)
                case "/metrics":
                    kind = "text/plain; version=0.0.4; charset=utf-8"
                    self._answer(HTTPStatus.OK, kind, metrics.page())
                case _:
                    self._answer(HTTPStatus.NOT_FOUND, "text/plain", b"/healthz or /metrics\n")

        def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing of each probe."""

    server = ThreadingHTTPServer(("", port), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="http", daemon=True).start()
    return server
