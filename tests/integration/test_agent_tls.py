"""TLS of the agent: its own HTTP, and to a real Mosquitto that asks for a client's certificate."""

import http.client
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.agent import JSON, AgentProcess, Broker, Encryption
from tests.support.cluster.kube import until
from tests.support.cluster.pki import Authority

READING = b'{"sensor_id":"a","t":1}'


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give an authority that has issued `server` and `client`."""
    authority = Authority(tmp_path_factory.mktemp("pki") / "own")
    authority.create()
    authority.issue("server", "/CN=server", ["IP:127.0.0.1", "DNS:localhost"])
    authority.issue("client", "/CN=pi-1")
    return authority


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Give another authority, which has issued `client` as well."""
    authority = Authority(tmp_path_factory.mktemp("pki") / "other")
    authority.create()
    authority.issue("client", "/CN=pi-1")
    return authority


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[AgentProcess]:
    files = {
        "certificateFile": str(authority.cert("server")),
        "keyFile": str(authority.key("server")),
        "clientCaFile": str(authority.certificate),
    }
    with AgentProcess(tmp_path_factory.mktemp("agent"), {"rest": files}) as agent:
        yield agent


def ask(
    agent: AgentProcess, trusted: Authority, own: Authority | None, method: str, path: str
) -> int:
    """Return the status that a client with or without a certificate of its own is given."""
    context = ssl.create_default_context(cafile=str(trusted.certificate))
    if own:
        context.load_cert_chain(own.cert("client"), own.key("client"))
    connection = http.client.HTTPSConnection("127.0.0.1", agent.port, context=context, timeout=60)
    try:
        body = READING if method == "POST" else None
        connection.request(method, path, body, {"Content-Type": JSON})
        return connection.getresponse().status
    finally:
        connection.close()


def test_who_shows_a_certificate_of_the_authority_may_send(
    agent: AgentProcess, authority: Authority
) -> None:
    assert ask(agent, authority, authority, "POST", "/v1/readings") == 200
    # Kubernetes' probes have no certificate.
    assert ask(agent, authority, None, "GET", "/healthz") == 200
    assert ask(agent, authority, None, "POST", "/v1/readings") == 401
    assert ask(agent, authority, None, "GET", "/v1/streams") == 401


def test_strangers_end_in_the_handshake(
    agent: AgentProcess, authority: Authority, stranger: Authority
) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        ask(agent, authority, stranger, "POST", "/v1/readings")
    with pytest.raises(ssl.SSLCertVerificationError):
        ask(agent, stranger, authority, "GET", "/healthz")


def mqtt(broker: Broker, trusted: Authority, own: Authority | None) -> dict[str, Any]:
    files = {"caFile": str(trusted.certificate)}
    if own:
        files |= {"certificateFile": str(own.cert("client")), "keyFile": str(own.key("client"))}
    connection = {"host": "127.0.0.1", "port": broker.port, **files}
    return {"mqtt": {**connection, "topics": [{"pattern": "sensors/{sensor_id}/{field}"}]}}


@pytest.fixture
def broker(tmp_path: Path, authority: Authority) -> Iterator[Broker]:
    files = Encryption(authority.certificate, authority.cert("server"), authority.key("server"))
    with Broker(tmp_path / "broker", encryption=files) as broker:
        yield broker


def test_messages_come_over_tls_with_client_certificates(
    broker: Broker, authority: Authority, tmp_path: Path
) -> None:
    with AgentProcess(tmp_path, mqtt(broker, authority, authority)) as agent:
        until(lambda: metric(agent, "mqtt_connected") == 1, "connected", every=0.05)
        sensor = paho.Client(CallbackAPIVersion.VERSION2, "sensor")
        sensor.tls_set(
            str(authority.certificate), str(authority.cert("client")), str(authority.key("client"))
        )
        sensor.connect("127.0.0.1", broker.port)
        sensor.loop_start()
        sensor.publish("sensors/roof/t", "1", qos=1).wait_for_publish(30)
        sensor.disconnect()
        sensor.loop_stop()
        until(lambda: metric(agent, 'readings_total{stream="readings"}') == 1, "row", every=0.05)


@pytest.mark.parametrize("missing", ["authority", "certificate"])
def test_an_agent_without_the_right_files_tries_again_and_says_why(
    broker: Broker, authority: Authority, stranger: Authority, tmp_path: Path, missing: str
) -> None:
    files = (
        mqtt(broker, stranger, authority)
        if missing == "authority"
        else mqtt(broker, authority, stranger)
    )
    with AgentProcess(tmp_path, files) as agent:
        until(lambda: "broker" in agent.log.read_text(), "the log says it", every=0.05)
        assert metric(agent, "mqtt_connected") == 0
        assert agent.request("GET", "/healthz").status == 200  # REST goes on


def metric(agent: AgentProcess, name: str) -> float:
    for line in agent.request("GET", "/metrics").body.decode().splitlines():
        if line.startswith(f"edge_etl_agent_{name} "):
            return float(line.rpartition(" ")[2])
    return -1
