"""Write the files that are derived from others, or check that they are current.

``python -m tests.support.generate`` writes them; with ``--check`` nothing is written and a stale
file makes it exit with 1.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from edge_etl_agent import openapi
from edge_etl_job import documents as edge
from edge_etl_job.inspection_document import Inspection
from edge_etl_job.probe_document import NodeProbe
from edge_etl_spark import documents as spark

from tests.support import chart
from tests.support.crd_reference import reference
from tests.support.fuzz_seeds import seeds

ROOT = Path(__file__).parents[2]


def _schema(document: type[msgspec.Struct]) -> Callable[[], str]:
    def render() -> str:
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **msgspec.json.schema(document),
        }
        return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"

    return render


def _openapi() -> str:
    return json.dumps(openapi.document(), indent=2, ensure_ascii=False) + "\n"


GENERATED: dict[str, Callable[[], str | bytes]] = {
    "docs/contracts/job.schema.json": _schema(edge.JobDocument),
    "docs/contracts/manifest.schema.json": _schema(edge.NodeManifest),
    "docs/contracts/summary.schema.json": _schema(edge.NodeSummary),
    "docs/contracts/probe.schema.json": _schema(NodeProbe),
    "docs/contracts/inspection.schema.json": _schema(Inspection),
    "docs/contracts/aggregation.schema.json": _schema(spark.AggregationDocument),
    "docs/contracts/version.schema.json": _schema(spark.VersionManifest),
    "docs/contracts/agent.openapi.json": _openapi,
    "docs/contracts/report.schema.json": _schema(spark.AggregationReport),
    "docs/reference/edgeetljob.md": reference,
    "charts/pi-edge-spark/files/edgeetljob.crd.yaml": chart.crd,
    "charts/pi-edge-spark/values.schema.json": chart.values_schema,
    "charts/pi-edge-spark/README.md": chart.readme,
    "manifests/install.yaml": chart.install_yaml,  # after the files that it is rendered from
    **seeds(),
}


def main(arguments: list[str]) -> int:
    """Write or check all generated files; return the exit code."""
    check = arguments == ["--check"]
    stale = []
    for name, render in GENERATED.items():
        path, rendered = ROOT / name, render()
        content = rendered.encode() if isinstance(rendered, str) else rendered
        if not path.exists() or path.read_bytes() != content:
            stale.append(name)
            if not check:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
    for name in stale:
        print(f"{'stale, run make generate' if check else 'written'}: {name}")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
