"""The chart's values for its broker, each with what it changes."""

from collections.abc import Callable
from typing import Any

from tests.support.chart_objects import Effect, Objects, container, pod, volume

BROKER = ("Deployment", "pi-edge-spark-broker")
CLAIM = ("PersistentVolumeClaim", "pi-edge-spark-broker")
SECRETS: dict[str, Any] = {"enabled": True, "tlsSecret": "tls", "usersSecret": "users"}
WITH_BROKER: dict[str, Any] = {"broker": SECRETS}


def _told(part: str) -> Callable[[Objects], Any]:
    """Look at a line of mosquitto.conf by its first word."""

    def look(rendered: Objects) -> Any:
        text: str = rendered["ConfigMap", "pi-edge-spark-broker"]["data"]["mosquitto.conf"]
        return next(line for line in text.splitlines() if line.startswith(f"{part} "))

    return look


def _access(rendered: Objects) -> list[str]:
    text: str = rendered["ConfigMap", "pi-edge-spark-broker"]["data"]["access"]
    return [line for line in text.splitlines() if line]


def _spec(name: tuple[str, str], *path: str | int) -> Callable[[Objects], Any]:
    def look(rendered: Objects) -> Any:
        found = rendered[name]["spec"]
        for key in path:
            found = found[key] if isinstance(key, int) else found.get(key)
        return found

    return look


def _secret(name: str, secret: str) -> dict[str, Any]:
    return {"name": name, "secret": {"secretName": secret, "defaultMode": 0o440}}


_DIGEST = "sha256:" + "0f" * 32
_SERVICE = ("Service", "pi-edge-spark-broker")
_OWN = "pattern write sensors/%u/#"
_ZIGBEE = [{"user": "zigbee", "topics": ["readwrite zigbee2mqtt/#"]}]

BROKER_EFFECTS = [
    Effect("broker.enabled", True, lambda rendered: BROKER in rendered, True,
           {"broker": {**SECRETS, "enabled": False}}),
    *(
        Effect(f"broker.{name}", change, look, expected, WITH_BROKER)
        for name, change, look, expected in (
            ("tlsSecret", "other", volume(BROKER, "tls"), _secret("tls", "other")),
            ("usersSecret", "other", volume(BROKER, "users"), _secret("users", "other")),
            ("access", _ZIGBEE, _access, ["user zigbee", "topic readwrite zigbee2mqtt/#", _OWN]),
            ("patterns", ["read all/%u"], _access, ["pattern read all/%u"]),
            ("port", 8884, _told("listener"), "listener 8884"),
            ("port", 8884, _spec(_SERVICE, "ports", 0, "port"), 8884),
            ("service.type", "ClusterIP", _spec(_SERVICE, "type"), "ClusterIP"),
            ("service.nodePort", 30883, _spec(_SERVICE, "ports", 0, "nodePort"), 30883),
            ("storage.existingClaim", "mine", lambda rendered: CLAIM in rendered, False),
            ("storage.existingClaim", "mine", volume(BROKER, "data"),
             {"name": "data", "persistentVolumeClaim": {"claimName": "mine"}}),
            ("storage.storageClassName", "nfs", _spec(CLAIM, "storageClassName"), "nfs"),
            ("storage.size", "2Gi", _spec(CLAIM, "resources", "requests", "storage"), "2Gi"),
            ("storage.keep", False, lambda rendered: rendered[CLAIM]["metadata"].get("annotations"),
             None),
            ("autosaveSeconds", 60, _told("autosave_interval"), "autosave_interval 60"),
            ("maxQueuedMessages", 7, _told("max_queued_messages"), "max_queued_messages 7"),
            ("maxConnections", 7, _told("max_connections"), "max_connections 7"),
            ("maxMessageBytes", 700, _told("max_packet_size"), "max_packet_size 700"),
            ("priorityClassName", "high", pod(BROKER, "priorityClassName"), "high"),
        )
    ),
    *(
        Effect(f"images.mosquitto.{name}", change, container(BROKER, key), expected, WITH_BROKER)
        for name, change, key, expected in (
            ("repository", "pi.local:5000/x", "image", "pi.local:5000/x:2.0.22"),
            ("tag", "2.1", "image", "eclipse-mosquitto:2.1"),
            ("digest", _DIGEST, "image", f"eclipse-mosquitto@{_DIGEST}"),
            ("pullPolicy", "Always", "imagePullPolicy", "Always"),
        )
    ),
]  # fmt: skip
