"""The commands that only look: ``probe`` at a node, ``inspect`` at files; nothing is delivered."""

import argparse
import sys
from pathlib import Path

import msgspec

from edge_etl_job.errors import EdgeError
from edge_etl_job.inspection import inspect
from edge_etl_job.job import load_job
from edge_etl_job.probe import encoded, probe


def run(arguments: list[str]) -> int:
    """Print what there is to see, as JSON; return the exit code."""
    options = _parser().parse_args(arguments)
    try:
        content = _seen(options) if options.command == "probe" else _inspected(options)
    except EdgeError as error:
        print(error.message, file=sys.stderr)
        return 1
    sys.stdout.buffer.write(content + b"\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(prog="edge_etl_job")
    commands = result.add_subparsers(dest="command", required=True)
    look = commands.add_parser("probe", help="look at this node, and at a sample of its files")
    look.add_argument("--job", type=Path, required=True, help="the job document (JSON)")
    look.add_argument("--node", required=True, help="this node's name")
    look.add_argument("--source", type=Path, required=True, help="directory of the CSV files")
    look.add_argument("--source-on-node", type=Path, help="where it lies on the node, for messages")
    look.add_argument("--work", type=Path, required=True, help="directory for temporary files")
    look.add_argument("--answer", type=Path, help="file that the answer is written to as well")
    draft = commands.add_parser("inspect", help="find out what CSV files hold, without a schema")
    draft.add_argument("files", type=Path, nargs="+", help="CSV files")
    return result


def _seen(options: argparse.Namespace) -> bytes:
    job, place = load_job(options.job), options.source_on_node
    content = encoded(probe(job, options.node, options.source, options.work, place=place))
    if options.answer is not None:
        options.answer.write_bytes(content)
    return content


def _inspected(options: argparse.Namespace) -> bytes:
    return msgspec.json.encode(inspect(options.files))
