"""What a person sees after a mistake: the cause and the remedy, in `kubectl get` and `describe`."""

import secrets
from typing import Any

import pytest

from tests.support.cluster import AnyCluster, until
from tests.support.cluster.kube import CommandError
from tests.support.jobs import NAMESPACE, SOURCES, Object, condition, finished, sample, status
from tests.support.playing import shown

SOME = {"name": "mixed", "include": ["2019-03-05*.csv"]}


def _apply(cluster: AnyCluster, name: str, **spec: Any) -> None:
    cluster.apply(sample(name, aggregate={}, **spec), namespace=NAMESPACE)


def _said(
    cluster: AnyCluster, name: str, kind: str, reason: str, namespace: str = NAMESPACE
) -> str:
    """Wait until a condition has a reason and return its message, which `describe` must show."""

    def found() -> Object | None:
        known = condition(status(cluster, name, namespace), kind)
        return known if known.get("reason") == reason else None

    try:
        message: str = (until(found, f"{kind}: {reason}", timeout=120) or {})["message"]
    except TimeoutError:
        print(cluster.kubectl("describe", "eej", name, "-n", namespace))
        raise
    print(f"{name}: {kind}: {reason}: {message}")
    return message


def test_a_source_that_is_not_allowed(pis: AnyCluster) -> None:
    _apply(pis, "unknown-source", source={"name": "secrets"})
    message = _said(pis, "unknown-source", "Accepted", "SourceNotAllowed")
    assert "secrets" in message
    assert "sensors" in message


def test_no_node_matches_until_one_does(pis: AnyCluster) -> None:
    label = "greenhouse"
    nodes = {"selector": {"matchLabels": {label: "yes"}}}
    _apply(pis, "no-node", nodes=nodes, source=SOME)
    assert label in _said(pis, "no-node", "EdgeComplete", "NoMatchingNode")
    assert status(pis, "no-node")["phase"] == "Pending"
    pis.kubectl("label", "node", "pi-2", f"{label}=yes")
    assert finished(pis, "no-node")["nodesSummary"] == "1/1"


def test_a_field_that_no_file_has(pis: AnyCluster) -> None:
    document = sample("unknown-field", source=SOME, aggregate={})
    extra = {"name": "radiation", "from": ["usv"], "type": "double"}
    document["spec"]["schema"]["fields"].append(extra)
    pis.apply(document, namespace=NAMESPACE)
    message = _said(pis, "unknown-field", "Degraded", "FieldNotFound")
    assert "radiation" in message
    assert "humidity" in message


def test_a_value_that_a_rule_forbids(pis: AnyCluster) -> None:
    with pytest.raises(CommandError) as refused:
        _apply(pis, "bad-key", source=SOME, key=["sensor", "timestamp"])
    assert "spec.key" in refused.value.errors
    assert "must be 'timestamp' or the name of a field" in refused.value.errors
    with pytest.raises(CommandError) as unknown:
        _apply(pis, "typo", source=SOME, nodeSelector={})
    assert 'unknown field "spec.nodeSelector"' in unknown.value.errors


def test_a_directory_without_files(pis: AnyCluster) -> None:
    _apply(pis, "empty", source={"name": "empty"})
    assert finished(pis, "empty")["rows"] == 0
    message = _said(pis, "empty", "Degraded", "NoFiles")
    for word in ("pi-1", "pi-2", "pi-3"):
        assert word in message


def test_a_directory_that_one_node_lacks(pis: AnyCluster) -> None:
    _apply(pis, "absent", source={"name": "absent"})
    message = _said(pis, "absent", "EdgeComplete", "SourceMissing")
    assert "pi-3" in message
    assert f"{SOURCES}/absent" in message


def test_a_file_that_is_not_text(pis: AnyCluster) -> None:
    binary = pis.node("pi-3").path(f"{SOURCES}/mixed") / "2019-03-05-photo.csv"
    binary.write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00" + secrets.token_bytes(4096))
    try:
        _apply(pis, "binary", source={**SOME, "settleSeconds": 0})
        message = _said(pis, "binary", "Degraded", "FilesQuarantined")
        assert "pi-3" in message
        assert binary.name in message
        assert finished(pis, "binary")["nodesSummary"] == "3/3"
    finally:
        binary.unlink()


def test_an_image_that_does_not_exist(pis: AnyCluster, elsewhere: str) -> None:
    job = sample("no-image", results={"volumeClaim": {"name": "shared"}}, aggregate={})
    # The node on which the volume of all jobs in that namespace is.
    job["spec"]["nodes"]["selector"]["matchLabels"]["kubernetes.io/hostname"] = "pi-1"
    pis.apply(job, namespace=elsewhere)
    message = _said(pis, "no-image", "EdgeComplete", "ImageUnavailable", elsewhere)
    assert "no-such-tag" in message
    shown(pis, "no-image", "An image that does not exist", elsewhere)


def test_a_claim_that_does_not_exist(pis: AnyCluster, elsewhere: str) -> None:
    job = sample("no-claim", results={"volumeClaim": {"name": "nowhere"}}, aggregate={})
    pis.apply(job, namespace=elsewhere)
    message = _said(pis, "no-claim", "EdgeComplete", "ClaimUnavailable", elsewhere)
    assert "nowhere" in message
    shown(pis, "no-claim", "A claim that does not exist", elsewhere)


def test_landing_where_there_is_none(pis: AnyCluster, elsewhere: str) -> None:
    pis.apply(sample("no-landing"), namespace=elsewhere)
    message = _said(pis, "no-landing", "Accepted", "LandingUnavailable", elsewhere)
    assert "volumeClaim" in message
