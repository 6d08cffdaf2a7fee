"""Command-line tools as paths, for tests that need no cluster."""

from pathlib import Path

from tests.support.cluster import binaries


def helm() -> Path:
    """Return helm."""
    return binaries.binary("helm")


def kubeconform() -> Path:
    """Return kubeconform."""
    return binaries.binary("kubeconform")


def kubectl() -> Path:
    """Return kubectl."""
    return binaries.folder("kubernetes") / "kubectl"


def promtool() -> Path:
    """Return promtool, which tests rules of Prometheus."""
    return binaries.binary("promtool")
