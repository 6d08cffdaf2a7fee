"""The chart's values for what surrounds the programs, each with what it changes."""

import json
from collections.abc import Callable
from typing import Any

import yaml

from tests.support.chart_objects import (
    AGENT,
    LANDING,
    OPERATOR,
    Effect,
    Objects,
    container,
    pod,
    setting,
)

_DIGEST = "sha256:" + "0f" * 32
_PRE_PULL = ("DaemonSet", "pi-edge-spark-pre-pull")
_RULES = ("PrometheusRule", "pi-edge-spark")
_MONITOR = ("ServiceMonitor", "pi-edge-spark-operator")
_DASHBOARD = ("ConfigMap", "pi-edge-spark-dashboard")
_POLICY = ("ValidatingAdmissionPolicy", "pi-edge-spark.pi-edge-spark")
_BUDGET = ("PodDisruptionBudget", "pi-edge-spark-driver")


def _there(*names: tuple[str, str]) -> Callable[[Objects], bool]:
    return lambda rendered: all(name in rendered for name in names)


def _spec(name: tuple[str, str], *path: str | int) -> Callable[[Objects], Any]:
    """Look at a part of an object's spec; None where there is no such object or part."""

    def look(rendered: Objects) -> Any:
        found = rendered.get(name, {}).get("spec")
        for key in path:
            found = found[key] if isinstance(key, int) else (found or {}).get(key)
        return found

    return look


def _label(name: tuple[str, str], label: str) -> Callable[[Objects], Any]:
    return lambda rendered: rendered[name]["metadata"]["labels"].get(label)


def _alert(name: str) -> Callable[[Objects], Any]:
    """Look at the expression of an alert."""

    def look(rendered: Objects) -> Any:
        (group,) = rendered[_RULES]["spec"]["groups"]
        (rule,) = (each for each in group["rules"] if each["alert"] == name)
        return " ".join(rule["expr"].split())

    return look


def _egress(name: str) -> Callable[[Objects], Any]:
    """Look at the last thing that pods may reach."""
    return lambda rendered: rendered["NetworkPolicy", f"pi-edge-spark-{name}"]["spec"]["egress"][-1]


def _images() -> list[Effect]:
    looks = {
        "operator": container(OPERATOR, "image"),
        "edge": setting("edge", "image"),
        "edgeTransform": setting("edge", "transformImage"),
        "spark": setting("spark", "image"),
    }
    names = {"edgeTransform": "edge-transform"}
    return [
        Effect(
            f"images.{name}.digest",
            _DIGEST,
            look,
            f"localhost/pi-edge-spark/{names.get(name, name)}@{_DIGEST}",
        )
        for name, look in looks.items()
    ]


def _priorities() -> list[Effect]:
    looks = {
        "operator": pod(OPERATOR, "priorityClassName"),
        "landing": pod(LANDING, "priorityClassName"),
        "edge": setting("edge", "priorityClassName"),
    }
    name = "priorityClassName"
    effects = [Effect(f"{part}.{name}", "high", look, "high") for part, look in looks.items()]
    given = {"agent": {"enabled": True}}
    return [*effects, Effect(f"agent.{name}", "high", pod(AGENT, name), "high", given)]


def _network_policies() -> list[Effect]:
    names = ("jobs", "edge", "spark", "programs", "operator", "landing", "test")
    policies = [("NetworkPolicy", f"pi-edge-spark-{name}") for name in names]
    given = {"networkPolicies": {"enabled": True}}
    storage = {"to": [{"ipBlock": {"cidr": "10.1.2.3/32"}}]}
    agent = {"podSelector": {"matchLabels": {"app": "collector"}}}
    ports = {"ports": [{"protocol": "TCP", "port": 16443}]}
    return [
        Effect("networkPolicies.enabled", True, _there(*policies), True),
        Effect("networkPolicies.apiServerPorts", [16443], _egress("operator"), ports, given),
        Effect("networkPolicies.egress", [storage], _egress("edge"), storage, given),
        Effect("networkPolicies.egress", [storage], _egress("spark"), storage, given),
        Effect(
            "networkPolicies.scrapers",
            [agent],
            _spec(("NetworkPolicy", "pi-edge-spark-operator"), "ingress", 0, "from", 0),
            agent,
            given,
        ),
    ]


