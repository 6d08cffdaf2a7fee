"""What the API server asks of every resource's metadata, as far as a person writes it."""

import re
from collections.abc import Iterator
from typing import Any, Final

from edge_etl_operator.structural import Problem, Schema

_TEXT: Final[Schema] = {"type": "string"}
_TEXTS: Final[Schema] = {"type": "object", "additionalProperties": _TEXT}
_INTEGER: Final[Schema] = {"type": "integer"}
# What stands in these two is the API server's own business.
_OPAQUE: Final[Schema] = {"type": "array"}

SCHEMA: Final[Schema] = {
    "type": "object",
    "properties": {
        "name": _TEXT,
        "generateName": _TEXT,
        "namespace": _TEXT,
        "labels": _TEXTS,
        "annotations": _TEXTS,
        "finalizers": {"type": "array", "items": _TEXT},
        "ownerReferences": _OPAQUE,
        "managedFields": _OPAQUE,
        "uid": _TEXT,
        "selfLink": _TEXT,
        "resourceVersion": _TEXT,
        "creationTimestamp": _TEXT,
        "deletionTimestamp": _TEXT,
        "deletionGracePeriodSeconds": _INTEGER,
        "generation": _INTEGER,
    },
}

_LABEL: Final = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_ENDS: Final = "must start and end with an alphanumeric character"
_RULES: Final = {
    "name": (
        rf"{_LABEL}(\.{_LABEL})*",
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
        f"'.', and {_ENDS} (e.g. 'example.com'",
    ),
    "namespace": (
        _LABEL,
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
        f"{_ENDS} (e.g. 'my-name',  or '123-abc'",
    ),
}


def problems(metadata: Any) -> Iterator[Problem]:
    """Find what is wrong with name and namespace."""
    if not isinstance(metadata, dict) or not metadata.get("name"):
        text = "Required value: name or generateName is required"
        yield Problem(("metadata", "name"), "Required value", text)
        return
    for key, (pattern, text) in _RULES.items():
        value = metadata.get(key)
        if isinstance(value, str) and not re.fullmatch(pattern, value):
            message = (
                f"Invalid value: \"{value}\": {text}, regex used for validation is '{pattern}')"
            )
            yield Problem(("metadata", key), "Invalid value", message)
