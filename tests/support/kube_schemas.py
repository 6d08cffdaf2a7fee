"""JSON Schemas for kubeconform, taken from a running API server instead of the internet."""

import json
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from tests.support.cluster import Kube
from tests.support.cluster.kube import until

LOCATION = "{{.ResourceKind}}{{.KindSuffix}}.json"
"""How kubeconform is told to find a schema below the folder that `write` filled."""

_COMPONENTS = "#/components/schemas/"


def write(server: Kube, folder: Path, apis: Iterable[str]) -> None:
    """Write a schema for each kind of the named APIs, such as `apis/apps/v1`."""
    for api in apis:
        # The server publishes a custom resource's schema a moment after it serves the resource.
        document = until(partial(_openapi, server, api), f"the schema of {api}", timeout=30)
        schemas = document["components"]["schemas"]
        definitions = {name: _strict(schema) for name, schema in schemas.items()}
        for name, schema in schemas.items():
            for kind in schema.get("x-kubernetes-group-version-kind", []):
                target = folder / _file_name(kind)
                target.write_text(
                    json.dumps({"$ref": f"#/definitions/{name}", "definitions": definitions})
                )


def _openapi(server: Kube, api: str) -> Any:
    return json.loads(server.kubectl("get", "--raw", f"/openapi/v3/{api}"))


def _file_name(kind: dict[str, str]) -> str:
    # kubeconform's KindSuffix: the first label of the group, then the version.
    parts = [kind["kind"], *kind["group"].split(".")[:1], kind["version"]]
    return "-".join(part.lower() for part in parts if part) + ".json"


def _strict(schema: Any) -> Any:
    """Return an OpenAPI schema as a JSON Schema that refuses unknown fields."""
    if not isinstance(schema, dict):  # additionalProperties may be true
        return schema
    strict: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "$ref":
            strict[key] = value.replace(_COMPONENTS, "#/definitions/")
        elif key == "properties":
            strict[key] = {name: _strict(part) for name, part in value.items()}
        elif key in {"items", "additionalProperties", "not"}:
            strict[key] = _strict(value)
        elif key in {"allOf", "anyOf", "oneOf"}:
            strict[key] = [_strict(part) for part in value]
        elif key != "default" and not key.startswith("x-kubernetes-"):
            strict[key] = value
    if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
        strict.setdefault("additionalProperties", False)
    return strict
