"""Which nodes differ from their fleet, and what becomes of what they delivered."""

from typing import Any

import msgspec
import pytest
from edge_etl_spark import drift
from edge_etl_spark.documents import NodeManifest, VersionManifest

from tests.unit.test_spark_manifests import published


def manifest(node: str, lacks: str = "", *, bad: int = 0, rows: int = 100) -> NodeManifest:
    """Return a manifest of a node that lacks columns for some fields."""
    document: dict[str, Any] = {
        "apiVersion": "pi-edge-spark.io/v1alpha1",
        "kind": "NodeManifest",
        "run": "20260101-000000",
        "node": node,
        "attempt": "a",
        "schemaVersion": "0",
        "window": "1h",
        "groupBy": [],
        "watermark": None,
        "files": [],
        "rowsRead": rows,
        "rejectedByReason": {"invalid_value": bad} if bad else {},
        "columnsMissing": lacks.split(),
        "columnsSeen": ["time", *(f"{field}_ug" for field in lacks.split())],
    }
    return msgspec.convert(document, NodeManifest)


def before(*had: str) -> VersionManifest:
    version = published(("20251231-000000", "a")).manifest
    return msgspec.structs.replace(version, fields_had=had)


@pytest.mark.parametrize(
    ("deliveries", "had", "expected"),
    [
        ([], None, []),
        ([manifest("a"), manifest("b")], None, []),
        ([manifest("a"), manifest("b"), manifest("c", "pm10")], None, ["c"]),
        # Half of a fleet is no majority: nobody can tell who differs.
        ([manifest("a"), manifest("b", "pm10")], None, []),
        ([manifest("a"), manifest("b", "pm10")], ["pm10"], ["b"]),
        ([manifest("a", "pm10")], ["pm10"], ["a"]),
        ([manifest("a", "pm10")], None, []),
        # Several sensors: what most lack is not missing.
        ([manifest("a", "pm10"), manifest("b", "pm10"), manifest("c")], None, []),
        # Two deliveries of a node: one file with the column is enough.
        ([manifest("a"), manifest("b"), manifest("c", "pm10"), manifest("c")], None, []),
        # Without rows there is nothing to compare.
        ([manifest("a"), manifest("b"), manifest("c", "pm10", rows=0)], None, []),
        ([manifest("a"), manifest("b"), manifest("c", bad=90)], None, ["c"]),
        ([manifest("a"), manifest("b"), manifest("c", bad=40)], None, []),
        # When most have them, the schema is wrong and not a node.
        ([manifest("a", bad=90), manifest("b", bad=90), manifest("c")], None, []),
        ([manifest("a", bad=90)], None, []),
        ([manifest("a", bad=90)], ["pm10"], ["a"]),
    ],
)
def test_which_nodes_differ(
    deliveries: list[NodeManifest], had: list[str] | None, expected: list[str]
) -> None:
    current = None if had is None else before(*had)
    assert [each.node for each in drift.drifts(deliveries, current)] == expected


def test_the_difference_is_named() -> None:
    fleet = [manifest("a"), manifest("b"), manifest("c", "pm10", bad=95)]
    [found] = drift.drifts(fleet, None)
    assert found.difference == (
        "no column for pm10; only it has pm10_ug; "
        "95% of its rows have values of other types than the schema says"
    )


def test_the_fields_of_other_types_are_asked_for_only_where_they_differ() -> None:
    asked: list[str] = []

    def fields(node: str) -> str:
        asked.append(node)
        return "pm10 is no double in 95 of them, such as '12,5'"

    fleet = [manifest("a"), manifest("b", bad=40), manifest("c", bad=95)]
    [found] = drift.drifts(fleet, None, fields)
    assert asked == ["c"]
    assert found.difference == (
        "95% of its rows have values of other types than the schema says: "
        "pm10 is no double in 95 of them, such as '12,5'"
    )


def test_the_table_remembers_which_fields_there_were() -> None:
    had = drift.fields_had(["pm10", "pm25"], [manifest("a", "pm25")], before("humidity"))
    assert had == ("humidity", "pm10")
