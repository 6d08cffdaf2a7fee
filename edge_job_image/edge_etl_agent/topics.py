"""Topics of MQTT as columns: ``sensors/{site}/{sensor_id}/{field}``."""

import re
from dataclasses import dataclass
from typing import Final

from edge_etl_job.errors import EdgeError

from edge_etl_agent.bodies import parsed
from edge_etl_agent.configuration import CONFIG_INVALID, Topic
from edge_etl_agent.records import Reading, reading
from edge_etl_agent.refusals import BAD_READING, Refusal

FIELD: Final = "field"
"""The level that names the column which the payload is for."""
VALUE: Final = "value"
"""The column of a payload that is no object, where no level names one."""

_COLUMN: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,63})\}")


@dataclass(frozen=True)
class Pattern:
    """What a topic must look like, and the names of its levels; None where one means nothing."""

    stream: str
    filter: str
    """What the broker is asked for."""
    regex: re.Pattern[str]

    @classmethod
    def of(cls, topic: Topic) -> "Pattern":
        """Read a pattern; EdgeError when it is none."""
        filters: list[str] = []
        levels: list[str] = []
        names: set[str] = set()
        parts = topic.pattern.split("/")
        for position, level in enumerate(parts):
            if named := _COLUMN.fullmatch(level):
                if named[1] in names:
                    raise _wrong(topic, f"{{{named[1]}}} comes twice")
                names.add(named[1])
                filters.append("+")
                levels.append(f"(?P<{named[1]}>[^/]+)")
            elif level == "+":
                filters.append("+")
                levels.append("[^/]+")
            elif level == "#" and position == len(parts) - 1:
                filters.append("#")
                levels.append(".*")
            elif set(level) & set("{}+#"):
                raise _wrong(topic, f"{level!r}: a level is a name, {{column}}, + or a last #")
            else:
                filters.append(level)
                levels.append(re.escape(level))
        return cls(topic.stream, "/".join(filters), re.compile("/".join(levels), re.DOTALL))

    def reading(self, topic: str, payload: bytes) -> Reading | None:
        """Return what a message says, None if the topic is another; raise Refusal."""
        found = self.regex.fullmatch(topic)
        if not found:
            return None
        columns = found.groupdict()
        field = columns.pop(FIELD, None)
        value = _payload(payload)
        if field is not None:
            value = {field: value}
        elif not isinstance(value, dict):
            value = {VALUE: value}
        elif not value:
            raise Refusal(BAD_READING, "the payload holds no value")
        # What the topic says counts: a broker's access list is for topics, not for payloads.
        return reading({**value, **columns})


def _payload(payload: bytes) -> object:
    """Return a payload as JSON, or as the text that many sensors send instead."""
    if not payload.strip():
        raise Refusal(BAD_READING, "the payload is empty")
    try:
        return parsed(payload)
    except Refusal:
        try:
            text = payload.decode().strip()
        except UnicodeDecodeError:
            raise Refusal(BAD_READING, "the payload is neither JSON nor text") from None
        if text.startswith(("{", "[")):
            raise
        return text


def _wrong(topic: Topic, message: str) -> EdgeError:
    return EdgeError(CONFIG_INVALID, f"mqtt.topics: {topic.pattern!r}: {message}")
