"""Evaluate a CRD's ``x-kubernetes-validations`` as the API server does."""

import functools
from collections.abc import Iterator
from typing import Any

import cel

from edge_etl_operator import structural
from edge_etl_operator.structural import Path, Problem, Schema


def problems(schema: Schema, value: Any, path: Path = ()) -> Iterator[Problem]:
    """Find the rules that a value breaks, in itself and in its parts."""
    rules = schema.get("x-kubernetes-validations", [])
    if rules:
        self = _typed(schema, value)
        for rule in rules:
            if _program(rule["rule"]).execute({"self": self}) is not True:
                field = tuple(rule.get("fieldPath", "").split(".")[1:])
                shown = f'"{_type(schema)}"'
                text = f"Invalid value: {shown}: {rule['message']}"
                yield Problem((*path, *field), "Invalid value", text)
    for key, part_schema, part in structural.children(schema, value):
        yield from problems(part_schema, part, (*path, key))


@functools.cache
def _program(rule: str) -> cel.Program:
    return cel.compile(rule)


def _typed(schema: Schema, value: Any) -> Any:
    """Give numbers the type that the schema says: to CEL 1 and 1.0 are different."""
    if isinstance(value, list):
        return [_typed(schema["items"], part) for part in value]
    if isinstance(value, dict):
        return {key: _typed(part, each) for key, part, each in structural.children(schema, value)}
    return float(value) if schema.get("type") == "number" else value


def _type(schema: Schema) -> str:
    return str(schema.get("type", ""))
