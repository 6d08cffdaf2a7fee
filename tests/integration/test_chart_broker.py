"""The chart's broker as a process: a real Mosquitto with exactly the rendered files."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from tests.support.agent import AgentProcess, Broker, passwords
from tests.support.chart_objects import rendered
from tests.support.cluster.kube import until
from tests.support.cluster.pki import Authority

SERVICE = "pi-edge-spark-broker.pi-edge-spark.svc"
TOPICS = [{"pattern": "sensors/{sensor_id}/{field}"}, {"pattern": "zigbee2mqtt/{sensor_id}"}]
USERS = {name: f"password of {name}" for name in ("agents", "roof-1", "zigbee")}


class ChartBroker(Broker):
    """The pod of the chart; what it mounts lies below ``root``."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        mqtt = {"username": "agents", "passwordFile": "/etc/edge-etl-mqtt/password", "share": "all"}
        self.objects = rendered(
            agent={"enabled": True, "config": {"mqtt": {**mqtt, "topics": TOPICS}}},
            broker={
                "enabled": True, "tlsSecret": "tls", "usersSecret": "users", "port": self.port,
                "access": [{"user": "zigbee", "topics": ["readwrite zigbee2mqtt/#"]}],
                "autosaveSeconds": 1,
            },
        )  # fmt: skip
        self.authority = Authority(root / "pki")

    def configuration(self) -> str:
        """Put everything where the pod has it, and return the rendered mosquitto.conf."""
        self.authority.create()
        self.authority.issue("server", f"/CN={SERVICE}", [f"DNS:{SERVICE}", "IP:127.0.0.1"])
        files = {
            "/etc/mosquitto-tls/tls.crt": self.authority.cert("server").read_text(),
            "/etc/mosquitto-tls/tls.key": self.authority.key("server").read_text(),
            "/etc/edge-etl-broker/ca.crt": self.authority.certificate.read_text(),
            "/etc/edge-etl-mqtt/password": USERS["agents"],
            "/etc/mosquitto-broker/access": self._rendered("access"),
        }
        for path, content in files.items():
            self.place(path).parent.mkdir(parents=True, exist_ok=True)
            self.place(path).write_text(content)
            self.place(path).chmod(0o600)
        self.place("/etc/mosquitto-users").mkdir()
        passwords(self.place("/etc/mosquitto-users/passwords"), USERS)
        self.place("/data").mkdir()
        return self.placed(self._rendered("mosquitto.conf"))

    def _rendered(self, name: str) -> str:
        text: str = self.objects["ConfigMap", "pi-edge-spark-broker"]["data"][name]
        return text

    def place(self, path: str) -> Path:
        return self.root / path.removeprefix("/")

    def placed(self, text: str) -> str:
        """Return a text whose paths are those of the pod."""
        return text.replace("/etc/", f"{self.root}/etc/").replace("/data/", f"{self.root}/data/")

    def agent(self, root: Path) -> AgentProcess:
        """Return an agent with the rendered configuration."""
        text = self.objects["ConfigMap", "pi-edge-spark-agent"]["data"]["agent.json"]
        config = json.loads(self.placed(text))
        assert config["mqtt"]["host"] == SERVICE
        config["mqtt"]["host"] = "127.0.0.1"  # the other name of its certificate
        return AgentProcess(root, config)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ChartBroker]:
    with ChartBroker(tmp_path_factory.mktemp("broker") / "pod") as broker:
        yield broker


@pytest.fixture(scope="module")
def agent(broker: ChartBroker, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AgentProcess]:
    with broker.agent(tmp_path_factory.mktemp("agent")) as agent:
        until(lambda: "mqtt_connected 1" in metrics(agent), "connected", every=0.05)
        yield agent


def metrics(agent: AgentProcess) -> str:
    return agent.request("GET", "/metrics").body.decode()


