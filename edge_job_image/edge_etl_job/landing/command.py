"""``python -m edge_etl_job landing``: the landing service as a process."""

import argparse
from pathlib import Path

from edge_etl_job.errors import EdgeError
from edge_etl_job.landing.limits import Limits
from edge_etl_job.logs import log


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the service's options."""
    limits = Limits()
    parser.description = "Take over HTTP what edge pods deliver, and store it below a directory."
    parser.add_argument(
        "--results", type=Path, required=True, metavar="DIR", help="the root of the results"
    )
    parser.add_argument("--host", help="the address to listen on (default: all)")
    parser.add_argument("--port", type=int, default=8080, help="default: %(default)s")
    parser.add_argument(
        "--reports-port",
        type=int,
        metavar="PORT",
        help="where to serve the runs' reports, on 127.0.0.1 alone (default: nowhere)",
    )
    parser.add_argument(
        "--edge-service-account",
        required=True,
        metavar="NAME",
        help="the service account of edge pods, in each job's namespace",
    )
    parser.add_argument(
        "--tls-certificate", type=Path, metavar="FILE", help="its chain (PEM): HTTPS, not HTTP"
    )
    parser.add_argument("--tls-key", type=Path, metavar="FILE", help="the certificate's key (PEM)")
    for option, default, text in (
        ("--max-file-bytes", limits.file, "the largest file"),
        ("--max-uploads", limits.uploads, "how many uploads to receive at a time"),
        ("--reserve-bytes", limits.reserve, "how much of the volume to keep free"),
    ):
        parser.add_argument(
            option, type=int, default=default, metavar="N", help=f"{text} (default: %(default)s)"
        )
    outside = parser.add_argument_group("outside of a pod")
    outside.add_argument("--api-server", metavar="URL", help="the API server that reviews tokens")
    outside.add_argument("--api-ca-file", type=Path, metavar="FILE", help="its CA certificate")
    outside.add_argument("--api-token-file", type=Path, metavar="FILE", help="the token to use")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    log.configure(service="landing")
    try:
        from edge_etl_job.landing.serving import serve
    except ModuleNotFoundError as error:
        message = f"{error.name} is missing, install edge-etl-job[landing]"
        log.error(message, extra={"reason": "NotInstalled"})
        return 1
    try:
        return serve(arguments)
    except EdgeError as error:
        log.error(error.message, extra={"reason": error.reason})
        return 1
