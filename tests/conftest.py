"""What every test can ask for."""

from tests.support.fixtures import (
    api_namespace,
    api_server,
    cluster,
    cluster_namespace,
    release,
)

__all__ = ["api_namespace", "api_server", "cluster", "cluster_namespace", "release"]
