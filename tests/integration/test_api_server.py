"""The API server that contract and integration tests stand on."""

import json
from pathlib import Path

import pytest

from tests.support.cluster import ApiServer, CommandError
from tests.support.cluster.state import State

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: samples.test.pi-edge-spark.io}
spec:
  group: test.pi-edge-spark.io
  scope: Namespaced
  names: {plural: samples, singular: sample, kind: Sample}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties: {size: {type: integer}}
            x-kubernetes-validations: [{rule: self.size < 10, message: too large}]
"""


def test_it_checks_what_a_crd_says(
    api_server: ApiServer, api_namespace: str, tmp_path: Path
) -> None:
    path = tmp_path / "crd.yaml"
    path.write_text(CRD)
    api_server.install_crd(path)
    sample = {
        "apiVersion": "test.pi-edge-spark.io/v1",
        "kind": "Sample",
        "metadata": {"name": "a"},
        "spec": {"size": 3},
    }
    api_server.apply(sample, api_namespace)
    assert api_server.get("samples", "a", "-n", api_namespace)["spec"] == {"size": 3}
    with pytest.raises(CommandError, match="too large"):
        api_server.apply({**sample, "spec": {"size": 30}}, api_namespace)


def test_a_namespace_and_owned_objects_go_away(api_server: ApiServer) -> None:
    api_server.kubectl("create", "namespace", "short-lived")
    api_server.kubectl("create", "configmap", "kept", "-n", "short-lived")
    api_server.kubectl("delete", "namespace", "short-lived", "--timeout=60s")
    with pytest.raises(CommandError, match="not found"):
        api_server.get("namespace", "short-lived")


def test_service_account_tokens_carry_their_audience(
    api_server: ApiServer, api_namespace: str
) -> None:
    token = api_server.kubectl(
        "create", "token", "default", "-n", api_namespace, "--audience=landing"
    ).strip()
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": ["landing"]},
    }
    answer = api_server.kubectl("create", "-o", "json", "-f", "-", stdin=json.dumps(review))
    assert json.loads(answer)["status"]["authenticated"] is True


def test_closing_it_leaves_no_process_and_no_file() -> None:
    with ApiServer(controllers=()) as server:
        state = State(server.state.folder)
        processes = state.processes()
        assert {process.what for process in processes} == {"kine", "kube-apiserver"}
        assert all(process.alive() for process in processes)
    assert not any(process.alive() for process in processes)
    assert not state.folder.exists()
