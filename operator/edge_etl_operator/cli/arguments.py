"""The arguments of all commands. Nothing here imports what only one command needs."""

import argparse
import sys
from pathlib import Path
from typing import Final

from edge_etl_operator.cli import here_arguments, options

EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 the run failed, or doctor found a problem; 2 wrong usage or wrong "
    "input; 3 the cluster cannot be reached or refuses; 130 ended by Ctrl-C."
)


def parser() -> argparse.ArgumentParser:
    """Return the parser; each command names the module that does it in ``module``."""
    result = argparse.ArgumentParser(
        prog=_called(),
        description="Clean sensor readings where they lie, and merge them into one table.",
        epilog=EXIT_CODES,
    )
    commands = result.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _of_the_cluster(commands)
    _of_files(commands)
    return result


def _called() -> str:
    """Return the name by which this program was called: kubectl finds it as a plugin."""
    name = Path(sys.argv[0]).name
    return "kubectl edgeetl" if name.startswith("kubectl-edgeetl") else "edge-etl"


def _of_the_cluster(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    status = commands.add_parser(
        "status",
        help="what becomes of a run: its stages, and each Pi",
        description="Show a job's run on one screen: its stages, each Pi with rows, rate and "
        "rejected share, and why it waits or failed. Without a name, all jobs in short.",
    )
    options.job(status, optional=True)
    options.cluster(status, everywhere=True)
    options.output(status)
    status.add_argument("-w", "--watch", action="store_true", help="show it live, until Ctrl-C")
    status.set_defaults(module="status", cluster=True)

    run = commands.add_parser(
        "run",
        help="run an EdgeETLJob in the cluster now",
        description="Ask for a run of an EdgeETLJob that is in the cluster, scheduled or not. With "
        "concurrencyPolicy Forbid it begins when a run that goes on is over.",
    )
    options.asking(run)
    run.set_defaults(module="cluster_run", cluster=True)

    logs = commands.add_parser(
        "logs",
        help="what the pods of a run wrote, or what is kept of them",
        description="Print the logs of a run's cleaning pods and of Spark's driver. Of pods that "
        "are gone, or that were never needed, print what the status has kept.",
    )
    options.job(logs)
    options.cluster(logs)
    options.output(logs)
    logs.add_argument("--run", metavar="ID", help="another run than the last one")
    logs.add_argument("--node", action="append", metavar="NAME", help="only of this Pi; repeatable")
    logs.add_argument("--driver", action="store_true", help="only of Spark's driver")
    logs.add_argument("--tail", type=int, metavar="N", help="only the last N lines of each pod")
    logs.add_argument("-f", "--follow", action="store_true", help="go on until the run is over")
    logs.set_defaults(module="logs", cluster=True)

    report = commands.add_parser(
        "report",
        help="bring the report of a run: an HTML file to look at",
        description="Bring the report of a job's latest run, or of another one: from the landing "
        "service, which needs the right to forward ports of pods (pods/portforward) in its "
        "namespace; or from the job's bucket, which needs the right to read its Secret.",
    )
    options.job(report)
    options.cluster(report)
    options.output(report)
    report.add_argument("--run", metavar="ID", help="another run than the latest with a report")
    report.add_argument("--list", action="store_true", help="list the runs that have a report")
    report.add_argument(
        "--to", metavar="FILE", help="where to write it (default: JOB-RUN.html); - prints it"
    )
    report.add_argument("--open", action="store_true", help="show it in the browser, too")
    options.bucket(report)
    report.set_defaults(module="report", cluster=True)

    doctor = commands.add_parser(
        "doctor",
        help="look for what keeps a run from its success, before the first one",
        description="Check the cluster, the Pis and a job: labels, rights, images, claims, room; "
        "and by a short-lived pod on each Pi its clock, memory limits, disks, temperature, files "
        "and a sample of their rows against the schema. Each problem is told with its remedy.",
    )
    which = doctor.add_mutually_exclusive_group()
    options.completed(
        which.add_argument("job", metavar="JOB", nargs="?", help="an EdgeETLJob of the cluster")
    )
    which.add_argument("-f", "--file", type=Path, metavar="JOB.yaml", help="one not applied yet")
    options.cluster(doctor)
    options.output(doctor)
    doctor.add_argument(
        "--node", action="append", metavar="NAME", help="look only at this Pi; repeatable"
    )
    doctor.add_argument(
        "--no-probe", action="store_true", help="ask only the API server: no pod is made"
    )
    doctor.add_argument("--all", action="store_true", help="also say what is right")
    doctor.set_defaults(module="doctor", cluster=True)

    nodes = commands.add_parser(
        "nodes",
        help="the Pis: whether they can work, for which jobs, and what came from them",
        description="Show the nodes that jobs select: whether they can work, for which jobs, and "
        "what came from each in the last run.",
    )
    options.cluster(nodes, everywhere=True)
    options.output(nodes)
    nodes.add_argument("--all", action="store_true", help="also nodes that no job selects")
    nodes.set_defaults(module="nodes", cluster=True)


def _of_files(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    draft = commands.add_parser(
        "init",
        help="draft an EdgeETLJob from CSV files",
        description="Draft an EdgeETLJob from real CSV files: separators, times, types, ranges, "
        "what stands for no value. Units are left to fill in.",
    )
    draft.add_argument(
        "--from",
        dest="sources",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="a CSV file, or a directory of them; repeatable",
    )
    draft.add_argument("--name", metavar="NAME", help="the job's name (default: the file's)")
    draft.add_argument(
        "--source", default="sensors", metavar="NAME", help="spec.source.name (sensors)"
    )
    draft.add_argument(
        "--write", type=Path, metavar="JOB.yaml", help="write it there, where there is no file yet"
    )
    draft.set_defaults(module="draft")

    validate = commands.add_parser(
        "validate",
        help="check EdgeETLJobs as the API server would",
        description="Check EdgeETLJobs as the API server would, in the same words.",
    )
    validate.add_argument("job", type=Path, nargs="+", metavar="JOB.yaml")
    options.output(validate)
    validate.set_defaults(module="validate")
    commands.add_parser("table", help="look after a published table: versions, verify, …")
    quarantine = commands.add_parser(
        "quarantine", help="rejected rows and quarantined files: list, show, …"
    )
    _quarantine(quarantine)
    completion = commands.add_parser(
        "completion",
        help="completion for bash, zsh or fish",
        description="Print what the shell is to read at its start, such as `source <(edge-etl "
        "completion bash)`. kubectl completes its plugin by itself.",
    )
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    completion.set_defaults(module="completion")
    local = commands.add_parser("local", help="work on this machine, without a cluster")
    here_arguments.add_local(local.add_subparsers(dest="local", required=True, metavar="COMMAND"))
    remote = commands.add_parser("remote", help="work with edge agents, without a cluster")
    within = remote.add_subparsers(dest="remote", required=True, metavar="COMMAND")
    here_arguments.add_remote(within)


def _quarantine(parser: argparse.ArgumentParser) -> None:
    """Add the commands about what was refused."""
    commands = parser.add_subparsers(dest="quarantine", required=True, metavar="COMMAND")
    listing = commands.add_parser("list", help="rejected rows and quarantined files, by file")
    rows = commands.add_parser("show", help="the rejected rows themselves")
    for command in (listing, rows):
        command.description = (
            "Read what the nodes delivered: from the landing service, which needs the right to "
            "forward ports of pods (pods/portforward); from the job's bucket, which needs the "
            "right to read its Secret; or below --results."
        )
        options.job(command)
        options.cluster(command)
        options.output(command)
        command.add_argument(
            "--results", type=Path, metavar="DIR", help="root of results that are mounted here"
        )
        options.bucket(command)
        command.add_argument("--node", help="only of this node")
        command.set_defaults(module="quarantine", cluster=True)
    rows.add_argument("--reason", help="only rows rejected for this reason")
    rows.add_argument("--limit", type=int, default=20, metavar="N", help="rows to show (20)")
    replay = commands.add_parser(
        "replay",
        help="have a cluster read again what was rejected",
        description="Have a cluster read again, in a run of its own, exactly the rows that were "
        "rejected, and the quarantined files, by the rules of now. Without a cluster: edge-etl "
        "local run --replay.",
    )
    options.asking(replay)
    replay.set_defaults(module="cluster_run", cluster=True)
