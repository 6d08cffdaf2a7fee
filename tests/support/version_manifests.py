"""Manifests of published versions, for tests that need one without an aggregation."""

from typing import Any

import msgspec
from edge_etl_spark.documents import VersionManifest

_EMPTY = VersionManifest(
    namespace="garden",
    job="air-quality",
    run="20260101-000000",
    version=1,
    created_at="2026-01-01T00:00:00Z",
    rows=0,
    feature_rows=0,
    rows_added=0,
    rows_duplicate=0,
    days_written=0,
    manifests_merged=0,
    merged=(),
    watermarks={},
    fields=(),
    key=("timestamp",),
    window="1h",
    group_by=(),
    statistics=("count",),
    ship=("rows",),
    files=(),
)


def version_manifest(**changes: Any) -> VersionManifest:
    """Return the manifest of a version that holds nothing; `changes` are its fields."""
    return msgspec.structs.replace(_EMPTY, **changes)
