"""``table``, ``reports``, ``deliveries``: the command lines of who looks after a job's results.

People have them as `edge-etl table`, `edge-etl report` and `edge-etl quarantine`.
"""

import argparse
import os
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from edge_etl_spark import table
from edge_etl_spark.documents import Spark
from edge_etl_spark.errors import DOCUMENT_INVALID, AggregationError
from edge_etl_spark.results import Results, in_bucket, open_results

REJECTED: Final = "rejected.parquet"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and their options."""
    commands = parser.add_subparsers(dest="table", required=True, metavar="COMMAND")
    job = argparse.ArgumentParser(add_help=False)
    _add_place(job)
    job.add_argument(
        "--json", action="store_true", help="print one JSON document (edge-etl: also -o json|yaml)"
    )

    def add(name: str, text: str) -> argparse.ArgumentParser:
        told = f"{text[0].upper()}{text[1:]}."
        return commands.add_parser(name, help=text, description=told, parents=[job])

    add("versions", "list the versions")
    checked = add("verify", "compare the files of a version with its checksums")
    checked.add_argument("--version", type=int, metavar="N", help="default: all versions")
    back = add("rollback", "publish an older version again, and set aside what came after it")
    back.add_argument("--to", type=int, required=True, metavar="N", help="the version")
    pruned = add("prune", "remove old versions")
    pruned.add_argument("--keep", type=int, default=3, metavar="N", help="default: %(default)s")
    pruned.add_argument(
        "--grace-seconds",
        type=float,
        default=600,
        metavar="S",
        help="keep what was replaced less than so long ago (default: %(default)s)",
    )
    again = add("rebuild", "merge all that the nodes ever delivered into a new version")
    again.add_argument("--memory", default="1g", help="of Spark's heap (default: %(default)s)")
    again.add_argument("--java-home", type=Path, help="a Java 17 or 21; found by itself otherwise")


def add_report_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``reports``."""
    _add_place(parser)
    parser.add_argument("--run", metavar="ID", help="the run; without it they are listed as JSON")


def add_delivery_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``deliveries``."""
    _add_place(parser)
    parser.add_argument(
        "--rejected",
        nargs=3,
        metavar=("RUN", "NODE", "ATTEMPT"),
        help="print the Parquet file of the rows that an attempt rejected, if it did",
    )


def _add_place(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "job",
        metavar="DIR",
        help="the job's results: <results>/<namespace>/<job>, or in a bucket: "
        "s3://bucket/<prefix>/<namespace>/<job>?endpoint=https://host&region=name",
    )
    parser.add_argument(
        "--s3-credentials", type=Path, metavar="FILE", help="key to the bucket, as AWS has it"
    )


def reports(options: argparse.Namespace) -> int:
    """Print the report of a run, or the runs that have one, the latest first."""
    results = _results(options.job, options.s3_credentials)
    runs = results.reports()
    if not options.run:
        content = msgspec.json.encode({"runs": runs}) + b"\n"
    elif options.run in runs:
        content = results.report(options.run)
    else:
        raise AggregationError(
            DOCUMENT_INVALID, f"{results.where} has no report of a run {options.run}"
        )
    sys.stdout.buffer.write(content)
    return 0


def deliveries(options: argparse.Namespace) -> int:
    """Print the manifests of all deliveries, one in a line, or the rows that one rejected."""
    results = _results(options.job, options.s3_credentials)
    if options.rejected:
        content = results.fetch([results.attempt(*options.rejected) / REJECTED])
        sys.stdout.buffer.writelines(path.read_bytes() for path in content)
    else:
        for delivery in results.deliveries():
            manifest = results.manifest(delivery.manifest.run, delivery.manifest.node)
            sys.stdout.buffer.write(msgspec.json.format(manifest, indent=-1) + b"\n")
    return 0


def run(options: argparse.Namespace) -> int:
    """Run one command, print what came out, and return the exit code; 1 if something is wrong."""
    results = _results(options.job, options.s3_credentials)
    answer, good = _COMMANDS[options.table](results, options)
    if options.json:
        sys.stdout.buffer.write(msgspec.json.format(msgspec.json.encode(answer)) + b"\n")
    else:
        print(_text(answer))
    return 0 if good else 1


def _results(place: str, credentials: Path | None) -> Results:
    if in_bucket(place):
        path, question, query = place.partition("?")
        root, namespace, job = path.rstrip("/").rsplit("/", 2)
        return open_results(f"{root}{question}{query}", namespace, job, credentials)
    directory = Path(place).resolve()
    if not (directory / "table").is_dir():
        raise AggregationError(
            DOCUMENT_INVALID,
            f"{directory} holds no table; name the job's directory: <results>/<namespace>/<job>",
        )
    return open_results(directory.parents[1], directory.parent.name, directory.name)


_Answer = tuple[list[dict[str, Any]], bool]


def _versions(results: Results, options: argparse.Namespace) -> _Answer:
    lines = []
    for item in table.versions(results):
        manifest = item.manifest
        lines.append(
            {
                "version": item.number,
                "current": item.current,
                "published": item.published,
                "run": manifest.run if manifest else None,
                "rows": manifest.rows if manifest else None,
                "rowsAdded": manifest.rows_added if manifest else None,
                "bytes": sum(file.bytes for file in manifest.files) if manifest else None,
                "restoredFrom": manifest.restored_from if manifest else None,
            }
        )
    return lines, True


def _verify(results: Results, options: argparse.Namespace) -> _Answer:
    numbers = [options.version] if options.version else results.numbers()
    lines = []
    for number in numbers:
        try:
            problems = list(table.verify(results, results.read(number)))
        except AggregationError as error:
            problems = [error.message]
        lines.append({"version": number, "good": not problems, "problems": problems})
    return lines, all(line["good"] for line in lines)


def _rollback(results: Results, options: argparse.Namespace) -> _Answer:
    made = table.rollback(results, options.to)
    aside = [f"{item.run}/{item.node}" for item in made.set_aside]
    return [{"version": made.version, "rows": made.rows, "setAside": aside}], True


def _prune(results: Results, options: argparse.Namespace) -> _Answer:
    if options.keep < 1:
        raise AggregationError(DOCUMENT_INVALID, "--keep: at least 1, the current version stays")
    removed = table.prune(results, options.keep, options.grace_seconds)
    return [{"removed": list(removed), "left": results.numbers()}], True


def _rebuild(results: Results, options: argparse.Namespace) -> _Answer:
    cores = len(os.sched_getaffinity(0))
    spark = Spark(master=f"local[{cores}]", conf={"spark.driver.memory": options.memory})
    made = table.rebuild(results, spark, options.java_home)
    return [
        {"version": made.version, "rows": made.rows, "duplicates": made.rows_duplicate,
         "deliveries": made.manifests_merged}
    ], True  # fmt: skip


_COMMANDS = {
    "versions": _versions,
    "verify": _verify,
    "rollback": _rollback,
    "prune": _prune,
    "rebuild": _rebuild,
}


def _text(lines: list[dict[str, Any]]) -> str:
    """Lay out lines of the same keys as columns."""
    if not lines:
        return "nothing"
    table = [list(lines[0]), *([_cell(value) for value in line.values()] for line in lines)]
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def _cell(value: Any) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case list():
            return ", ".join(map(str, value)) or "-"
        case _:
            return str(value)
