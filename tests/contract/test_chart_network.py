"""What the chart's NetworkPolicies allow between real pods' labels, by the rules of Kubernetes.

The tests' cluster has no network that enforces them, so that what they say is computed:
kubernetes.io/docs/concepts/services-networking/network-policies. A pod that no policy selects for a
direction is free in it; else it may do what any of them allows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from edge_etl_operator.builders import aggregate

from tests.support import chart
from tests.support import operator_facts as facts
from tests.support.chart_broker import BROKER, SECRETS
from tests.support.chart_objects import AGENT, LANDING, OPERATOR, Objects, rendered

HOME, FARM = chart.RELEASE, "farm"
VALUES: dict[str, Any] = {
    "networkPolicies": {"enabled": True},
    "agent": {"enabled": True, "config": {"mqtt": {"host": "broker", "topics": []}}},
    "operator": {"namespaces": [FARM]},
    "broker": {**SECRETS, "port": 1883},
}


@dataclass(frozen=True)
class Place:
    """A pod, or with no namespace whatever is none, and the port at which it is reached."""

    name: str
    port: int
    port_name: str = ""
    namespace: str = ""
    labels: Mapping[str, str] | None = None


def _template(objects: Objects, name: tuple[str, str], port: int, port_name: str = "http") -> Place:
    labels = objects[name]["spec"]["template"]["metadata"]["labels"]
    return Place(labels["app.kubernetes.io/component"], port, port_name, HOME, labels)


def _of_a_job(namespace: str) -> Iterator[Place]:
    job = facts.job()
    node_job = facts.node_job(job, "r", facts.node("pi-1"), facts.SETTINGS)
    plan = facts.spark_plan(job)
    driver = aggregate.driver_pod(job, facts.run(), plan, "c", 60, facts.SETTINGS)
    executor = aggregate.executor_template(job, "r", plan, facts.SETTINGS)["metadata"]["labels"]
    yield Place("edge", 0, "", namespace, node_job["spec"]["template"]["metadata"]["labels"])
    yield Place("driver", 7078, "", namespace, driver["metadata"]["labels"])
    yield Place("executor", 35001, "", namespace, {**executor, "spark-role": "executor"})


def _places(objects: Objects) -> dict[str, Place]:
    test = objects["Pod", "pi-edge-spark-test-answers"]["metadata"]["labels"]
    stranger = {"app": "stranger"}
    found = [
        _template(objects, OPERATOR, 8080),
        _template(objects, LANDING, 8080),
        _template(objects, AGENT, 8090),
        _template(objects, BROKER, 1883, "mqtts"),
        Place("test", 0, "", HOME, test),
        *_of_a_job(HOME),
        Place("stranger", 8080, "http", HOME, stranger),
        Place("prometheus", 9090, "http", "monitoring", stranger),
        Place("dns", 53, "dns", "kube-system", {"k8s-app": "kube-dns"}),
        Place("API server", 6443),
        Place("broker elsewhere", 1883),
        Place("internet", 80),
    ]
    places = {each.name: each for each in found}
    return places | {f"{FARM} {each.name}": each for each in _of_a_job(FARM)}


@pytest.fixture(scope="module")
def objects() -> Objects:
    return rendered(**VALUES)


def _matches(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    assert set(selector) <= {"matchLabels"}, "a selector that this test does not know"
    wanted: Mapping[str, str] = selector.get("matchLabels") or {}
    return wanted.items() <= labels.items()


def _peer(rule: Mapping[str, Any], home: str, other: Place) -> bool:
    """Tell whether a peer of a policy in the namespace `home` is this place."""
    if other.labels is None:
        return False
    if "namespaceSelector" in rule:
        named = {"kubernetes.io/metadata.name": other.namespace}
        if not _matches(rule["namespaceSelector"], named):
            return False
    elif other.namespace != home:
        return False
    return _matches(rule.get("podSelector") or {}, other.labels)


def _free(policies: list[Any], one: Place, other: Place, direction: str, target: Place) -> bool:
    """Tell whether a place may do it, as far as the policies of its own namespace say."""
    if one.labels is None:
        return True
    own = [
        policy
        for policy in policies
        if policy["metadata"]["namespace"] == one.namespace
        and _matches(policy["spec"]["podSelector"], one.labels)
        and direction in policy["spec"]["policyTypes"]
    ]
    peers = "from" if direction == "Ingress" else "to"
    allowed = (
        (peers not in rule or any(_peer(peer, one.namespace, other) for peer in rule[peers]))
        and ("ports" not in rule or any(_port(port, target) for port in rule["ports"]))
        for policy in own
        for rule in policy["spec"].get(direction.lower(), [])
    )
    return not own or any(allowed)


def _port(port: Mapping[str, Any], target: Place) -> bool:
    return port["port"] in (target.port, target.port_name)


def _reaches(policies: list[Any], source: Place, target: Place) -> bool:
    return _free(policies, source, target, "Egress", target) and _free(
        policies, target, source, "Ingress", target
    )


PROGRAMS = ("operator", "landing", "agent", "broker", "test", "edge", "driver", "executor")
CALLERS = tuple(each for each in PROGRAMS if each != "broker")
OUTSIDE = ("stranger", "internet", "API server", "broker elsewhere", "dns", "prometheus")
INTERESTING = {
    # Spark among its own, of one namespace.
    *product(("driver", "executor"), ("driver", "executor")),
    *product((f"{FARM} driver", f"{FARM} executor"), (f"{FARM} driver", f"{FARM} executor")),
    ("edge", "landing"),
    *product(("prometheus", "test"), ("operator", "landing", "agent")),
    # Sensors, which may be anywhere.
    *product(OUTSIDE, ("agent", "broker")),
    # DNS, and who talks to the API server.
    *((each, "dns") for each in (*CALLERS, f"{FARM} edge", f"{FARM} driver", f"{FARM} executor")),
    *((each, "API server") for each in ("operator", "landing", "test", "driver", "executor")),
    *((f"{FARM} {each}", "API server") for each in ("driver", "executor")),
    *product(("agent",), ("broker", "broker elsewhere")),
}


def test_pods_reach_what_they_need_and_nothing_else(objects: Objects) -> None:
    policies = [each for (kind, _), each in objects.items() if kind == "NetworkPolicy"]
    places = _places(objects)
    ours = {name for name in places if name.removeprefix(f"{FARM} ") in PROGRAMS}
    found = {
        (source, target)
        for source, target in product(places, places)
        if (source in ours or target in ours)
        and (source != target or source in ("driver", "executor"))
        and _reaches(policies, places[source], places[target])
    }
    wanted = {(a, b) for a, b in INTERESTING if a != b or a in ("driver", "executor")}
    assert sorted(found - wanted) == []
    assert sorted(wanted - found) == []


def test_without_them_nothing_is_restricted() -> None:
    assert [name for kind, name in rendered() if kind == "NetworkPolicy"] == []
