"""How the tests are shared out where `pytest -n` has several workers."""

from pathlib import Path

import pytest

# All that needs the one real cluster stays together, and starts first: it takes the longest.
CLUSTER = "cluster"
_ORDER = {"e2e": 0, "full": 0, "integration": 1, "contract": 2, "unit": 3}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep a file's tests together, and the cluster's; the tiers that take long come first."""
    # Before the plugin reads the groups, which it writes into the names of the tests.
    if not hasattr(config, "workerinput"):
        return
    items.sort(key=lambda item: _ORDER[_tier(item)])
    for item in items:
        needs_cluster = "cluster" in getattr(item, "fixturenames", ())
        name = CLUSTER if needs_cluster else item.nodeid.partition("::")[0]
        item.add_marker(pytest.mark.xdist_group(name))


def _tier(item: pytest.Item) -> str:
    return Path(item.nodeid).parts[1]
