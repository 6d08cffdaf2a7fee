"""The JSON documents that the operator gives to the other programs, and what they answer.

Pure functions from an EdgeETLJob: ``edge-etl local`` uses them too. The schemas are in
``docs/contracts``; a contract test has both sides read what the other wrote.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from edge_etl_operator.api import API_VERSION, EdgeETLJob, as_document


@dataclass(frozen=True)
class Delivery:
    """A node that delivered in the run, and which of its attempts (a pod's UID) did."""

    node: str
    attempt: str


def job_document(job: EdgeETLJob, run: str, replay: str) -> dict[str, Any]:
    """Return the task of a run's edge pods, the same for all of them.

    ``replay`` is the last request to read again what was rejected, also where an earlier run was
    its answer: a node hears each request once, and one that was off hears it now. Every value is
    written out, so that the meaning does not depend on the reader's defaults.
    """
    return {
        "apiVersion": API_VERSION,
        "kind": "EdgeJob",
        "namespace": job.namespace,
        "job": job.name,
        "run": run,
        "source": as_document(job.spec.source),
        # Whether a node is like the others only the aggregation can tell.
        "schema": {
            key: value for key, value in as_document(job.spec.schema).items() if key != "onDrift"
        },
        "key": list(job.spec.key),
        "features": as_document(job.spec.features),
        "results": {"ship": list(job.spec.results.ship)},
        "quality": as_document(job.spec.quality),
        "reprocess": job.spec.reprocess,
        "replay": replay or None,
    }


def aggregation_document(
    job: EdgeETLJob,
    run: str,
    deliveries: Iterable[Delivery],
    *,
    master: str,
    conf: Mapping[str, str] | None = None,
    missing: Mapping[str, str] | None = None,
    labels: Mapping[str, Mapping[str, str]] | None = None,
    application: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the task of a run's aggregation; ``master`` and ``conf`` are Spark's.

    ``missing`` are the nodes of the run that have not delivered, and why; ``labels`` those of all
    nodes;
    ``application`` is the person's own aggregation: its path for the driver, and its name.
    """
    spec = job.spec.aggregate
    fields = [
        {
            name: value
            for name in ("name", "type", "unit", "circular")
            if (value := getattr(field, name)) is not None
        }
        for field in job.spec.schema.fields
    ]
    return {
        "apiVersion": API_VERSION,
        "kind": "Aggregation",
        "namespace": job.namespace,
        "job": job.name,
        "run": run,
        "nodes": [{"node": done.node, "attempt": done.attempt} for done in deliveries],
        "lateData": "Ignore" if job.spec.nodes.late_data_policy == "Ignore" else "Merge",
        "onDrift": job.spec.schema.on_drift,
        "fields": fields,
        "key": list(job.spec.key),
        "window": spec.window or job.spec.features.window,
        "groupBy": list(job.spec.features.group_by if spec.group_by is None else spec.group_by),
        "statistics": list(job.spec.features.statistics),
        "ship": list(job.spec.results.ship),
        "nodeLabels": _columns(spec.node_labels, labels or {}),
        "labelColumns": sorted(spec.node_labels),
        **({"application": dict(application)} if application else {}),
        "missingNodes": list(missing or {}),
        "missingBecause": {node: why for node, why in (missing or {}).items() if why},
        "keepVersions": job.spec.results.keep_versions,
        "gracePeriodSeconds": job.spec.results.grace_period_seconds,
        "spark": {
            "master": master,
            "conf": {**(conf or {}), **spec.spark_conf},
            "eventLog": spec.event_log,
        },
    }


def _columns(
    wanted: Mapping[str, str], labels: Mapping[str, Mapping[str, str]]
) -> dict[str, dict[str, str]]:
    """Return for each node the values of the columns that come from its labels."""
    if not wanted:
        return {}
    return {
        node: {column: of[label] for column, label in sorted(wanted.items()) if label in of}
        for node, of in labels.items()
    }


class NodeSummary(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an edge pod says in its termination message."""

    kind: str
    run: str
    node: str
    attempt: str
    succeeded: bool
    reason: str
    message: str
    files_read: int = 0
    files_quarantined: int = 0
    rows_read: int = 0
    rows_clean: int = 0
    rows_rejected: int = 0
    rows_duplicate: int = 0
    rejected_by_reason: dict[str, int] = {}
    bytes_read: int = 0
    bytes_written: int = 0
    watermark: str | None = None
    columns_missing: tuple[str, ...] = ()
    columns_seen: tuple[str, ...] = ()


class Drift(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A node whose files differ from those of its fleet, and how."""

    node: str
    difference: str


class AggregationReport(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the driver says in its termination message."""

    kind: str
    run: str
    succeeded: bool
    reason: str
    message: str
    version: int = 0
    rows: int = 0
    rows_added: int = 0
    rows_duplicate: int = 0
    quarantined_nodes: tuple[Drift, ...] = ()


_Answer = TypeVar("_Answer", NodeSummary, AggregationReport)


def node_summary(text: str) -> NodeSummary | None:
    """Parse the termination message of an edge pod; None when it is something else."""
    return _parse(text, NodeSummary, "NodeSummary")


def aggregation_report(text: str) -> AggregationReport | None:
    """Parse the termination message of the driver; None when it is something else."""
    return _parse(text, AggregationReport, "AggregationReport")


def _parse(text: str, kind: type[_Answer], name: str) -> _Answer | None:
    try:
        document = msgspec.json.decode(text, type=kind)
    except (msgspec.ValidationError, msgspec.DecodeError):
        return None
    return document if document.kind == name else None
