"""The arguments of runs that are driven from here: ``local run`` and ``remote run``."""

import argparse
from pathlib import Path

from edge_etl_operator.cli import options


def add_local(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``local run``."""
    run = commands.add_parser(
        "run",
        help="run an EdgeETLJob on this machine",
        description="Run an EdgeETLJob on this machine: the same programs as processes instead of "
        "pods, one directory in the place of each node, Spark in local mode. As on a cluster, a "
        "second run reads only what is new. It runs once and at once, whatever spec.schedule and "
        "spec.suspend say.",
    )
    run.add_argument(
        "--node",
        action="append",
        required=True,
        metavar="NAME=DIR",
        help="a node, and the directory that stands for its source; may be given many times "
        "(spec.nodes.selector has no meaning here)",
    )
    run.add_argument(
        "--transform",
        type=Path,
        metavar="FILE",
        help="the file that stands for the ConfigMap of spec.edge.transform",
    )
    _driven(run, "local")


def add_remote(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add ``remote run``."""
    run = commands.add_parser(
        "run",
        help="run an EdgeETLJob on Pis that are in no cluster",
        description="Have the edge agents of some Pis run an EdgeETLJob, bring what they deliver, "
        "and merge it here with Spark in local mode. Agents that are out of reach count as nodes "
        "that are off: spec.nodes.minSuccess and offlinePolicy hold. It runs once and at once.",
    )
    run.add_argument(
        "--agent",
        action="append",
        required=True,
        metavar="NAME=URL",
        help="a Pi by its agent's own name, and where the agent is; may be given many times",
    )
    run.add_argument(
        "--token-file",
        action="append",
        default=[],
        metavar="[NAME=]FILE",
        help="a file with the token for an agent, or for all agents without one of their own",
    )
    run.add_argument("--ca", type=Path, metavar="FILE", help="who issued the agents' certificates")
    run.add_argument("--cert", type=Path, metavar="FILE", help="a client certificate (PEM)")
    run.add_argument("--key", type=Path, metavar="FILE", help="its key (PEM)")
    run.add_argument(
        "--patience",
        type=float,
        default=15.0,
        metavar="SECONDS",
        help="how long an agent may be out of reach before it counts as offline (15)",
    )
    _driven(run, "remote")


def _driven(run: argparse.ArgumentParser, module: str) -> None:
    """Add the arguments of a run that is driven from here, and the module that drives it."""
    run.set_defaults(module=module)
    run.add_argument("job", type=Path, metavar="JOB.yaml")
    run.add_argument(
        "--results",
        type=Path,
        required=True,
        metavar="DIR",
        help="where the results and the table go",
    )
    run.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="where logs, and the ledgers of local nodes, lie (default: .state in the results)",
    )
    run.add_argument(
        "--application",
        type=Path,
        metavar="FILE",
        help="the file that stands for the ConfigMap of spec.aggregate.application",
    )
    run.add_argument(
        "--replay",
        action="store_true",
        help="also read again what was rejected or quarantined before: by the rules of now",
    )
    options.output(run)
    run.add_argument(
        "--show", type=int, default=0, metavar="N", help="print the first N rows of the table"
    )
