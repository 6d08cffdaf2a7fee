"""Topics of MQTT as columns: ``sensors/{site}/{sensor_id}/{field}``."""

import re
from dataclasses import dataclass
from typing import Final

from edge_etl_job.errors import EdgeError

from edge_etl_agent.configuration import CONFIG_INVALID, Topic

FIELD: Final = "field"
"""The level that names the column which the payload is for."""

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

    def levels(self, topic: str) -> tuple[list[tuple[str, str]], str | None] | None:
        """Return what a topic says as columns, and the column that its payload is for.

        None if the topic is another.
        """
        found = self.regex.fullmatch(topic)
        if not found:
            return None
        columns = found.groupdict()
        field = columns.pop(FIELD, None)
        return list(columns.items()), field


def _wrong(topic: Topic, message: str) -> EdgeError:
    return EdgeError(CONFIG_INVALID, f"mqtt.topics: {topic.pattern!r}: {message}")
