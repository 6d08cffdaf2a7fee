"""How the tests are shared out where `pytest -n` has several workers."""

from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling


class OneCluster(LoadScopeScheduling):  # type: ignore[misc]
    """Keep a file's tests on one worker, and all that need the one real cluster on another."""

    def _split_scope(self, nodeid: str) -> str:
        """Return the name of what `nodeid` stays together with."""
        file = nodeid.partition("::")[0]
        return "e2e" if Path(file).parts[1] == "e2e" else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneCluster | None:
    """Share the tests out so, where the command line says `--dist loadscope`."""
    return OneCluster(config, log) if config.getvalue("dist") == "loadscope" else None
