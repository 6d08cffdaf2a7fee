"""What the agent knows of what it has stored: for /v1/streams and /metrics."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from edge_etl_agent.records import Reading, moment

_MINUTE: Final = 60.0


@dataclass
class StreamFacts:
    """One stream since the process started."""

    readings: int = 0
    bytes: int = 0
    commits: int = 0
    last: Reading | None = None
    _minute: float = field(default_factory=time.monotonic)
    _before: int = 0
    _rate: float = 0.0

    def stored(self, readings: Sequence[Reading], size: int) -> None:
        """Count readings that are durable."""
        now = time.monotonic()
        self.readings += len(readings)
        self.bytes += size
        self.commits += 1
        self.last = readings[-1]
        if now - self._minute >= _MINUTE:
            self._rate = (self.readings - self._before) * _MINUTE / (now - self._minute)
            self._minute, self._before = now, self.readings

    def per_minute(self) -> float:
        """Return the readings a minute, of the last whole minute; before it, of what there is."""
        passed = time.monotonic() - self._minute
        if passed < 2 * _MINUTE and self._before:
            return self._rate
        return (self.readings - self._before) * _MINUTE / max(passed, 1.0)


@dataclass
class Facts:
    """All streams."""

    streams: dict[str, StreamFacts] = field(default_factory=dict)

    def stored(self, stream: str, readings: Sequence[Reading], size: int) -> None:
        """Count readings that are durable."""
        self.streams.setdefault(stream, StreamFacts()).stored(readings, size)

    def document(self) -> list[dict[str, object]]:
        """Return what GET /v1/streams shows."""
        return [
            {
                "name": name,
                "readings": each.readings,
                "bytes": each.bytes,
                "readingsPerMinute": round(each.per_minute(), 1),
                "lastTimestamp": moment(each.last.time) if each.last and each.last.time else None,
                "lastValues": dict(each.last.values) if each.last else None,
            }
            for name, each in sorted(self.streams.items())
        ]
