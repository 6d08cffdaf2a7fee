"""The chart's objects as a test looks at them, and what a change of a value does to them."""

import functools
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support import chart

Objects = dict[tuple[str, str], Any]
OPERATOR = ("Deployment", "pi-edge-spark-operator")
LANDING = ("Deployment", "pi-edge-spark-landing")
AGENT = ("DaemonSet", "pi-edge-spark-agent")
CLAIM = ("PersistentVolumeClaim", "pi-edge-spark-results")
CRD = ("CustomResourceDefinition", "edgeetljobs.pi-edge-spark.io")


def objects(text: str) -> Objects:
    """Return rendered objects by kind and name."""
    documents = [document for document in yaml.safe_load_all(text) if document]
    home = ("default", chart.RELEASE, "")
    found = {}
    for one in documents:
        namespace = one["metadata"].get("namespace", "")
        inside = "" if namespace in home else f"{namespace}/"
        found[one["kind"], f"{inside}{one['metadata']['name']}"] = one
    assert len(found) == len(documents), "two objects of one kind have the same name"
    return found


def rendered(**values: Any) -> Objects:
    """Render the chart with these values, once for each of them."""
    return _rendered(json.dumps(values, sort_keys=True))


@functools.cache
def _rendered(values: str) -> Objects:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        Path(file.name).write_text(values)
        return objects(chart.render(f"--values={file.name}"))


def nested(name: str, value: Any) -> Any:
    """Return `a.b.c` and a value as the values file that sets it."""
    for key in reversed(name.split(".")):
        value = {key: value}
    return value


def merged(one: Any, other: Any) -> Any:
    """Return two values files as one, of which the other counts more."""
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return other
    return {key: merged(one.get(key), other[key]) if key in other else one[key]
            for key in {**one, **other}}  # fmt: skip


def pod(deployment: tuple[str, str], *path: str | int) -> Callable[[Objects], Any]:
    """Look at a part of a Deployment's pod; None when it is not there."""

    def look(rendered: Objects) -> Any:
        found = rendered[deployment]["spec"]["template"]["spec"]
        for key in path:
            found = found[key] if isinstance(key, int) else found.get(key)
        return found

    return look


def container(deployment: tuple[str, str], key: str) -> Callable[[Objects], Any]:
    return pod(deployment, "containers", 0, key)


def setting(*path: str) -> Callable[[Objects], Any]:
    """Look at one of the operator's settings."""

    def look(rendered: Objects) -> Any:
        text = rendered["ConfigMap", "pi-edge-spark-operator"]["data"]["settings.yaml"]
        found = yaml.safe_load(text)
        for key in path:
            found = found.get(key)
        return found

    return look


def argument(name: str) -> Callable[[Objects], Any]:
    """Look at one of the landing service's arguments."""

    def look(rendered: Objects) -> Any:
        arguments = dict(part.split("=") for part in container(LANDING, "args")(rendered)[1:])
        return arguments[name]

    return look


def claim(*path: str) -> Callable[[Objects], Any]:
    def look(rendered: Objects) -> Any:
        found = rendered[CLAIM]
        for key in path:
            found = found.get(key)
        return found

    return look


def names(rendered: Objects) -> set[str]:
    return {name for kind, name in rendered if kind == "Deployment"}


def volume(deployment: tuple[str, str], name: str) -> Callable[[Objects], Any]:
    def look(rendered: Objects) -> Any:
        volumes = {each["name"]: each for each in pod(deployment, "volumes")(rendered)}
        return volumes.get(name)

    return look


@dataclass(frozen=True)
class Effect:
    """A change of one value and what it changes in the output."""

    value: str
    change: Any
    look: Callable[[Objects], Any]
    expected: Any
    given: dict[str, Any] = field(default_factory=dict)
    """Values without which it would have none."""


def default_of(name: str) -> Any:
    return next(value.default for value in chart.documented_values() if value.name == name)
