"""The process of the landing service: its settings checked, its parts joined, its end."""

import argparse
import os
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from aiohttp import web

from edge_etl_job.errors import EdgeError
from edge_etl_job.landing.answers import log
from edge_etl_job.landing.limits import Limits
from edge_etl_job.landing.reviewer import ApiServer, CachedReviewer, KubernetesReviewer
from edge_etl_job.landing.service import Landing

# Within the 30 s that Kubernetes gives a pod: uploads under way may end, new ones go elsewhere.
_SHUTDOWN: Final = 25


def serve(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; EdgeError when it cannot begin."""
    root: Path = arguments.results
    if not root.is_dir() or not os.access(root, os.W_OK | os.X_OK):
        message = f"--results {root}: not a directory that this user may write to"
        raise EdgeError("ResultsUnavailable", message)
    reviewer = _reviewer(arguments)
    limits = Limits(
        file=arguments.max_file_bytes,
        uploads=arguments.max_uploads,
        reserve=arguments.reserve_bytes,
    )
    landing = Landing(root, CachedReviewer(reviewer), arguments.edge_service_account, limits)
    app = landing.application()

    async def reviewing(app: web.Application) -> AsyncIterator[None]:
        async with reviewer:
            log.info("serving", extra={"results": str(root), "port": arguments.port})
            yield
            log.info("ended")

    app.cleanup_ctx.append(reviewing)
    try:
        web.run_app(
            app,
            host=arguments.host,
            port=arguments.port,
            print=None,
            access_log=None,
            shutdown_timeout=_SHUTDOWN,
        )
    except OSError as error:
        message = f"cannot listen on port {arguments.port}: {error.strerror}"
        raise EdgeError("CannotListen", message) from error
    return 0


def _reviewer(arguments: argparse.Namespace) -> KubernetesReviewer:
    url = arguments.api_server or ApiServer.of_the_pod()
    if not url:
        message = "not in a pod: name the API server by --api-server, --api-ca-file and "
        raise EdgeError("NoApiServer", message + "--api-token-file")
    given = {"ca_file": arguments.api_ca_file, "token_file": arguments.api_token_file}
    server = ApiServer(url, **{name: file for name, file in given.items() if file})
    try:
        server.token_file.read_bytes()
        return KubernetesReviewer(server)
    except (OSError, ssl.SSLError) as error:
        raise EdgeError("NoApiServer", f"{server}: {error}") from error
