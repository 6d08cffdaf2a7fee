"""``edge-etl remote run``: the edge agents of Pis that are in no cluster have the job run."""

import argparse
import re
import ssl
from pathlib import Path
from urllib.parse import urlsplit

from edge_etl_operator.cli import SPARK, UsageError, here
from edge_etl_operator.cli.agents import Agent, trust
from edge_etl_operator.cli.remote_nodes import RemoteNodes


def command(options: argparse.Namespace) -> int:
    """Run the job, print what happened, and return the exit code."""
    job = here.job_of(options)
    if job.spec.edge.transform is not None:
        raise UsageError(
            f"{options.job}: spec.edge.transform: an agent runs no code of a job; this one is for "
            "a cluster, or for edge-etl local"
        )
    if bool(options.cert) != bool(options.key):
        raise UsageError("--cert and --key go together")
    try:
        trusted = trust(*map(_file, (options.ca, options.cert, options.key)))
    except ssl.SSLError as error:
        raise UsageError(f"--ca, --cert, --key: no certificates and key (PEM): {error}") from None
    urls = _urls(options.agent)
    tokens = tokens_of(options.token_file, urls)
    here.need(SPARK)
    agents = {name: Agent(url, tokens.get(name), trusted) for name, url in urls.items()}
    return here.run(job, RemoteNodes(agents, options.patience, options.replay), options)


def _urls(arguments: list[str]) -> dict[str, str]:
    """Parse NAME=URL arguments."""
    urls: dict[str, str] = {}
    for argument in arguments:
        name, _, url = argument.partition("=")
        if not url or not re.fullmatch(here.NODE_NAME, name):
            raise UsageError(
                f"--agent {argument}: NAME=URL is needed, such as pi-1=http://pi-1:8090"
            )
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"--agent {argument}: the URL must begin with http:// or https://")
        if name in urls:
            raise UsageError(f"--agent {argument}: {name} is given twice")
        urls[name] = url
    return urls


def tokens_of(arguments: list[str], urls: dict[str, str]) -> dict[str, str]:
    """Read [NAME=]FILE arguments; a file without a name is for all other agents."""
    tokens: dict[str, str] = {}
    for argument in arguments:
        name, equals, file = argument.partition("=")
        if equals and name not in urls:
            raise UsageError(f"--token-file {argument}: there is no --agent {name}=…")
        path = _file(Path(file if equals else argument))
        assert path  # noqa: S101 - a file was named
        token = path.read_text().strip()
        if not token or not token.isascii() or not token.isprintable() or " " in token:
            raise UsageError(f"--token-file {argument}: the file must hold one token and no more")
        for each in [name] if equals else urls.keys() - _named(arguments):
            tokens[each] = token
    return tokens


def _named(arguments: list[str]) -> set[str]:
    return {each.partition("=")[0] for each in arguments if "=" in each}


def _file(path: Path | None) -> Path | None:
    if path is not None and not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    return path
