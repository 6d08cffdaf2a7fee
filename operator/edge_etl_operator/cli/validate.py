"""`edge-etl validate`: whether the API server would take it."""

import argparse
import sys
from pathlib import Path

from edge_etl_operator.cli import DONE, WRONG_INPUT, output
from edge_etl_operator.cli.output import Part
from edge_etl_operator.validation import InvalidJobError, load_job
from edge_etl_operator.yaml_reader import YamlError


class Validated(Part, frozen=True, kw_only=True):
    """What is to be said of a file."""

    file: str
    namespace: str = ""
    job: str = ""
    problems: tuple[str, ...] = ()
    """Each with file, line and column; none where it is valid."""


def command(options: argparse.Namespace) -> int:
    """Check each file; tell what is wrong with all that are."""
    found = [_validated(path) for path in options.job]
    if output.wanted(options):
        output.emit("ValidationList", found, options)
    else:
        for each in found:
            for problem in each.problems:
                print(problem, file=sys.stderr)
            if not each.problems:
                print(f"{each.file}: EdgeETLJob {each.namespace}/{each.job} is valid")
    return WRONG_INPUT if any(each.problems for each in found) else DONE


def _validated(path: Path) -> Validated:
    try:
        metadata = load_job(path)["metadata"]
    except InvalidJobError as error:
        return Validated(file=str(path), problems=tuple(error.problems))
    except YamlError as error:
        return Validated(file=str(path), problems=(str(error),))
    except OSError as error:
        return Validated(file=str(path), problems=(f"{path}: {error.strerror}",))
    namespace = metadata.get("namespace", "default")
    return Validated(file=str(path), namespace=namespace, job=metadata["name"])
