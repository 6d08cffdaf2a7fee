"""What the agent is told: one JSON document, from the chart's values."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from edge_etl_job.errors import EdgeError

CONFIG_INVALID = "ConfigInvalid"

Count = Annotated[int, msgspec.Meta(ge=1)]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A part of the document: unknown fields are refused."""


class Rest(Section, frozen=True):
    """What the REST service takes."""

    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8090
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1, le=64 << 20)] = 8 << 20
    """Also of what a compressed body unpacks to."""
    max_connections: Count = 2_000
    """More wait until one of these ends."""
    silence_seconds: Count = 20
    """After so long without a byte of the body a sender is told that it timed out."""
    certificate_file: str | None = None
    key_file: str | None = None
    """The agent's own certificate with its chain, and its key (PEM): HTTPS instead of HTTP."""
    client_ca_file: str | None = None
    """Whoever sends must have a certificate of this authority."""


class Topic(Section, frozen=True):
    """Which messages are taken, and what the levels of their topics mean."""

    pattern: str
    """As ``sensors/{site}/{sensor_id}/{field}``; ``+`` and a last ``#`` as in MQTT."""
    stream: str = "readings"


class Mqtt(Section, frozen=True):
    """The broker."""

    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1883
    client_id: str = "edge-etl-agent"
    """The node's name is appended: the broker keeps a session for each."""
    version: Literal["3.1.1", "5"] = "5"
    topics: Annotated[tuple[Topic, ...], msgspec.Meta(min_length=1)] = (
        Topic("sensors/{sensor_id}/{field}"),
    )
    share: str | None = None
    """Agents that give the same name have each message go to one of them, not to all."""
    status_topic: str = "edge-etl/{node}/status"
    """`online`, or, as the last will, `offline`; retained."""
    session_hours: Count = 168
    """How long the broker keeps what arrives while the agent is away (MQTT 5)."""
    inflight: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1_000
    """Messages that the broker may send before one is acknowledged (MQTT 5)."""
    username: str | None = None
    password_file: str | None = None
    ca_file: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None


class Storage(Section, frozen=True):
    """How the readings lie on the disk."""

    segment_bytes: Count = 4 << 20
    segment_seconds: Count = 60
    """A segment is closed when it is so large or so old: then jobs see it."""
    budget_bytes: Count = 1 << 30
    """What all segments may take."""
    reserve_bytes: Count = 64 << 20
    """What stays free on the disk."""
    on_full: Literal["Refuse", "DropOldest"] = "Refuse"
    """What becomes of new readings when nothing that was delivered is left to be removed."""
    keep_delivered_seconds: Annotated[int, msgspec.Meta(ge=0)] = 86_400
    """A segment that all jobs have delivered stays so long, unless the budget needs its room."""
    keys: Count = 20_000
    """How many idempotency keys of the past are known."""
    recent: Annotated[int, msgspec.Meta(ge=0)] = 20_000
    """How many readings that say their own time are known: one of them is not stored again."""
    waiting: Count = 20_000
    """How many readings may wait for the disk."""
    waiting_bytes: Count = 16 << 20
    """What bodies that arrive and readings that wait may take in memory."""
    streams: Count = 16
    columns: Count = 200
    """How many of either there may be, so that no sender fills the disk with names."""


class Tasks(Section, frozen=True):
    """The edge program at the request of others: for a Pi that is in no cluster."""

    directory: str
    """Where tasks, their results and the ledgers lie; of this agent alone."""
    sources: Annotated[dict[str, str], msgspec.Meta(min_length=1)]
    """The directories that tasks may read, by the names that jobs have for them."""
    most: Count = 16
    """Tasks that wait, run, or succeeded and were not removed yet: more are refused."""
    deadline_seconds: Count = 3_600
    """A program that works longer is ended."""


class Configuration(Section, frozen=True):
    """The whole document."""

    rest: Rest = Rest()
    mqtt: Mqtt | None = None
    storage: Storage = Storage()
    tasks: Tasks | None = None
    trust_clock: bool = False
    """Dates readings also while no time server sets the clock: for a Pi with a battery."""


def load(path: Path | None) -> Configuration:
    """Read the document, without one the defaults; EdgeError names what is wrong with it."""
    if path is None:
        return Configuration()
    try:
        configuration = msgspec.json.decode(path.read_bytes(), type=Configuration)
    except OSError as error:
        raise EdgeError(CONFIG_INVALID, f"{path}: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise EdgeError(CONFIG_INVALID, f"{path}: {error}") from error
    rest = configuration.rest
    if (rest.certificate_file is None) != (rest.key_file is None):
        raise EdgeError(CONFIG_INVALID, f"{path}: rest: certificateFile and keyFile go together")
    if rest.client_ca_file and not rest.certificate_file:
        raise EdgeError(CONFIG_INVALID, f"{path}: rest: clientCaFile needs certificateFile")
    return configuration
