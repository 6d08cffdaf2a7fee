"""Prometheus' text format: prometheus.io/docs/instrumenting/exposition_formats."""

from collections.abc import Iterator, Mapping
from typing import Literal

Kind = Literal["counter", "gauge"]


def family(name: str, kind: Kind, text: str, values: Mapping[str, int]) -> Iterator[str]:
    """Give the lines of a metric; the values by their labels as they are written, "" for none."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    for labels, value in values.items():
        yield f"{name}{{{labels}}} {value}" if labels else f"{name} {value}"
