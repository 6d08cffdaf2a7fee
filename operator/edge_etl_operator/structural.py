"""What the API server does with a CRD's structural schema: strictness, defaults, validation.

Each function takes a schema as it stands in ``crd.yaml`` and a value of JSON, and speaks the API
server's words (k8s.io/apiextensions-apiserver and kube-openapi, 1.34). Lists and objects only: the
part of OpenAPI that our CRD uses. The contract tests compare every word with a real API server.
"""

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

Schema = dict[str, Any]
Path = tuple[str | int, ...]

BLOCKING: Final = ("Required value", "Unsupported value", "Too long", "Too many", "wrong type")
"""Kinds of problems after which the API server no longer evaluates CEL rules."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, and what, in the API server's words."""

    path: Path
    kind: str
    message: str

    def __str__(self) -> str:
        named = self.kind == "unknown field"  # whose message names the field
        return self.message if named else f"{dotted(self.path)}: {self.message}"


def dotted(path: Path) -> str:
    """Write a path as the API server does: ``spec.schema.fields[0].name``."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".") or "<nil>"


def children(schema: Schema, value: Any) -> Iterator[tuple[str | int, Schema, Any]]:
    """Iterate over the parts of a value that the schema knows, with their schemas."""
    if isinstance(value, dict):
        properties, other = schema.get("properties", {}), schema.get("additionalProperties")
        for key, part in value.items():
            if key in properties:
                yield key, properties[key], part
            elif isinstance(other, dict):
                yield key, other, part
    elif isinstance(value, list) and "items" in schema:
        for index, part in enumerate(value):
            yield index, schema["items"], part


def unknown_fields(schema: Schema, value: Any, path: Path = ()) -> Iterator[Path]:
    """Find the fields that the schema does not know."""
    known = {key for key, _, _ in children(schema, value)}
    if isinstance(value, dict) and schema.get("type") == "object":
        yield from ((*path, key) for key in value if key not in known)
    for key, part_schema, part in children(schema, value):
        yield from unknown_fields(part_schema, part, (*path, key))


def with_defaults(schema: Schema, value: Any) -> Any:
    """Return a copy with defaults filled in; a null where none may be counts as absent."""
    if isinstance(value, list):
        return [with_defaults(schema.get("items", {}), part) for part in value]
    if not isinstance(value, dict):
        return value
    parts = {key: part_schema for key, part_schema, _ in children(schema, value)}
    result = {key: part for key, part in value.items() if part is not None or key not in parts}
    for key, part_schema in schema.get("properties", {}).items():
        if key not in result and "default" in part_schema:
            result[key] = copy.deepcopy(part_schema["default"])
            parts[key] = part_schema
    return {
        key: with_defaults(parts[key], part) if key in parts else part
        for key, part in result.items()
    }


def problems(schema: Schema, value: Any, path: Path = ()) -> Iterator[Problem]:
    """Find everything by which a value breaks the schema, CEL rules apart."""
    yield from _type_problems(schema, value, path)
    if "enum" in schema and value not in schema["enum"]:
        supported = ", ".join(f'"{each}"' for each in schema["enum"])
        text = f"Unsupported value: {_json(value)}: supported values: {supported}"
        yield Problem(path, "Unsupported value", text)
    match value:
        case str():
            yield from _text_problems(schema, value, path)
        case int() | float() if not isinstance(value, bool):
            yield from _number_problems(schema, value, path)
        case list():
            yield from _list_problems(schema, value, path)
        case dict():
            yield from _object_problems(schema, value, path)
    for key, part_schema, part in children(schema, value):
        yield from problems(part_schema, part, (*path, key))


def type_name(value: Any) -> str:
    """Name the JSON type of a value."""
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() if -(2**63) <= value < 2**64:
            return "integer"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"


def _type_problems(schema: Schema, value: Any, path: Path) -> Iterator[Problem]:
    allowed = ["integer", "string"] if _is_int_or_string(schema) else [schema["type"]]
    actual = type_name(value)
    if actual in allowed or (actual == "integer" and "number" in allowed):
        return
    text = f'{dotted(path)} in body must be of type {",".join(allowed)}: "{actual}"'
    yield Problem(path, "wrong type", f'Invalid value: "{actual}": {text}')


def _is_int_or_string(schema: Schema) -> bool:
    return bool(schema.get("x-kubernetes-int-or-string"))


def _text_problems(schema: Schema, value: str, path: Path) -> Iterator[Problem]:
    where = f"Invalid value: {_json(value)}: {dotted(path)} in body should"
    if len(value) > schema.get("maxLength", len(value)):
        text = f"Too long: may not be more than {schema['maxLength']} bytes"
        yield Problem(path, "Too long", text)
    elif len(value) < schema.get("minLength", 0):
        yield Problem(
            path, "Invalid value", f"{where} be at least {schema['minLength']} chars long"
        )
    elif "pattern" in schema and not re.search(_go_pattern(schema["pattern"]), value):
        yield Problem(path, "Invalid value", f"{where} match '{schema['pattern']}'")


def _go_pattern(pattern: str) -> str:
    """Translate the one difference: in Go ``$`` is the end, in Python also before a newline."""
    return re.sub(r"(?<!\\)\$", r"\\Z", pattern)


def _number_problems(schema: Schema, value: float, path: Path) -> Iterator[Problem]:
    shown = value if type_name(value) == "integer" else float(value)
    where = f"Invalid value: {shown}: {dotted(path)} in body should"
    if value > schema.get("maximum", value):
        text = f"{where} be less than or equal to {schema['maximum']}"
        yield Problem(path, "Invalid value", text)
    if value < schema.get("minimum", value):
        text = f"{where} be greater than or equal to {schema['minimum']}"
        yield Problem(path, "Invalid value", text)


def _list_problems(schema: Schema, value: list[Any], path: Path) -> Iterator[Problem]:
    if len(value) < schema.get("minItems", 0):
        text = f"{dotted(path)} in body should have at least {schema['minItems']} items"
        yield Problem(path, "Invalid value", f"Invalid value: {len(value)}: {text}")
    yield from _size_problems(schema.get("maxItems"), len(value), path)
    keys = schema.get("x-kubernetes-list-map-keys")
    if not keys and schema.get("x-kubernetes-list-type") != "set":
        return
    seen: set[str] = set()
    for index, item in enumerate(value):
        if keys and not isinstance(item, dict):
            if item is not None:
                text = (
                    f"Invalid value: {_json(item)}: must be an object for an array of list-type map"
                )
                yield Problem((*path, index), "Invalid value", text)
            continue
        identity = _json({key: item[key] for key in keys if key in item} if keys else item)
        if identity in seen:
            text = f"Duplicate value: {identity}"
            yield Problem((*path, index), "Duplicate value", text)
        seen.add(identity)


def _object_problems(schema: Schema, value: dict[str, Any], path: Path) -> Iterator[Problem]:
    for key in schema.get("required", []):
        if key not in value:
            yield Problem((*path, key), "Required value", "Required value")
    yield from _size_problems(schema.get("maxProperties"), len(value), path)


def _size_problems(limit: int | None, size: int, path: Path) -> Iterator[Problem]:
    if limit is not None and size > limit:
        yield Problem(path, "Too many", f"Too many: {size}: must have at most {limit} items")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
