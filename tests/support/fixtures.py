"""Fixtures over real clusters; `tests/conftest.py` offers them to every test."""

import secrets
import sys
from collections.abc import Iterator

import pytest

from tests.support.cluster import ApiServer


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """Give a real API server without nodes, one for all tests of the session."""
    if sys.platform != "linux":
        pytest.skip("the API server of the tests runs on Linux only")
    with ApiServer() as server:
        yield server


@pytest.fixture
def api_namespace(api_server: ApiServer) -> Iterator[str]:
    """Give a namespace of `api_server` that this test has for itself."""
    name = f"test-{secrets.token_hex(4)}"
    api_server.kubectl("create", "namespace", name)
    yield name
    api_server.kubectl("delete", "namespace", name, "--wait=false")
