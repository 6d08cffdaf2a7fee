"""What the agent knows of what it has stored: for /v1/streams and /metrics."""

import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from edge_etl_agent.readings import Reading

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE: Final = 60.0


@dataclass
class StreamFacts:
    """One stream since the process started."""

    readings: int = 0
    bytes: int = 0
    commits: int = 0
    last: Reading | None = None
    duplicates: Counter[str] = field(default_factory=Counter)
    """Readings that were there already, by what told it."""
    _minute: float = field(default_factory=time.monotonic)
    _before: int = 0
    _rate: float = 0.0

    def stored(self, count: int, last: Reading | None, size: int) -> None:
        """Count readings that are durable."""
        now = time.monotonic()
        self.readings += count
        self.bytes += size
        self.commits += 1
        self.last = last or self.last
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

    def stored(self, stream: str, count: int, last: Reading | None, size: int) -> None:
        """Count readings that are durable."""
        self._of(stream).stored(count, last, size)

    def repeated(self, stream: str, by: str, count: int) -> None:
        """Count readings that were there already."""
        if count:
            self._of(stream).duplicates[by] += count

    def _of(self, stream: str) -> StreamFacts:
        return self.streams.setdefault(stream, StreamFacts())

    def document(self) -> list[dict[str, object]]:
        """Return what GET /v1/streams shows."""
        return [
            {
                "name": name,
                "readings": each.readings,
                "bytes": each.bytes,
                "readingsPerMinute": round(each.per_minute(), 1),
                "lastTimestamp": _moment(each.last[0]) if each.last else None,
                "lastValues": dict(each.last[1]) if each.last else None,
            }
            for name, each in sorted(self.streams.items())
        ]


def _moment(time: int | None) -> str | None:
    if time is None:
        return None
    return (_EPOCH + timedelta(microseconds=time)).isoformat().replace("+00:00", "Z")
