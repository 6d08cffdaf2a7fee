"""The ``edge-etl`` command.

Exit codes: 0 done, 1 the run failed (the reason is shown), 2 wrong usage or wrong input.
"""

import argparse
import subprocess
import sys
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from edge_etl_operator.validation import InvalidJobError, load_job
from edge_etl_operator.yaml_reader import YamlError

DONE: Final = 0
FAILED: Final = 1
WRONG_INPUT: Final = 2
SPARK: Final = "edge_etl_spark"
"""The module of the aggregation."""
INTERRUPTED: Final = 130
"""What a shell reports of a program that Ctrl-C ended."""


class UsageError(ValueError):
    """A wrong argument; the message says what is right."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["table"]:
        return _table(given)
    options = _parser().parse_args(given)
    try:
        return _COMMANDS[options.command](options)
    except (UsageError, InvalidJobError, YamlError) as error:
        print(error, file=sys.stderr)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
    except KeyboardInterrupt:
        goes_on = options.command == "run"
        said = "the run goes on in the cluster" if goes_on else "nothing half is left behind"
        print(f"interrupted; {said}", file=sys.stderr)
        return INTERRUPTED
    return WRONG_INPUT


def _table(arguments: Sequence[str]) -> int:
    """Hand over to the aggregation, whose the table is."""
    if find_spec(SPARK) is None:
        print(f"edge-etl table needs the program {SPARK} in this environment", file=sys.stderr)
        return WRONG_INPUT
    return subprocess.run([sys.executable, "-m", SPARK, *arguments], check=False).returncode


def _validate(options: argparse.Namespace) -> int:
    for path in options.job:
        metadata = load_job(path)["metadata"]
        name = f"{metadata.get('namespace', 'default')}/{metadata['name']}"
        print(f"{path}: EdgeETLJob {name} is valid")
    return DONE


def _cluster_run(options: argparse.Namespace) -> int:
    from edge_etl_operator.cli import cluster_run

    return DONE if cluster_run.command(options) else FAILED


def _local_run(options: argparse.Namespace) -> int:
    # What only this command needs takes a while to import.
    from edge_etl_operator.cli import local

    return DONE if local.command(options) else FAILED


def _quarantine(options: argparse.Namespace) -> int:
    from edge_etl_operator.cli import quarantine

    return DONE if quarantine.command(options) else FAILED


_COMMANDS: Final[dict[str, Callable[[argparse.Namespace], int]]] = {
    "validate": _validate,
    "run": _cluster_run,
    "local": _local_run,
    "quarantine": _quarantine,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edge-etl",
        description="Clean sensor readings where they lie, and merge them into one table.",
        epilog="Exit codes: 0 done; 1 the run failed; 2 wrong usage or wrong input.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    validate = commands.add_parser(
        "validate",
        help="check EdgeETLJobs as the API server would",
        description="Check EdgeETLJobs as the API server would, in the same words.",
    )
    validate.add_argument("job", type=Path, nargs="+", metavar="JOB.yaml")

    commands.add_parser("table", help="look after a published table: versions, verify, …")
    now = commands.add_parser(
        "run",
        help="run an EdgeETLJob in the cluster now",
        description="Ask for a run of an EdgeETLJob that is in the cluster, scheduled or not. With "
        "concurrencyPolicy Forbid it begins when a run that goes on is over.",
    )
    _asking_arguments(now)
    _quarantine_arguments(
        commands.add_parser("quarantine", help="rejected rows and quarantined files: list, show, …")
    )
    local = commands.add_parser("local", help="work on this machine, without a cluster")
    run = local.add_subparsers(dest="local", required=True, metavar="COMMAND").add_parser(
        "run",
        help="run an EdgeETLJob on this machine",
        description="Run an EdgeETLJob on this machine: the same programs as processes instead of "
        "pods, one directory in the place of each node, Spark in local mode. As on a cluster, a "
        "second run reads only what is new. It runs once and at once, whatever spec.schedule and "
        "spec.suspend say.",
    )
    run.add_argument("job", type=Path, metavar="JOB.yaml")
    run.add_argument(
        "--node",
        action="append",
        required=True,
        metavar="NAME=DIR",
        help="a node, and the directory that stands for its source; may be given many times "
        "(spec.nodes.selector has no meaning here)",
    )
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
        help="where the nodes' ledgers and logs lie (default: .state in the results)",
    )
    run.add_argument(
        "--transform",
        type=Path,
        metavar="FILE",
        help="the file that stands for the ConfigMap of spec.edge.transform",
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
    run.add_argument("--json", action="store_true", help="print the outcome as one JSON document")
    run.add_argument(
        "--show", type=int, default=0, metavar="N", help="print the first N rows of the table"
    )
    return parser


def _quarantine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the commands about what was refused."""
    commands = parser.add_subparsers(dest="quarantine", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="rejected rows and quarantined files, by file")
    rows = commands.add_parser("show", help="the rejected rows themselves")
    for command in (listing, rows):
        command.add_argument("job", metavar="JOB", help="the job's name")
        command.add_argument("-n", "--namespace", default="default", help="of the job")
        command.add_argument(
            "--results", type=Path, required=True, metavar="DIR", help="root of the results"
        )
        command.add_argument("--node", help="only of this node")
        command.add_argument("--json", action="store_true", help="print JSON")
    rows.add_argument("--reason", help="only rows rejected for this reason")
    rows.add_argument("--limit", type=int, default=20, metavar="N", help="rows to show (20)")
    replay = commands.add_parser(
        "replay",
        help="have a cluster read again what was rejected",
        description="Have a cluster read again, in a run of its own, exactly the rows that were "
        "rejected, and the quarantined files, by the rules of now. Without a cluster: edge-etl "
        "local run --replay.",
    )
    _asking_arguments(replay)


def _asking_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of what asks for a run in a cluster."""
    parser.add_argument("job", metavar="JOB", help="the resource's name")
    parser.add_argument(
        "-n", "--namespace", metavar="NAME", help="its namespace (default: the context's)"
    )
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
