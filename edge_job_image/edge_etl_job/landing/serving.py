"""The process of the landing service: its settings checked, its parts joined, its end."""

import argparse
import asyncio
import os
import signal
import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from aiohttp import web

from edge_etl_job.errors import EdgeError
from edge_etl_job.landing.limits import Limits
from edge_etl_job.landing.reports import ADDRESS, Reports
from edge_etl_job.landing.reviewer import ApiServer, CachedReviewer, KubernetesReviewer
from edge_etl_job.landing.service import Landing
from edge_etl_job.landing.tls import Certificate
from edge_etl_job.logs import log

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
    if (arguments.tls_certificate is None) != (arguments.tls_key is None):
        raise EdgeError("WrongUse", "--tls-certificate and --tls-key need each other")
    certificate = (
        Certificate(arguments.tls_certificate, arguments.tls_key) if arguments.tls_key else None
    )
    landing = Landing(root, CachedReviewer(reviewer), arguments.edge_service_account, limits)
    asyncio.run(_serve(landing, reviewer, certificate, arguments))
    return 0


async def _serve(
    landing: Landing,
    reviewer: KubernetesReviewer,
    certificate: Certificate | None,
    arguments: argparse.Namespace,
) -> None:
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ending.set)
    reports = Reports(arguments.results).application()
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(reviewer)
        if arguments.reports_port is not None:
            await _listening(stack, reports, ADDRESS, arguments.reports_port)
        tls = certificate.context if certificate else None
        site = await _listening(stack, landing.application(), arguments.host, arguments.port, tls)
        if certificate:
            renewing = asyncio.create_task(certificate.renewed())
            stack.callback(renewing.cancel)
        log.info("serving", extra={"port": arguments.port})
        await ending.wait()
        # aiohttp's own shutdown would ignore what still arrives of the bodies.
        await site.stop()
        await landing.drain(_SHUTDOWN)
    log.info("ended")


async def _listening(
    stack: AsyncExitStack,
    application: web.Application,
    host: str | None,
    port: int,
    tls: ssl.SSLContext | None = None,
) -> web.TCPSite:
    """Serve an application for as long as the stack is open."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    stack.push_async_callback(runner.cleanup)
    await runner.setup()
    site = web.TCPSite(runner, host, port, ssl_context=tls)
    try:
        await site.start()
    except OSError as error:
        message = f"cannot listen on port {port}: {error.strerror}"
        raise EdgeError("CannotListen", message) from error
    return site


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
