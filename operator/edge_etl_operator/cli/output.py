"""What a command prints for programs: one document, as JSON or YAML."""

import argparse
import sys
from typing import Any, Final

import msgspec
from rich.console import Console, RenderableType

_ENDLESS: Final = 8192


def wanted(options: argparse.Namespace) -> bool:
    """Tell whether a document is asked for and not text for people."""
    return getattr(options, "output", None) is not None


def emit(document: Any, options: argparse.Namespace) -> None:
    """Print a document in the format that ``-o`` names."""
    if options.output == "yaml":
        # YAML's own writer keeps the order of the fields.
        content = msgspec.yaml.encode(msgspec.to_builtins(document), order=None)
    else:
        content = msgspec.json.format(msgspec.json.encode(document)) + b"\n"
    sys.stdout.buffer.write(content)
    sys.stdout.flush()


def console() -> Console:
    """Return a console for standard output; in a file or a pipe no line is broken."""
    width = None if sys.stdout.isatty() else _ENDLESS
    return Console(width=width, markup=False, highlight=False)


def show(what: RenderableType) -> None:
    """Print something for people."""
    console().print(what)
