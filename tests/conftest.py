"""What every test can ask for."""

from tests.support.fixtures import (
    api_namespace,
    api_server,
    cluster,
    cluster_namespace,
    elsewhere,
    pis,
    release,
)
from tests.support.sharing import pytest_xdist_make_scheduler
from tests.support.tiers import pytest_terminal_summary

__all__ = [
    "api_namespace",
    "api_server",
    "cluster",
    "cluster_namespace",
    "elsewhere",
    "pis",
    "pytest_terminal_summary",
    "pytest_xdist_make_scheduler",
    "release",
]
