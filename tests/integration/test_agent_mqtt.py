"""The agent as a subscriber of a real Mosquitto: acknowledged means stored, through kills."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.agent import AgentProcess, Broker
from tests.support.cluster.kube import until

KILLS = int(os.environ.get("AGENT_KILLS", "6"))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker") as broker:
        yield broker


def configured(broker: Broker, **mqtt: Any) -> dict[str, Any]:
    topics = [{"pattern": "sensors/{sensor_id}/{field}"}, {"pattern": "tele/{sensor_id}/#"}]
    return {"mqtt": {"host": "127.0.0.1", "port": broker.port, "topics": topics, **mqtt}}


@contextmanager
def client(broker: Broker, name: str = "sensor") -> Iterator[paho.Client]:
    """Give a client whose messages are repeated until the broker has them."""
    client = paho.Client(CallbackAPIVersion.VERSION2, name, clean_session=False)
    client.max_queued_messages_set(0)
    client.reconnect_delay_set(0.05, 0.2)  # type: ignore[arg-type]
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def connected(agent: AgentProcess) -> None:
    def says() -> bool:
        return b"edge_etl_agent_mqtt_connected 1" in agent.request("GET", "/metrics").body

    until(says, "the agent is connected", every=0.05)


def count(agent: AgentProcess, stream: str = "readings") -> int:
    streams = agent.request("GET", "/v1/streams").document["streams"]
    return sum(each["readings"] for each in streams if each["name"] == stream)


def counted(agent: AgentProcess, number: int) -> None:
    until(lambda: count(agent) == number, f"{number} readings", every=0.05)


def longer(messages: list[str], number: int) -> None:
    until(lambda: len(messages) > number, f"{number} messages", every=0.01)


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_messages_become_rows(broker: Broker, tmp_path: Path, version: str) -> None:
    with client(broker) as sensor:
        # What is retained is an old value, which the agent got when it was new, or never.
        sensor.publish("sensors/a/t", "1", qos=1, retain=True).wait_for_publish(30)
        with AgentProcess(tmp_path, configured(broker, version=version)) as agent:
            connected(agent)
            messages = (
                ("sensors/a/t", "21.5"), ("tele/b/SENSOR", '{"BME":{"H":7}}'), ("sensors/a/t", ""),
                ("sensors/a/t", b"\xff"), ("sensors/a/on", "ON"),
            )  # fmt: skip
            for topic, payload in messages:
                sensor.publish(topic, payload, qos=1).wait_for_publish(30)
            counted(agent, 3)
            metrics = agent.request("GET", "/metrics").body.decode()
            agent.stop()
            stored = agent.stored()
    assert 'edge_etl_agent_refusals_total{reason="BadReading"} 2' in metrics
    shown = [{name: row[name] for name in row if row[name]} for row in stored]
    assert all(row.pop("timestamp") for row in shown)
    assert shown == [
        {"sensor_id": "a", "t": "21.5"},
        {"sensor_id": "b", "BME_H": "7"},
        {"sensor_id": "a", "on": "ON"},
    ]


def test_others_learn_that_it_is_gone(broker: Broker, tmp_path: Path) -> None:
    seen: list[bytes] = []
    heard = threading.Event()

    def on_message(_client: object, _data: object, message: paho.MQTTMessage) -> None:
        seen.append(bytes(message.payload))
        heard.set()

    with AgentProcess(tmp_path, configured(broker)) as agent, client(broker, "watcher") as watcher:
        connected(agent)
        watcher.on_message = on_message
        watcher.subscribe("edge-etl/pi-1/status", 1)
        until(lambda: seen[-1:] == [b"online"], "online", every=0.05)
        agent.stop(9)
        until(lambda: seen[-1:] == [b"offline"], "offline", every=0.05)


def test_what_the_broker_took_is_stored_once_through_kills(broker: Broker, tmp_path: Path) -> None:
    published: list[str] = []
    done = threading.Event()
    with AgentProcess(tmp_path, configured(broker)) as agent:
        connected(agent)

        def publish(name: int) -> None:
            with client(broker, f"sensor-{name}") as sensor:
                while not done.is_set():
                    window = [f"{name}-{len(published)}-{part}" for part in range(10)]
                    sent = [sensor.publish(f"sensors/{each}/t", "1", qos=1) for each in window]
                    for each in sent:
                        each.wait_for_publish(60)
                    published.extend(window)

        threads = [threading.Thread(target=publish, args=(name,)) for name in range(4)]
        for each in threads:
            each.start()
        try:
            for _ in range(KILLS):
                before = len(published)
                longer(published, before + 50)
                agent.stop(9)
                agent.start()
        finally:
            done.set()
            for each in threads:
                each.join()
        rows = agent.source / "readings"
        until(
            lambda: (
                sum(
                    path.read_bytes().count(b"\n") - 1
                    for path in (*rows.glob(".[0-9]*.csv"), *rows.glob("[0-9]*.csv"))
                    if path.stat().st_size
                )
                >= len(published)
            ),
            "all rows",
        )
        agent.stop()
        stored = [row["sensor_id"] for row in agent.stored()]
    assert len(stored) == len(set(stored))
    assert set(stored) == set(published)


def test_it_comes_back_when_the_broker_does(broker: Broker, tmp_path: Path) -> None:
    with AgentProcess(tmp_path, configured(broker)) as agent:
        connected(agent)
        for number in range(2):
            with client(broker) as sensor:
                sensor.publish(f"sensors/s{number}/t", "1", qos=1).wait_for_publish(30)
                counted(agent, number + 1)
            broker.stop(9)
            broker.start()
            connected(agent)


def test_when_the_disk_budget_is_used_up_messages_wait_at_the_broker(
    broker: Broker, tmp_path: Path
) -> None:
    full = {"storage": {"budgetBytes": 1}, **configured(broker)}
    with AgentProcess(tmp_path, full) as agent, client(broker) as sensor:
        connected(agent)
        sensor.publish("sensors/s0/t", "1", qos=1).wait_for_publish(30)
        counted(agent, 1)
        for number in (1, 2):
            sensor.publish(f"sensors/s{number}/t", "1", qos=1).wait_for_publish(30)
        until(lambda: b'reason="Full"' in agent.request("GET", "/metrics").body, "Full", every=0.05)
        agent.stop(9)
        agent.configuration = configured(broker)
        agent.start()
        counted(agent, 2)
        agent.stop()
        assert sorted(row["sensor_id"] for row in agent.stored()) == ["s0", "s1", "s2"]
