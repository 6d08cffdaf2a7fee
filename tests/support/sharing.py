"""How the tests are shared out where `pytest -n` has several workers."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.support.cluster.external import KUBECONFIG

ROUGH: Final = ("test_agent", "test_clock", "test_cluster", "test_unattended")
"""Files of about half of the time that real clusters take: those that are rough with the services
and the nodes of theirs. The other half has a cluster beside them."""

ALONE: Final = ("test_cluster_ends", "test_images")
"""Files that start what they need themselves."""


def together(nodeid: str, environment: Mapping[str, str] = os.environ) -> str:
    """Return the name of what a test stays together with on one worker: its file, or a cluster.

    There is one cluster where the user names it.
    """
    file = Path(nodeid.partition("::")[0])
    if file.parts[1] != "e2e" or file.stem in ALONE:
        return str(file)
    return "rough e2e" if file.stem in ROUGH and KUBECONFIG not in environment else "e2e"


class FewClusters(LoadScopeScheduling):  # type: ignore[misc]
    """Keep a file's tests on one worker, and on two workers all that share a real cluster."""

    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FewClusters | None:
    """Share the tests out so, where the command line says `--dist loadscope`."""
    return FewClusters(config, log) if config.getvalue("dist") == "loadscope" else None
