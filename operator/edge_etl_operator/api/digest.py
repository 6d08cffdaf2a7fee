"""A short digest of parts of a spec, which is the same in every version of the operator."""

import hashlib
from functools import cache
from typing import Any

import msgspec


def digest(parts: tuple[Any, ...]) -> str:
    """Hash what differs from the defaults: a field that a later version adds changes no hash."""
    content = msgspec.json.encode(_without_defaults(parts), order="sorted")
    return hashlib.sha256(content).hexdigest()[:12]


def _without_defaults(value: Any) -> Any:
    match value:
        case msgspec.Struct():
            return {
                field.encode_name: _without_defaults(content)
                for field in _fields(type(value))
                if (content := getattr(value, field.name)) != _default(field)
            }
        case tuple():
            return [_without_defaults(item) for item in value]
        case _:
            return value


@cache
def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    """Return a type's fields, which msgspec finds out anew each time."""
    return msgspec.structs.fields(kind)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    return field.default