class Sensor:
    """A client of the broker; keeps what it is told."""

    def __init__(self, broker: ChartBroker, user: str | None, password: str = "") -> None:
        self.answers: list[ReasonCode] = []
        self.connected: list[ReasonCode] = []
        self.messages: list[str] = []
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5, userdata=self
        )
        if user:
            self.client.username_pw_set(user, password or USERS[user])
        self.client.tls_set(str(broker.authority.certificate))
        self.client.on_connect = lambda _c, _u, _f, reason, _p: self.connected.append(reason)
        self.client.on_publish = lambda _c, _u, _m, reason, _p: self.answers.append(reason)
        self.client.on_subscribe = lambda _c, _u, _m, reasons, _p: self.answers.extend(reasons)
        self.client.on_message = lambda _c, _u, message: self.messages.append(message.topic)
        self.client.connect("127.0.0.1", broker.port)

    def __enter__(self) -> "Sensor":
        self.client.loop_start()
        until(lambda: self.connected, "an answer to the connection", every=0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def publish(self, topic: str, payload: str) -> str:
        """Publish with QoS 1; return what the broker says."""
        self.answers.clear()
        self.client.publish(topic, payload, qos=1)
        until(lambda: self.answers, "an answer to the message", every=0.02)
        return str(self.answers[0])

    def subscribe(self, topic: str) -> str:
        self.answers.clear()
        self.client.subscribe(topic, qos=1)
        until(lambda: self.answers, "an answer to the subscription", every=0.02)
        return str(self.answers[0])


@pytest.mark.parametrize(
    ("user", "password"), [(None, ""), ("roof-1", "wrong"), ("nobody", "password")]
)
def test_nobody_comes_in_without_a_password(
    broker: ChartBroker, user: str | None, password: str
) -> None:
    with Sensor(broker, user, password) as sensor:
        assert str(sensor.connected[0]) == "Not authorized"


def test_nobody_comes_in_without_tls(broker: ChartBroker) -> None:
    client = paho.Client(CallbackAPIVersion.VERSION2)
    client.username_pw_set("roof-1", USERS["roof-1"])
    client.connect("127.0.0.1", broker.port)
    reasons: list[Any] = []
    client.on_connect = lambda *arguments: reasons.append(arguments)
    client.on_disconnect = lambda *arguments: reasons.append("disconnected")
    client.loop_start()
    try:
        until(lambda: reasons, "the end of the connection", every=0.02)
    finally:
        client.loop_stop()
    assert reasons[0] == "disconnected"


def test_readings_come_to_the_agent_and_each_user_has_topics_of_its_own(
    broker: ChartBroker, agent: AgentProcess
) -> None:
    with Sensor(broker, "roof-1") as roof, Sensor(broker, "zigbee") as zigbee:
        assert roof.publish("sensors/roof-1/t", "21.5") == "Success"
        assert roof.publish("sensors/cellar/t", "-40") == "Not authorized"
        assert roof.publish("zigbee2mqtt/lamp", "{}") == "Not authorized"
        assert roof.publish("edge-etl/pi-1/status", "offline") == "Not authorized"
        # Who may read is decided when there is something to read.
        assert {roof.subscribe("#"), zigbee.subscribe("#")} == {"Granted QoS 1"}
        assert zigbee.publish("sensors/roof-1/t", "-40") == "Not authorized"
        assert zigbee.publish("zigbee2mqtt/lamp", '{"humidity": 40}') == "Success"
        until(lambda: zigbee.messages == ["zigbee2mqtt/lamp"], "its own message", every=0.02)
        assert roof.messages == []
    until(lambda: 'readings_total{stream="readings"} 2' in metrics(agent), "both", every=0.05)
    streams = agent.request("GET", "/v1/streams").document["streams"]
    assert streams[0]["lastValues"] == {"humidity": "40", "sensor_id": "lamp"}


def test_what_waits_for_an_agent_outlives_a_kill_of_the_broker(
    broker: ChartBroker, agent: AgentProcess
) -> None:
    database = broker.place("/data/mosquitto.db")
    agent.stop()
    with Sensor(broker, "roof-1") as roof:
        assert roof.publish("sensors/roof-1/kept", "1") == "Success"
    until(lambda: b"sensors/roof-1/kept" in database.read_bytes(), "it is written", every=0.05)
    broker.stop(9)
    broker.start()
    agent.start()
    until(lambda: 'readings_total{stream="readings"} 1' in metrics(agent), "it", every=0.05)
    assert agent.stop() == 0
    assert [row["kept"] for row in agent.stored() if row.get("kept")] == ["1"]
