"""The command line: ``python -m edge_etl_agent --directory DIR``."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edge_etl_job.errors import EdgeError
from edge_etl_job.logs import log


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    result = argparse.ArgumentParser(
        prog="edge_etl_agent", description="Take readings in over REST and MQTT, and keep them."
    )
    result.add_argument(
        "--directory", type=Path, required=True, help="where the segments lie: in a source"
    )
    result.add_argument(
        "--source", type=Path, help="the source that jobs read (default: the directory)"
    )
    result.add_argument("--state", type=Path, help="the ledgers of this node's edge pods")
    result.add_argument("--node", default="", help="this node's name")
    result.add_argument("--config", type=Path, help="the configuration (JSON)")
    result.add_argument("--tokens", type=Path, help="who may send (JSON); without it everybody")
    result.add_argument("--host", help="the address to listen on (default: all)")
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; return the exit code."""
    options = parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    log.configure(service="agent", **({"node": options.node} if options.node else {}))
    try:
        directory: Path = options.directory
        if not directory.is_dir() or not os.access(directory, os.W_OK | os.X_OK):
            message = f"--directory {directory}: not a directory that this user may write to"
            raise EdgeError("DirectoryUnavailable", message)
        try:
            from edge_etl_agent.serving import serve
        except ModuleNotFoundError as error:
            message = f"{error.name} is missing: the agent needs the compiled engine (make engine)"
            raise EdgeError("EngineMissing", message) from error

        serve(options)
    except EdgeError as error:
        log.error(error.message, extra={"reason": error.reason})
        return 1
    return 0
