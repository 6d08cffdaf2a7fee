"""Fixtures around the landing service; `tests/integration/conftest.py` offers them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster import ApiServer
from tests.support.landing_process import LandingProcess, Pod, Pods

REVIEWER = """
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: test-landing}
rules:
- {apiGroups: [authentication.k8s.io], resources: [tokenreviews], verbs: [create]}
"""


@pytest.fixture(scope="session")
def landing_token(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the token of a service account that may create token reviews and nothing else."""
    account = ("-n", "default", "serviceaccount")
    api_server.kubectl("create", *account, "landing")
    api_server.apply(REVIEWER)
    api_server.kubectl(
        *("create", "clusterrolebinding", "test-landing", "--clusterrole=test-landing"),
        "--serviceaccount=default:landing",
    )
    path = tmp_path_factory.mktemp("landing") / "token"
    path.write_text(api_server.kubectl("create", "token", "landing", "-n", "default"))
    return path


@pytest.fixture
def pods(api_server: ApiServer, api_namespace: str) -> Pods:
    """Give a namespace in which pods and their tokens can be made."""
    return Pods(api_server, api_namespace)


@pytest.fixture
def landing(api_server: ApiServer, landing_token: Path, tmp_path: Path) -> LandingProcess:
    """Give a landing service over an empty root, not yet started."""
    root = tmp_path / "results"
    root.mkdir()
    token_file = tmp_path / "landing-token"
    token_file.write_bytes(landing_token.read_bytes())
    return LandingProcess(root, api_server, token_file)


@pytest.fixture
def service(landing: LandingProcess) -> Iterator[LandingProcess]:
    """Give that service, started."""
    with landing:
        yield landing


@pytest.fixture
def pod(pods: Pods) -> Pod:
    """Give a pod of one node."""
    return pods.create("pi-1")
