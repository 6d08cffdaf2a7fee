"""MQTT: messages are acknowledged to the broker when they are on the disk, and not before.

The session is persistent: what arrives while the agent is away waits at the broker. What was not
acknowledged comes again with the same packet identifier; whether it was stored already, the store
knows by the message's key. Paho runs the protocol in a thread of its own.
"""

import itertools
import os
import random
import threading
import time
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from edge_etl_engine import Intake
from edge_etl_job.errors import EdgeError
from edge_etl_job.logs import log
from edge_etl_job.results.durable import sync_folder
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_etl_agent.configuration import CONFIG_INVALID, Mqtt
from edge_etl_agent.metrics import Counters
from edge_etl_agent.refusals import BAD_READING
from edge_etl_agent.topics import Pattern

_KEEPALIVE: Final = 30
_LONGEST_WAIT: Final = 60.0
_RETRY_SECONDS: Final = 1.0
_VERSIONS: Final = {"3.1.1": MQTTProtocolVersion.MQTTv311, "5": MQTTProtocolVersion.MQTTv5}


@dataclass(frozen=True)
class _Message:
    """A message that is not acknowledged yet."""

    connection: int
    """An identifier is good for one connection."""
    session: str
    message: paho.MQTTMessage


class Subscriber:
    """The agent as a client of a broker. ``with`` connects and ends."""

    def __init__(
        self, mqtt: Mqtt, node: str, root: Path, intake: Intake, counters: Counters
    ) -> None:
        """Prepare the client; EdgeError when a pattern or a file cannot be used."""
        self._mqtt = mqtt
        self._node = node
        self._root = root
        self._intake = intake
        self._counters = counters
        self._patterns = [Pattern.of(topic) for topic in mqtt.topics]
        self._status = mqtt.status_topic.replace("{node}", node or "agent")
        self._client = self._configured()
        self._connection = 0
        self._failures = 0
        self._session = ""
        self._tickets = itertools.count(1)
        self._waiting: dict[int, _Message] = {}
        self._again: list[tuple[float, _Message]] = []
        self._lock = threading.Lock()
        counters.mqtt_connected = False

    def _configured(self) -> paho.Client:
        mqtt = self._mqtt
        version = _VERSIONS[mqtt.version]
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"{mqtt.client_id}-{self._node}" if self._node else mqtt.client_id,
            clean_session=None if mqtt.version == "5" else False,
            protocol=version,
            manual_ack=True,
        )
        try:
            if mqtt.username is not None:
                password = _content(mqtt.password_file)
                client.username_pw_set(mqtt.username, password)
            if mqtt.ca_file or mqtt.certificate_file:
                client.tls_set(mqtt.ca_file, mqtt.certificate_file, mqtt.key_file)
        except (OSError, ValueError) as error:
            raise EdgeError(CONFIG_INVALID, f"mqtt: {error}") from error
        client.will_set(self._status, "offline", qos=1, retain=True)
        client.on_connect = self._connected
        client.on_connect_fail = self._not_connected
        client.on_disconnect = self._disconnected
        client.on_message = self._arrived
        return client

    def __enter__(self) -> None:
        options: dict[str, Any] = {}
        if self._mqtt.version == "5":
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.SessionExpiryInterval = self._mqtt.session_hours * 3600
            properties.ReceiveMaximum = self._mqtt.inflight
            options = {"clean_start": False, "properties": properties}
        self._client.connect_async(self._mqtt.host, self._mqtt.port, _KEEPALIVE, **options)
        self._client.loop_start()

    def __exit__(self, *_: object) -> None:
        # What is not acknowledged comes again at the next start.
        if self._client.is_connected():
            self._client.publish(self._status, "offline", qos=1, retain=True)
        self._client.disconnect()
        self._client.loop_stop()

    # What follows is called by the store's writer.

    def settle(self, ticket: int, refusal: tuple[str, str] | None) -> None:
        """Acknowledge what is stored; let what the disk refuses wait a while."""
        with self._lock:
            waiting = self._waiting.pop(ticket)
            if refusal and refusal[0] != BAD_READING:
                self._again.append((time.monotonic() + _RETRY_SECONDS, waiting))
                return
        if refusal:
            self._nonsense(waiting, *refusal)
        self._acknowledge(waiting)

    def tick(self) -> None:
        """Try again what has waited long enough."""
        now = time.monotonic()
        with self._lock:
            due = [message for when, message in self._again if when <= now]
            self._again = [(when, message) for when, message in self._again if when > now]
        for each in due:
            self._take(each, again=True)

    def _acknowledge(self, waiting: _Message) -> None:
        message = waiting.message
        if waiting.connection == self._connection and message.qos:
            self._client.ack(message.mid, message.qos)

    def _nonsense(self, waiting: _Message, reason: str, text: str) -> None:
        """Note a message that will never be better: to ask for it again would hold up others."""
        facts = {"event": "mqtt", "topic": _shown(waiting.message), "reason": reason}
        log.warning("%s", text, extra=facts)

    # What follows is called in Paho's thread.

    def _connected(
        self, client: paho.Client, _data: object, flags: Any, code: Any, _properties: object
    ) -> None:
        if code.is_failure:
            log.error("the broker refuses the agent: %s", code, extra={"event": "mqtt"})
            return
        self._connection += 1
        self._failures = 0
        self._session = self._session_id(new=not flags.session_present)
        five = self._mqtt.version == "5"
        share = f"$share/{self._mqtt.share}/" if self._mqtt.share else ""
        for pattern in self._patterns:
            wanted = share + pattern.filter
            if five:
                client.subscribe(wanted, options=SubscribeOptions(1, retainHandling=2))
            else:
                client.subscribe(wanted, 1)
        client.publish(self._status, "online", qos=1, retain=True)
        self._counters.mqtt_connected = True
        log.info("connected to the broker", extra={"event": "mqtt", "host": self._mqtt.host})

    def _not_connected(self, *_: object) -> None:
        self._back_off("the broker cannot be reached")

    def _disconnected(self, *arguments: object) -> None:
        self._counters.mqtt_connected = False
        code = arguments[3]
        if code != 0:
            self._back_off(f"the connection to the broker ended: {code}")

    def _back_off(self, why: str) -> None:
        """Wait longer each time, and not in step with the agents of other Pis."""
        self._failures += 1
        longest = min(_LONGEST_WAIT, 2.0**self._failures)
        wait = random.uniform(longest / 2, longest)  # noqa: S311
        self._client.reconnect_delay_set(wait, wait)  # type: ignore[arg-type]
        if self._failures in (1, 5) or not self._failures % 50:
            facts = {"event": "mqtt", "attempts": self._failures, "host": self._mqtt.host}
            log.warning("%s", why, extra=facts)

    def _arrived(self, _client: object, _data: object, message: paho.MQTTMessage) -> None:
        self._counters.mqtt_messages += 1
        self._take(_Message(self._connection, self._session, message), again=message.dup)

    def _session_id(self, *, new: bool) -> str:
        """Return what tells this session of the broker from others: identifiers begin anew."""
        path = self._root / ".mqtt-session"
        if not new and path.exists():
            return path.read_text()
        session = os.urandom(4).hex()
        _replace(path, session)
        return session

    # Both threads call this.

    def _take(self, waiting: _Message, *, again: bool) -> None:
        """Hand a message to the store, or acknowledge it at once if it is not for it."""
        message = waiting.message
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self._useless(waiting, BAD_READING, "the topic is not UTF-8")
            return
        # A retained message is an old value, which came when it was new.
        patterns = () if message.retain else self._patterns
        for pattern in patterns:
            if levels := pattern.levels(topic):
                self._put(waiting, pattern.stream, *levels, again=again)
                return
        self._acknowledge(waiting)

    def _put(
        self,
        waiting: _Message,
        stream: str,
        columns: list[tuple[str, str]],
        field: str | None,
        *,
        again: bool,
    ) -> None:
        message = waiting.message
        key = _key(waiting) if message.qos else None
        with self._lock:
            ticket = next(self._tickets)
            self._waiting[ticket] = waiting
        try:
            payload = bytes(message.payload)
            self._intake.put(stream, columns, field, payload, key, again, ticket)
        except ValueError as error:
            reason, text, _ = error.args
            with self._lock:
                del self._waiting[ticket]
                if reason != BAD_READING:
                    self._again.append((time.monotonic() + _RETRY_SECONDS, waiting))
                    self._counters.refused(reason)
                    return
            self._useless(waiting, reason, text)

    def _useless(self, waiting: _Message, reason: str, text: str) -> None:
        self._counters.refused(reason)
        self._nonsense(waiting, reason, text)
        self._acknowledge(waiting)


def _content(path: str | None) -> str | None:
    return Path(path).read_text().strip() if path else None


def _key(waiting: _Message) -> str:
    message = waiting.message
    content = message.topic.encode() + b"\0" + message.payload
    return f"mqtt/{waiting.session}/{message.mid}/{blake2b(content, digest_size=8).hexdigest()}"


def _replace(path: Path, content: str) -> None:
    draft = path.with_suffix(".new")
    with draft.open("w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def _shown(message: paho.MQTTMessage) -> str:
    try:
        return message.topic[:200]
    except UnicodeDecodeError:
        return "not UTF-8"
