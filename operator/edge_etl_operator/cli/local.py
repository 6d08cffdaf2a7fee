"""``edge-etl local run``: a directory stands for each node."""

import argparse
import re
from pathlib import Path

from edge_etl_operator.cli import SPARK, UsageError, here
from edge_etl_operator.cli.local_nodes import EDGE, LocalNodes


def command(options: argparse.Namespace) -> int:
    """Run the job, print what happened, and return the exit code."""
    job = here.job_of(options)
    directories = _directories(options.node)
    own = job.spec.edge.transform
    transform = here.stands_for("spec.edge.transform", own, "--transform", options.transform)
    here.need(EDGE, SPARK)
    return here.run(job, LocalNodes(directories, transform, options.replay), options)


def _directories(arguments: list[str]) -> dict[str, Path]:
    """Parse NAME=DIR arguments."""
    nodes: dict[str, Path] = {}
    for argument in arguments:
        name, equals, directory = argument.partition("=")
        if not equals or not directory:
            raise UsageError(f"--node {argument}: NAME=DIR is needed, such as pi-1=/data/pi-1")
        if not re.fullmatch(here.NODE_NAME, name):
            raise UsageError(
                f"--node {argument}: the name must be lower-case letters, digits, '-' and '.'"
            )
        if name in nodes:
            raise UsageError(f"--node {argument}: {name} is given twice")
        if not Path(directory).is_dir():
            raise UsageError(f"--node {argument}: there is no directory {directory}")
        nodes[name] = Path(directory).resolve()
    return nodes
