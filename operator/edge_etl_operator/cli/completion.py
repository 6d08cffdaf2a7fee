"""Completion of words in a shell: of `edge-etl` by argcomplete, of the plugin by kubectl itself."""

import argparse
import io
import os
import shlex
import sys
from contextlib import suppress
from typing import Any, Final

import kubernetes.config
from argcomplete.finders import CompletionFinder
from argcomplete.shell_integration import shellcode

from edge_etl_operator.cli import DONE, session
from edge_etl_operator.cli.arguments import parser
from edge_etl_operator.cluster import ApiError

# kubectl's own words for what it does with the answer (cobra, ShellCompDirective).
_FILES: Final = 0
_NO_FILES: Final = 4


def command(options: argparse.Namespace) -> int:
    """Print what a shell is to read at its start."""
    print(shellcode(["edge-etl"], shell=options.shell))
    return DONE


def answered() -> None:
    """Answer a shell that asks for words, and end the program; do nothing when none asks."""
    CompletionFinder()(parser(), always_complete_options=False)


def for_kubectl() -> int:
    """Answer kubectl, which asks by the name ``kubectl_complete-edgeetl``; the last is open."""
    words = sys.argv[1:] or [""]
    line = " ".join(["edge-etl", *map(shlex.quote, words[:-1]), words[-1]])
    os.environ |= {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line.encode())),
    }
    found = io.StringIO()
    with suppress(_AnsweredError):
        CompletionFinder(append_space=False)(
            parser(), always_complete_options=False, exit_method=_answered, output_stream=found
        )
    words = found.getvalue().split("\n") if found.getvalue() else []
    print(*words, f":{_NO_FILES if words else _FILES}", sep="\n")
    return DONE


class _AnsweredError(Exception):
    """argcomplete has written its answer, and would end the program."""


def _answered(_: int) -> None:
    raise _AnsweredError


def job_names(parsed_args: argparse.Namespace, **_: Any) -> list[str]:
    """Return the jobs of the namespace that the words before name; none without a cluster."""
    with suppress(ApiError, OSError, kubernetes.config.ConfigException):
        within = session.opened(parsed_args)
        return [job.name for job in session.jobs(within.connection, within.namespace)]
    return []
