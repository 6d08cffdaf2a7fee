"""What is kept of Kubernetes' objects: thousands of them say the same, and it is kept once."""

from typing import Any

import msgspec
from edge_etl_operator import names
from edge_etl_operator.kube import Job, Pod, decoder

from tests.support import operator_facts as facts


def document(name: str) -> dict[str, Any]:
    labels = {names.RUN: "20260301-120000", names.NODE: f"{name}-node", "another": "label"}
    return {
        "metadata": {"name": name, "namespace": "edge", "uid": name, "labels": labels},
        "spec": {
            "nodeName": f"{name}-node",
            "containers": [{"name": "edge", "resources": {"limits": {"memory": "512Mi"}}}],
            "volumes": [
                {"name": "work", "emptyDir": {}},
                {"name": "config", "configMap": {"name": "air"}},
            ],
        },
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            **facts.container(running={}),
        },
    }


def test_what_two_pods_say_alike_is_kept_once() -> None:
    one, other = (decoder(Pod)(msgspec.json.encode(document(name))) for name in ("a", "b"))
    assert one.status.conditions is other.status.conditions
    assert one.spec.containers is other.spec.containers
    assert one.status.container_statuses[0].image is other.status.container_statuses[0].image
    assert one.metadata.labels[names.RUN] is other.metadata.labels[names.RUN]
    # What differs still does.
    assert (one.name, other.name) == ("a", "b")
    assert one.spec.node_name is one.metadata.labels[names.NODE]
    assert other.metadata.labels[names.NODE] == "b-node"


def test_what_two_jobs_say_alike_is_kept_once() -> None:
    ended = {"conditions": [{"type": "Complete", "status": "True"}]}
    one, other = (
        decoder(Job)(msgspec.json.encode({**document(name), "status": ended})) for name in "ab"
    )
    assert one.status.conditions is other.status.conditions
    assert one.succeeded


def test_of_a_pod_only_what_the_operator_asks_for_is_kept() -> None:
    pod = decoder(Pod)(msgspec.json.encode(document("a")))
    assert set(pod.metadata.labels) == {names.RUN, names.NODE}
    [config] = pod.spec.volumes
    assert config.config_map is not None
    assert config.config_map.name == "air"
    assert pod.memory_limit() == "512Mi"
