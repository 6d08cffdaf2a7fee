"""Files of Go modules that are no programs, such as other projects' definitions of resources."""

import functools
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.support.cluster import binaries


@dataclass(frozen=True)
class Module:
    """A module at a version; the checksum is that which a go.sum would hold."""

    path: str
    version: str
    checksum: str


PROMETHEUS_OPERATOR = Module(
    "github.com/prometheus-operator/prometheus-operator",
    "v0.85.0",
    "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
)
HELM_CONTROLLER = Module(
    "github.com/k3s-io/helm-controller",
    "v0.17.9",
    "h1:HhZTiFhVDzhbAYeb/aSlExWhJTnDTpHypMqu5Mh8Uow=",
)


@functools.cache
def folder(module: Module) -> Path:
    """Return where Go keeps a module's files, fetching them if need be."""
    with tempfile.TemporaryDirectory() as nowhere:
        done = subprocess.run(
            [binaries.go(), "mod", "download", "-json", f"{module.path}@{module.version}"],
            cwd=nowhere,  # in the folder of another module its go.sum would be asked
            env={**os.environ, "GOFLAGS": "-mod=mod"},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RuntimeError(f"fetching {module.path} failed:\n{done.stdout}{done.stderr}")
    found = json.loads(done.stdout)
    if found["Sum"] != module.checksum:
        raise RuntimeError(f"{module.path} {module.version} has the checksum {found['Sum']}")
    return Path(found["Dir"])


def monitoring_definitions() -> list[Path]:
    """Return what the Prometheus Operator calls ServiceMonitor, PodMonitor and PrometheusRule."""
    crds = folder(PROMETHEUS_OPERATOR) / "example" / "prometheus-operator-crd"
    kinds = ("servicemonitors", "podmonitors", "prometheusrules")
    return [crds / f"monitoring.coreos.com_{kind}.yaml" for kind in kinds]


def helm_chart_definition() -> Path:
    """Return what k3s calls a HelmChart."""
    crds = folder(HELM_CONTROLLER) / "pkg" / "crds" / "yaml" / "generated"
    return crds / "helm.cattle.io_helmcharts.yaml"
