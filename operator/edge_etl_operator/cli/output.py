"""What a command prints for programs: one document, as JSON or YAML."""

import argparse
import sys
from typing import Any, Final

import msgspec
from rich.console import Console, RenderableType

from edge_etl_operator.api import API_VERSION

_ENDLESS: Final = 8192


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A part of the document that ``-o`` prints."""


def wanted(options: argparse.Namespace) -> bool:
    """Tell whether a document is asked for and not text for people."""
    return getattr(options, "output", None) is not None


def emit(kind: str, what: Any, options: argparse.Namespace) -> None:
    """Print a document of a kind, or a list of such, in the format that ``-o`` names."""
    content = msgspec.to_builtins(what)
    fields = content if isinstance(content, dict) else {"items": content}
    document = {"apiVersion": API_VERSION, "kind": kind, **fields}
    if options.output == "yaml":
        # YAML's own writer keeps the order of the fields.
        printed = msgspec.yaml.encode(document, order=None)
    else:
        printed = msgspec.json.format(msgspec.json.encode(document)) + b"\n"
    sys.stdout.buffer.write(printed)
    sys.stdout.flush()


def console() -> Console:
    """Return a console for standard output; in a file or a pipe no line is broken."""
    width = None if sys.stdout.isatty() else _ENDLESS
    return Console(width=width, markup=False, highlight=False)


def show(what: RenderableType) -> None:
    """Print something for people."""
    console().print(what)
