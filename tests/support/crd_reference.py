"""Write the reference of the EdgeETLJob resource from its CRD."""

import json
from collections.abc import Iterator
from typing import Any

from edge_etl_operator.validation import crd

Schema = dict[str, Any]

HEAD = """\
# EdgeETLJob, field by field

`kubectl explain edgeetljob.spec` says the same in a terminal. This page is made from the
CustomResourceDefinition by `make generate`.

`kubectl apply` and `edge-etl validate` refuse a field that is not here (kubectl by its default,
strict validation; a client that turns that off has the field dropped).
"""


def reference() -> str:
    """Return the page as Markdown."""
    definition = crd()["spec"]
    version = definition["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    names = definition["names"]
    lines = [
        HEAD,
        f"`apiVersion: {definition['group']}/{version['name']}`, `kind: {names['kind']}`; "
        f"`kubectl get {names['plural']}` or `{names['shortNames'][0]}`.\n",
        schema["description"],
        *_rules(schema),
    ]
    for part in ("spec", "status"):
        lines += _sections(schema["properties"][part], part)
    return "\n".join(lines).rstrip() + "\n"


def _sections(schema: Schema, path: str) -> Iterator[str]:
    yield f"\n## {path}"
    if "description" in schema:
        yield f"\n{schema['description']}"
    yield from _rules(schema)
    if schema.get("properties"):
        yield "\n| field | type | default | meaning |"
        yield "|---|---|---|---|"
    required = schema.get("required", [])
    for name, part in schema.get("properties", {}).items():
        default = "**required**" if name in required else _code(part.get("default"))
        meaning = f"{part.get('description', '')} {_limits(part)}".strip()
        yield f"| `{name}` | {_type(part)} | {default} | {_cell(meaning)} |"
    for name, part in schema.get("properties", {}).items():
        if part.get("properties"):
            yield from _sections(part, f"{path}.{name}")
        elif part.get("items", {}).get("properties"):
            yield from _sections(part["items"], f"{path}.{name}[]")


def _rules(schema: Schema) -> Iterator[str]:
    """Say the rules over several fields, which belong to no single row."""
    for rule in schema.get("x-kubernetes-validations", []):
        where = rule.get("fieldPath", "").removeprefix(".")
        yield f"\n- {f'`{where}`: ' if where else ''}{rule['message']}."


def _type(schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if "items" in schema:
        return f"list of {_type(schema['items'])}"
    if isinstance(schema.get("additionalProperties"), dict):
        return f"map of {_type(schema['additionalProperties'])}"
    return "time" if schema.get("format") == "date-time" else str(schema["type"])


def _limits(schema: Schema) -> str:
    """Say which values are allowed."""
    inner = schema.get("items", schema)
    said = []
    if "enum" in inner:
        said.append("One of " + ", ".join(_code(value) for value in inner["enum"]) + ".")
    if "minimum" in schema:
        said.append(f"From {schema['minimum']} to {schema['maximum']}.")
    if "pattern" in inner and len(inner["pattern"]) < 60:
        said.append(f"Matches {_code(inner['pattern'], raw=True)}.")
    if "maxItems" in schema:
        said.append(f"At most {schema['maxItems']}.")
    # Rules of nested objects stand in their own section.
    if not inner.get("properties"):
        rules = inner.get("x-kubernetes-validations", [])
        said += [f"{rule['message'][0].upper()}{rule['message'][1:]}." for rule in rules]
    return " ".join(said)


def _code(value: Any, *, raw: bool = False) -> str:
    if value is None or value == {}:
        return ""
    return f"`{value if raw else json.dumps(value, ensure_ascii=False)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
