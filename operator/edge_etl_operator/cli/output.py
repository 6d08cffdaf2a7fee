"""What a command prints for programs: one document, as JSON or YAML."""

import argparse
import sys
from typing import Any

import msgspec
from rich.console import Console, RenderableType


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
    """Return a console for standard output.

    A file or a pipe has no width; 80 columns would cut tables.
    """
    return Console(width=None if sys.stdout.isatty() else 160, markup=False, highlight=False)


def show(what: RenderableType) -> None:
    """Print something for people."""
    console().print(what)