def _pre_pull() -> list[Effect]:
    given = {"prePull": {"enabled": True}}
    tolerations = [{"key": "edge", "operator": "Exists"}]

    def images(rendered: Objects) -> list[str]:
        spec = rendered[_PRE_PULL]["spec"]["template"]["spec"]
        containers = [*(spec.get("initContainers") or []), *spec["containers"]]
        return [each["image"].rpartition("/")[2] for each in containers]

    return [
        Effect("prePull.enabled", True, _there(_PRE_PULL), True),
        Effect("prePull.images", ["edge", "spark"], images, ["spark:dev", "edge:dev"], given),
        Effect(
            "prePull.nodeSelector",
            {"disk": "ssd"},
            pod(_PRE_PULL, "nodeSelector"),
            {"pi-edge-spark.io/role": "edge", "disk": "ssd"},
            given,
        ),
        Effect(
            "prePull.tolerations", tolerations, pod(_PRE_PULL, "tolerations"), tolerations, given
        ),
    ]


def _monitoring() -> list[Effect]:
    monitors: dict[str, Any] = {"monitoring": {"monitors": {"enabled": True}}}
    alerts: dict[str, Any] = {"monitoring": {"alerts": {"enabled": True}}}
    dashboard: dict[str, Any] = {"monitoring": {"dashboard": {"enabled": True}}}
    mine = {"release": "mine"}
    scraped = [("ServiceMonitor", f"pi-edge-spark-{name}") for name in ("operator", "landing")]
    pods = ("PodMonitor", "pi-edge-spark-agent")
    effects = [
        Effect("monitors.enabled", True, _there(*scraped), True),
        Effect("monitors.enabled", True, _there(pods), True, {"agent": {"enabled": True}}),
        Effect("monitors.labels", mine, _label(_MONITOR, "release"), "mine", monitors),
        Effect(
            "monitors.interval", "5m", _spec(_MONITOR, "endpoints", 0, "interval"), "5m", monitors
        ),
        Effect("alerts.enabled", True, _there(_RULES), True),
        Effect("alerts.labels", mine, _label(_RULES, "release"), "mine", alerts),
        Effect("dashboard.enabled", True, _there(_DASHBOARD), True),
        Effect("dashboard.labels", mine, _label(_DASHBOARD, "release"), "mine", dashboard),
    ]
    late = "time() - edge_etl_next_run_timestamp_seconds"
    old = "time() - edge_etl_last_success_timestamp_seconds"
    used = "edge_etl_agent_disk_used_bytes / edge_etl_agent_disk_budget_bytes"
    before = "avg_over_time(edge_etl_rejected_ratio[7d] offset 1h)"
    effects += [
        Effect(f"alerts.{value}", change, _alert(alert), expression, alerts)
        for value, change, alert, expression in (
            ("silentRuns", 5, "EdgeETLPiSilent", "edge_etl_node_missed_runs >= 5"),
            ("lateSeconds", 7_200_000, "EdgeETLRunLate", f"{late} > 7200000"),
            (
                "tableAgeSeconds",
                5_000_000,
                "EdgeETLTableNotPublished",
                f"{old} > 5000000 and on (namespace, job) edge_etl_next_run_timestamp_seconds",
            ),
            ("diskShare", 0.75, "EdgeETLAgentDiskBudget", f"{used} > 0.75"),
            (
                "rejectedRise",
                0.25,
                "EdgeETLRejectedShareRising",
                f"edge_etl_rejected_ratio > {before} + 0.25",
            ),
        )
    ]
    return [
        Effect(f"monitoring.{each.value}", each.change, each.look, each.expected, each.given)
        for each in effects
    ]


EXTRAS = [
    *_images(),
    *_priorities(),
    *_network_policies(),
    *_pre_pull(),
    *_monitoring(),
    Effect("spark.protectFromDrain", True, _there(_BUDGET), True),
    Effect("policy.ownCode", False, _there(_POLICY), True),
]


def dashboard(rendered: Objects) -> Any:
    """Return Grafana's own document."""
    return json.loads(rendered[_DASHBOARD]["data"]["pi-edge-spark.json"])


def alerts(rendered: Objects) -> str:
    """Return the rules as Prometheus reads them from a file."""
    return yaml.safe_dump(rendered[_RULES]["spec"], allow_unicode=True)
