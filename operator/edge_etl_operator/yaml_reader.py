"""Read YAML as kubectl does, and remember where everything stands.

kubectl parses with the Go library behind ``sigs.k8s.io/yaml`` and turns the result into JSON.
PyYAML reads some scalars differently (``1:30`` is a number to it, an unquoted time a datetime,
``1e3`` a string), so scalars are resolved here by the Go library's rules. One thing is stricter: a
key that occurs twice is an error, where kubectl silently takes the last.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

Where = tuple[str | int, ...]
"""The keys and indices that lead to a value."""

_TAG: Final = "tag:yaml.org,2002:"
_BOOLEANS: Final = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "off", "Off", "OFF"), False),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NULLS: Final = ("", "~", "null", "Null", "NULL")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_OCTAL: Final = re.compile(r"([-+]?)0([0-7]+)")
_SPECIAL: Final = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")


class YamlError(ValueError):
    """Text that is no YAML, or YAML that cannot be JSON; the message names the place."""


@dataclass(frozen=True)
class Document:
    """One YAML document of a file: its value, and the line and column (from 1) of each part."""

    source: str
    value: Any
    places: dict[Where, tuple[int, int]] = field(compare=False)

    def place(self, path: Where) -> str:
        """Return ``file:line:column`` of a value, or of the nearest one around it."""
        while path not in self.places:
            path = path[:-1]
        line, column = self.places[path]
        return f"{self.source}:{line}:{column}"


def read_documents(path: Path) -> list[Document]:
    """Read all documents of a file, the empty ones left out; raise YamlError or OSError."""
    try:
        text = path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise YamlError(f"{path}: not a YAML file: byte {error.start} is not UTF-8") from None
    return list(parse(text, str(path)))


def parse(text: str, source: str) -> Iterator[Document]:
    """Parse YAML text; ``source`` is its name in messages."""
    try:
        for node in yaml.compose_all(text, Loader=_Loader):
            document = _Builder(source).build(node)
            if document.value is not None:
                yield document
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{source}:{mark.line + 1}:{mark.column + 1}" if mark else source
        context = f" {error.context}" if error.context else ""
        raise YamlError(f"{place}: not valid YAML: {error.problem}{context}") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise YamlError(
            f"{source}:{line}: not a YAML file: it holds the character #x{error.character:04x}"
        ) from None


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with the Go library's idea of plain scalars."""

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: Any) -> str:
        if kind is yaml.ScalarNode and implicit[0] and value is not None:
            return _TAG + _scalar_kind(value)
        return str(super().resolve(kind, value, (False, True)))  # type: ignore[no-untyped-call]


def _scalar_kind(text: str) -> str:
    if text in _NULLS:
        return "null"
    if text in _BOOLEANS:
        return "bool"
    if text == "<<":
        return "merge"
    if text[0] in "+-.0123456789":
        plain = text.replace("_", "")
        if _integer(plain) is not None:
            return "int"
        if _FLOAT.fullmatch(plain) or _SPECIAL.fullmatch(text):
            return "float"
    return "str"


def _integer(text: str) -> int | None:
    """Read what Go's ParseInt with base 0 reads: 12, -0x1f, 0b1, 0o17 and 017."""
    octal = _OCTAL.fullmatch(text)
    try:
        return int(f"{octal[1]}0o{octal[2]}" if octal else text, 0)
    except ValueError:
        return None


class _Builder:
    """Turns the nodes of one document into values as JSON has them."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.places: dict[Where, tuple[int, int]] = {}
        self.open: set[int] = set()

    def build(self, node: yaml.Node | None) -> Document:
        self.places[()] = (1, 1)
        return Document(self.source, self._value(node, ()) if node else None, self.places)

    def _value(self, node: yaml.Node, path: Where) -> Any:
        if id(node) in self.open:
            raise self._error(node, "an anchor contains itself")
        self.places.setdefault(path, (node.start_mark.line + 1, node.start_mark.column + 1))
        self.open.add(id(node))
        try:
            match node:
                case yaml.MappingNode():
                    return self._mapping(node, path)
                case yaml.SequenceNode():
                    return [self._value(item, (*path, i)) for i, item in enumerate(node.value)]
                case _:
                    return self._scalar(node)
        finally:
            self.open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode, path: Where) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _TAG + "merge":
                for each in value_node.value if _is_list(value_node) else [value_node]:
                    merged = {**self._mapping(each, path), **merged}
                continue
            key = self._key(key_node)
            if key in result:
                raise self._error(key_node, f'the key "{key}" occurs twice')
            self.places[*path, key] = (
                key_node.start_mark.line + 1,
                key_node.start_mark.column + 1,
            )
            result[key] = self._value(value_node, (*path, key))
        return {**merged, **result}

    def _key(self, node: yaml.Node) -> str:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(node, "a key must be text")
        value = self._scalar(node)
        return value if isinstance(value, str) else str(node.value).lower()

    def _scalar(self, node: yaml.Node) -> Any:
        text = str(node.value)
        match node.tag.removeprefix(_TAG):
            case "str" | "merge":
                return text
            case "null":
                return None
            case "bool" if text in _BOOLEANS:
                return _BOOLEANS[text]
            case "int" if (number := _integer(text.replace("_", ""))) is not None:
                return number
            case "float":
                return self._float(node, text.replace("_", ""))
            case tag:
                raise self._error(node, f"the value {text!r} cannot have the tag {tag}")

    def _float(self, node: yaml.Node, text: str) -> int | float:
        if _SPECIAL.fullmatch(text) or not math.isfinite(number := float(text)):
            raise self._error(node, f"{text} is no number in JSON")
        # 1.0 is written as 1 in JSON, and so is an integer for the API server.
        return int(number) if number.is_integer() and abs(number) < 1e21 else number

    def _error(self, node: yaml.Node, message: str) -> YamlError:
        mark = node.start_mark
        return YamlError(f"{self.source}:{mark.line + 1}:{mark.column + 1}: {message}")


def _is_list(node: yaml.Node) -> bool:
    return isinstance(node, yaml.SequenceNode)
