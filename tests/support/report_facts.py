"""Facts for reports: a run as it often is, and one in which everything is as large as it gets."""

import math
from datetime import UTC, datetime, timedelta

from edge_etl_spark.run_report.facts import (
    Example,
    Features,
    FieldSeries,
    NodeFacts,
    Outcome,
    Point,
    QuarantinedFile,
    RunFacts,
    Series,
    Step,
)
from edge_etl_spark.run_report.looking import CHARTS, WINDOWS

BEGAN = datetime(2026, 3, 4, 5, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)


def node(name: str, **changes: object) -> NodeFacts:
    """Return a node that delivered; changes are other values of its facts."""
    facts: dict[str, object] = {
        "name": name,
        "state": "delivered",
        "run": "20260304-050500",
        "files": 4,
        "rows_read": 5000,
        "rows_clean": 4870,
        "rows_rejected": 100,
        "rows_duplicate": 30,
        "rejected_by_reason": {"out_of_range": 80, "invalid_value": 20},
        "bytes_read": 350_000,
        "bytes_shipped": 41_000,
        "bytes_of_features": 9_000,
        "delivered_at": BEGAN + timedelta(seconds=4),
        "latest_reading": BEGAN - timedelta(minutes=3),
        "columns_seen": ("P1", "P2", "sensor_id", "timestamp"),
    }
    return NodeFacts(**(facts | changes))  # type: ignore[arg-type]


def points(count: int, level: float = 20, without: range = range(0)) -> tuple[Point, ...]:
    """Return the windows of so many hours but those that are left out."""
    return tuple(
        Point(
            window=datetime(2026, 3, 1, tzinfo=UTC) + number * HOUR,
            count=24,
            mean=level + 5 * math.sin(number / 4),
            low=level - 3 + 4 * math.sin(number / 4),
            high=level + 4 + 7 * math.sin(number / 4),
        )
        for number in range(count)
        if number not in without
    )


def usual(text: str = "5331;2026-03-04T04:00:00;1999.9;12.1") -> RunFacts:
    """Return a run of four Pis of which one is missing and one differs; `text` is a raw line."""
    return RunFacts(
        namespace="garden",
        job="air-quality",
        run="20260304-050500",
        began=BEGAN,
        ended=BEGAN + timedelta(seconds=21),
        outcome=Outcome(
            succeeded=True,
            reason="Published",
            message="version 7: 9,740 rows added, 12 duplicates removed, 2 days written",
            version=7,
            rows=140_210,
            rows_added=9_740,
            rows_duplicate=12,
            days_written=2,
        ),
        nodes=(
            node("pi-1"),
            node("pi-2", quarantined=(QuarantinedFile("new/log.csv", "no column for timestamp"),)),
            node(
                "pi-3",
                state="set apart",
                drift="no column for pm10; only it has dust10",
                columns_missing=("pm10",),
                columns_seen=("P2", "dust10", "sensor_id", "timestamp"),
                note="no column for pm10; only it has dust10",
            ),
            NodeFacts("pi-4", "missing", "20260304-050500", "NodeNotReady: Node pi-4 is not ready"),
        ),
        fields=("sensor_id", "pm10", "pm25"),
        examples=(
            Example("pi-1", "day.csv", 17, "out_of_range", "pm10: 1999.9 is above 999.8", text),
        ),
        steps=(
            Step("spark", "starting Spark", BEGAN + timedelta(seconds=8)),
            Step("rows", "merging the rows", BEGAN + timedelta(seconds=14)),
            Step("publish", "publishing the table", BEGAN + timedelta(seconds=20)),
        ),
        features=Features(
            window_seconds=3600,
            fields=(
                FieldSeries(
                    "pm10",
                    "µg/m³",
                    (
                        Series("sensor_id 5331", points(72, without=range(30, 41))),
                        Series("sensor_id 8554", points(72, level=35)),
                    ),
                ),
            ),
            groups=2,
            groups_shown=2,
        ),
    )


def largest() -> RunFacts:
    """Return a run whose every part is beyond what a report shows, with texts that escape long."""
    long = "<&'\">" * 1000
    nodes = tuple(
        node(
            f"pi-{number:04}" + "x" * 240,
            note=long,
            drift=long,
            rejected_by_reason={f"reason_{reason:03}": 7 for reason in range(50)},
            quarantined=(QuarantinedFile(long, long),) * 3,
            columns_missing=(long,) if number else (),
            columns_seen=(f"{number}{long}",),
        )
        for number in range(3000)
    )
    # All windows, or every second one with a gap behind it: the longest paths.
    series = tuple(Series(long, points(WINDOWS)[:: number % 2 + 1]) for number in range(CHARTS))
    run = usual()
    return RunFacts(
        namespace=run.namespace,
        job=run.job,
        run=run.run,
        began=run.began,
        ended=run.ended,
        outcome=Outcome(succeeded=False, reason="SchemaDrift", message=long),
        nodes=nodes,
        fields=tuple(f"field_{number}" for number in range(100)),
        examples=tuple(
            Example(long, long, 10**9, f"reason_{reason:03}", long, long)
            for reason in range(50)
            for _ in range(9)
        ),
        steps=run.steps,
        features=Features(3600, (FieldSeries("pm10", "µg/m³", series),), 100_000, CHARTS, (long,)),
    )
