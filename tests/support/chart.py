"""The chart's generated files: descriptions of values, the README's table, install.yaml."""

import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.support.cluster import tools

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "pi-edge-spark"
RELEASE = "pi-edge-spark"
BEGIN, END = "<!-- values: begin -->", "<!-- values: end -->"

# Edge pods mount directories of their Pi, which no level of Pod Security but `privileged` allows.
NAMESPACE = f"""\
apiVersion: v1
kind: Namespace
metadata:
  name: {RELEASE}
  labels:
    app.kubernetes.io/part-of: pi-edge-spark
    pod-security.kubernetes.io/enforce: privileged
    pod-security.kubernetes.io/warn: privileged
"""


@dataclass(frozen=True)
class Value:
    """One documented value: its path, its default, and the comment above it in values.yaml."""

    path: tuple[str, ...]
    default: Any
    description: str

    @property
    def name(self) -> str:
        """The path as `--set` takes it."""
        return ".".join(self.path)


def documented_values() -> list[Value]:
    """Return the values that have a comment above them, in the order of values.yaml."""
    text = (CHART / "values.yaml").read_text()
    defaults = yaml.safe_load(text)
    found: list[Value] = []
    parents: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        if match := re.fullmatch(r" *# (.*)", line):
            comment.append(match[1])
            continue
        if match := re.match(r"( *)([a-zA-Z]+):", line):
            parents = [*parents[: len(match[1]) // 2], match[2]]
            if comment:
                path = tuple(parents)
                found.append(Value(path, _at(defaults, path), " ".join(comment)))
        comment = []
    return found


def values_schema() -> str:
    """Return values.schema.json with the comments of values.yaml as descriptions."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    for value in documented_values():
        node = schema
        for key in value.path:
            node = node["properties"][key]
        node["description"] = value.description
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def readme() -> str:
    """Return the chart's README with the table of values."""
    text = (CHART / "README.md").read_text()
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    rows = [
        f"| `{value.name}` | `{json.dumps(value.default)}` | {value.description} |"
        for value in documented_values()
    ]
    table = "\n".join(["| value | default | meaning |", "|---|---|---|", *rows])
    return f"{before}{BEGIN}\n{table}\n{END}{after}"


def crd() -> str:
    """Return the copy of the CRD that the chart carries: a chart cannot read outside itself."""
    return (ROOT / "operator" / "edge_etl_operator" / "crd.yaml").read_text()


def render(*arguments: str) -> str:
    """Return what `helm template` makes of the chart; CalledProcessError if it refuses."""
    command = [str(tools.helm()), "template", RELEASE, str(CHART), f"--namespace={RELEASE}"]
    return subprocess.run([*command, *arguments], check=True, capture_output=True, text=True).stdout


def install_yaml() -> str:
    """Return the chart with its default values as plain YAML, for people without Helm."""
    # What `helm test` runs is of no use without it.
    rendered = re.sub(r"^# Source: .*\n", "", render("--skip-tests"), flags=re.MULTILINE)
    rendered = rendered.replace(
        "app.kubernetes.io/managed-by: Helm\n", "app.kubernetes.io/managed-by: kubectl\n"
    )
    head = "# The chart with its default values: kubectl apply -f manifests/install.yaml\n"
    return f"{head}{NAMESPACE}{rendered}"


def _at(values: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        values = values[key]
    return values
