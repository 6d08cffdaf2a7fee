"""Sensors of a site: `python -m tests.support.sensors STOP HOST PORT CA USER PASSWORD ADDRESS...`.

For each address one sends readings by HTTP, again until they are acknowledged; another publishes as
many by MQTT. They end when the file STOP is there, and print what was acknowledged (JSON).
"""

import http.client
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

PAUSE = 0.05


def by_http(address: str, name: str, stop: Path) -> list[str]:
    """Send readings one after the other; a Pi that is off gets its reading when it is back."""
    sent: list[str] = []
    while not stop.exists():
        reading = f"{name}-{len(sent)}"
        body = json.dumps({"sensor_id": reading, "via": "http"})
        while not _accepted(address, body, reading):
            time.sleep(1)
        sent.append(reading)
        time.sleep(PAUSE)
    return sent


def _accepted(address: str, body: str, key: str) -> bool:
    connection = http.client.HTTPConnection(address, timeout=5)
    headers = {"Content-Type": "application/json", "Idempotency-Key": key}
    try:
        connection.request("POST", "/v1/readings", body, headers)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def by_mqtt(broker: list[str], name: str, stop: Path) -> list[str]:
    """Publish readings one after the other, each until the broker has acknowledged it."""
    host, port, authority, user, password = broker
    acknowledged: set[int] = set()
    client = paho.Client(CallbackAPIVersion.VERSION2, name, clean_session=False)
    client.on_publish = lambda _client, _data, number, *_: acknowledged.add(number)
    client.tls_set(authority)
    client.username_pw_set(user, password)
    client.connect(host, int(port))
    client.loop_start()
    sent: list[str] = []
    while not stop.exists():
        reading = f"{name}-{len(sent)}"
        number = client.publish(f"sensors/{reading}/via", "mqtt", qos=1).mid
        # To wait for the message itself ends after a time, or fails, while the broker is away.
        while number not in acknowledged:
            time.sleep(0.01)
        acknowledged.discard(number)
        sent.append(reading)
        time.sleep(PAUSE)
    client.disconnect()
    client.loop_stop()
    return sent


def main() -> None:
    """Play all sensors."""
    stop, broker, addresses = Path(sys.argv[1]), sys.argv[2:7], sys.argv[7:]
    with ThreadPoolExecutor(2 * len(addresses)) as pool:
        playing = []
        for number, address in enumerate(addresses):
            playing.append(pool.submit(by_http, address, f"http{number}", stop))
            playing.append(pool.submit(by_mqtt, broker, f"mqtt{number}", stop))
        print(json.dumps([reading for each in playing for reading in each.result()]))


if __name__ == "__main__":
    main()
