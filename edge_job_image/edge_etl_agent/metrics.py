"""What Prometheus reads."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from edge_etl_engine import Intake
from edge_etl_job.exposition import Kind, family

from edge_etl_agent.store import Store


@dataclass
class Counters:
    """What is counted outside of the store."""

    intake: Intake
    others: Counter[str] = field(default_factory=Counter)
    """Refusals that the intake does not know of."""
    mqtt_connected: bool | None = None
    """None without a broker."""
    mqtt_messages: int = 0

    def refused(self, reason: str) -> None:
        """Count a refusal."""
        self.others[reason] += 1

    def refusals(self) -> Counter[str]:
        """Return how often each reason was given."""
        return Counter(self.intake.refusals()) + self.others


def exposition(store: Store, counters: Counters) -> str:
    """Return all metrics as text (prometheus.io/docs/instrumenting/exposition_formats)."""
    return "\n".join(_lines(store, counters)) + "\n"


def _lines(store: Store, counters: Counters) -> Iterator[str]:
    streams = sorted(store.facts.streams.items())
    yield from _metric(
        "readings_total", "counter", "Readings stored.",
        {f'stream="{name}"': each.readings for name, each in streams},
    )  # fmt: skip
    yield from _metric(
        "stored_bytes_total", "counter", "Bytes of segments written.",
        {f'stream="{name}"': each.bytes for name, each in streams},
    )  # fmt: skip
    yield from _metric(
        "commits_total", "counter", "Groups of readings made durable together.",
        {f'stream="{name}"': each.commits for name, each in streams},
    )  # fmt: skip
    yield from _metric(
        "duplicates_total", "counter", "Readings that were there already.",
        {
            f'stream="{name}",by="{by}"': count
            for name, each in streams for by, count in sorted(each.duplicates.items())
        },
    )  # fmt: skip
    yield from _metric(
        "refusals_total", "counter", "Requests and messages refused.",
        {f'reason="{name}"': count for name, count in sorted(counters.refusals().items())},
    )  # fmt: skip
    budget = store.budget
    yield from _metric("disk_used_bytes", "gauge", "Bytes of all segments.", {"": budget.used})
    yield from _metric(
        "disk_budget_bytes", "gauge", "What they may take.", {"": budget.storage.budget_bytes}
    )
    yield from _metric(
        "segments_pruned_total", "counter", "Delivered segments removed.", {"": budget.pruned}
    )
    yield from _metric(
        "segments_dropped_total", "counter", "Undelivered segments removed.", {"": budget.dropped}
    )
    yield from _metric(
        "clock_believable", "gauge", "Whether readings can be dated.",
        {"": int(store.clock.believable)},
    )  # fmt: skip
    if counters.mqtt_connected is not None:
        yield from _metric(
            "mqtt_connected", "gauge", "Whether the broker is there.",
            {"": int(counters.mqtt_connected)},
        )  # fmt: skip
        yield from _metric(
            "mqtt_messages_total", "counter", "Messages received.", {"": counters.mqtt_messages}
        )


def _metric(name: str, kind: Kind, text: str, values: dict[str, int]) -> Iterator[str]:
    return family(f"edge_etl_agent_{name}", kind, text, values)
