"""The ``edge-etl`` command, which kubectl finds as its plugin ``kubectl edgeetl``.

Exit codes: 0 done, 1 the run failed or doctor found a problem (the reason is shown), 2 wrong usage
or wrong input, 3 the cluster cannot be reached or refuses.
"""

import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Final

from edge_etl_operator.cli.arguments import parser
from edge_etl_operator.validation import InvalidJobError
from edge_etl_operator.yaml_reader import YamlError

DONE: Final = 0
FAILED: Final = 1
WRONG_INPUT: Final = 2
NO_CLUSTER: Final = 3
SPARK: Final = "edge_etl_spark"
"""The module of the aggregation."""
INTERRUPTED: Final = 130
"""What a shell reports of a program that Ctrl-C ended."""


class UsageError(ValueError):
    """A wrong argument; the message says what is right."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    if "_ARGCOMPLETE" in os.environ:
        from edge_etl_operator.cli import completion

        completion.answered()
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["table"]:
        from edge_etl_operator.cli import table

        return table.command(given)
    options = parser().parse_args(given)
    # What only one command needs takes a while to import.
    command: Callable[..., int] = import_module(f"edge_etl_operator.cli.{options.module}").command
    try:
        if getattr(options, "cluster", False):
            from edge_etl_operator.cli import session

            return session.guarded(command, options)
        return command(options)
    except (UsageError, InvalidJobError, YamlError) as error:
        print(error, file=sys.stderr)
    except BrokenPipeError:
        # Whoever read it has enough, as `| head` has; the interpreter must not complain at its end.
        sys.stdout = None
        return DONE
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
    except KeyboardInterrupt:
        goes_on = options.command == "run"
        said = "the run goes on in the cluster" if goes_on else "nothing half is left behind"
        print(f"interrupted; {said}", file=sys.stderr)
        return INTERRUPTED
    return WRONG_INPUT
