"""The agent as a subscriber of a real Mosquitto: acknowledged means stored, through kills."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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


@dataclass
class Sensors:
    """Sensors that publish until the broker says that it has it, and has it on its disk."""

    broker: Broker
    acknowledged: list[str] = field(default_factory=list)
    _done: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Sensors":
        self._threads = [threading.Thread(target=self._publish, args=(name,)) for name in range(4)]
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for each in self._threads:
            each.join()

    def _publish(self, name: int) -> None:
        with client(self.broker, f"sensor-{name}") as sensor:
            number = 0
            while not self._done.is_set():
                window = [f"{name}-{number}-{part}" for part in range(10)]
                started = self.broker.process
                self._confirmed(sensor, window)
                # What a broker that died had confirmed, but not written, it has forgotten.
                if self.broker.process is started:
                    self.acknowledged.extend(window)
                number += 1

    def _confirmed(self, sensor: paho.Client, window: list[str]) -> None:
        """Publish, and wait until it is confirmed; without a broker it waits in the client."""
        confirmed: set[int] = set()
        sensor.on_publish = lambda *arguments: confirmed.add(arguments[2])
        sent = {sensor.publish(f"sensors/{each}", payload(each), qos=1).mid for each in window}
        until(lambda: sent <= confirmed, "confirmed", 120, every=0.002)
        # Mosquitto confirms before it writes.
        moment = time.time_ns()
        saved = self.broker.root / "mosquitto.db"
        until(lambda: saved.stat().st_mtime_ns > moment, "written", every=0.005)

    def more(self, number: int) -> None:
        """Wait until so many more are acknowledged."""
        longer(self.acknowledged, len(self.acknowledged) + number)


def payload(name: str) -> str:
    """Return a reading with a time of its own, which is the same when it is sent again."""
    return json.dumps({"n": name, "timestamp": "2026-03-01T12:00:00Z"})


def lines(agent: AgentProcess) -> list[bytes]:
    """Return the rows of all segments, also of that which is written now."""
    rows = agent.source / "readings"
    paths = (*rows.glob(".[0-9]*.csv"), *rows.glob("[0-9]*.csv"))
    return [line for path in paths for line in path.read_bytes().splitlines()[1:]]


def all_rows(agent: AgentProcess, names: list[str]) -> list[str]:
    """Wait until the agent has what was acknowledged, end it, and return what it stored."""
    # After many kills the agent may be waiting a minute until it asks the broker again.
    until(
        lambda: {*names} <= {line.split(b",")[-1].decode() for line in lines(agent)},
        "all rows", 150, every=0.2,
    )  # fmt: skip
    agent.stop()
    return [row["n"] for row in agent.stored()]


def test_what_the_broker_took_is_stored_once_through_kills(broker: Broker, tmp_path: Path) -> None:
    patterns = {"topics": [{"pattern": "sensors/{sensor_id}"}]}
    with AgentProcess(tmp_path, configured(broker, **patterns)) as agent:
        connected(agent)
        with Sensors(broker) as sensors:
            for _ in range(KILLS):
                sensors.more(50)
                agent.stop(9)
                agent.start()
        stored = all_rows(agent, sensors.acknowledged)
    assert len(stored) == len(set(stored))
    assert set(stored) == set(sensors.acknowledged)
    print(f"{len(stored)} messages stored through {KILLS} kills")


def test_nothing_is_lost_when_the_broker_is_killed_as_well(broker: Broker, tmp_path: Path) -> None:
    """A broker that was killed may send a message again as if it were new."""
    patterns = {"topics": [{"pattern": "sensors/{sensor_id}"}]}
    with AgentProcess(tmp_path, configured(broker, **patterns)) as agent:
        connected(agent)
        with Sensors(broker) as sensors:
            for number in range(KILLS):
                sensors.more(50)
                broker.stop(9)
                if number % 2:
                    agent.stop(9)
                    agent.start()
                broker.start()
        stored = all_rows(agent, sensors.acknowledged)
    assert set(stored) >= set(sensors.acknowledged)
    assert len(stored) == len(set(stored))
    print(f"{len(stored)} messages stored through {KILLS} kills of the broker")


@pytest.mark.parametrize("version", ["3.1.1", "5"])
def test_agents_share_the_messages_of_one_broker(
    broker: Broker, tmp_path: Path, version: str
) -> None:
    shared = configured(broker, share="agents", version=version)
    with (
        AgentProcess(tmp_path / "1", shared, node="pi-1") as first,
        AgentProcess(tmp_path / "2", shared, node="pi-2") as second,
        client(broker) as sensor,
    ):
        agents = (first, second)
        for each in agents:
            connected(each)
        for number in range(20):
            sensor.publish(f"sensors/s{number}/t", "1", qos=1).wait_for_publish(30)
        until(lambda: sum(map(count, agents)) == 20, "20 readings", every=0.05)
        for each in agents:
            each.stop()
        found = [row["sensor_id"] for each in agents for row in each.stored()]
    assert sorted(found) == sorted(f"s{number}" for number in range(20))


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
