"""What several commands ask for on the command line."""

import argparse
from pathlib import Path
from typing import Any


def asking(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of what asks for a run in a cluster."""
    job(parser)
    cluster(parser)
    output(parser)
    parser.add_argument("--wait", action="store_true", help="wait until the run is over")
    parser.add_argument(
        "--follow", action="store_true", help="wait, and print what becomes of the run"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="SECONDS",
        help="how long to wait at most (default: as long as it takes)",
    )


def job(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    """Add the name of a job of the cluster."""
    few = "?" if optional else None
    completed(parser.add_argument("job", metavar="JOB", nargs=few, help="the EdgeETLJob's name"))


def completed(name: argparse.Action) -> None:
    """Have a shell complete the names of jobs; argcomplete looks for this attribute."""

    def names(**asked: Any) -> list[str]:
        from edge_etl_operator.cli.completion import job_names

        return job_names(**asked)

    name.completer = names  # type: ignore[attr-defined]


def cluster(parser: argparse.ArgumentParser, *, everywhere: bool = False) -> None:
    """Add what kubectl has too: which cluster, as whom, where."""
    group = parser.add_argument_group("cluster")
    group.add_argument("--kubeconfig", metavar="FILE", help="as kubectl takes it")
    group.add_argument("--context", metavar="NAME", help="of the kubeconfig")
    where = group.add_mutually_exclusive_group() if everywhere else group
    where.add_argument(
        "-n", "--namespace", metavar="NAME", help="the jobs' namespace (default: the context's)"
    )
    if everywhere:
        where.add_argument("-A", "--all-namespaces", action="store_true", help="of all namespaces")


def output(parser: argparse.ArgumentParser) -> None:
    """Add the choice of a document for programs, in place of text for people."""
    parser.add_argument(
        "-o", "--output", choices=("json", "yaml"), help="print a document and no text"
    )
    parser.add_argument(
        "--json", action="store_const", const="json", dest="output", help="the same as -o json"
    )


def bucket(parser: argparse.ArgumentParser) -> None:
    """Add how another key to a bucket is given."""
    parser.add_argument(
        "--s3-credentials",
        type=Path,
        metavar="FILE",
        help="another key to the bucket than that of the job's Secret, as AWS has it",
    )
