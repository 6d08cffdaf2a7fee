"""`edge-etl table`: handed over to the aggregation, whose the table is."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec

import msgspec

from edge_etl_operator.cli import SPARK, WRONG_INPUT, options, output


def command(arguments: Sequence[str]) -> int:
    """Run the aggregation's program with these arguments, and return its exit code."""
    if find_spec(SPARK) is None:
        print(f"edge-etl table needs the program {SPARK} in this environment", file=sys.stderr)
        return WRONG_INPUT
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    options.output(parser)
    asked, own = parser.parse_known_args(arguments)
    program = [sys.executable, "-m", SPARK, *own]
    if not output.wanted(asked):
        return subprocess.run(program, check=False).returncode
    ran = subprocess.run([*program, "--json"], stdout=subprocess.PIPE, check=False)
    if ran.stdout:
        kind = "".join(map(str.capitalize, own[:2]))
        output.emit(kind, msgspec.json.decode(ran.stdout), asked)
    return ran.returncode
