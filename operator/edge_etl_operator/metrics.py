"""What the operator tells Prometheus; `docs/operations.md` says what each figure is for.

Rows and results are counted when a run ends, so a node that is looked at often counts once.
"""

from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from edge_etl_operator import conditions, history
from edge_etl_operator.api import Metadata, Status

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

_JOB: Final = ("namespace", "job")
_STAGE_SECONDS: Final = (1, 5, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200)
_RECONCILE_SECONDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)

RUNS: Final = Counter("edge_etl_runs", "Runs that are over.", (*_JOB, "result"), registry=REGISTRY)
STAGE_SECONDS: Final = Histogram(
    "edge_etl_stage_seconds",
    "How long a stage of a run took: edge, aggregate, or the whole run.",
    ("stage",),
    buckets=_STAGE_SECONDS,
    registry=REGISTRY,
)
NODES: Final = Gauge(
    "edge_etl_nodes", "Nodes of the last run by phase.", (*_JOB, "phase"), registry=REGISTRY
)
ROWS_READ: Final = Counter("edge_etl_rows_read", "Rows that nodes read.", _JOB, registry=REGISTRY)
ROWS_REJECTED: Final = Counter(
    "edge_etl_rows_rejected", "Rows that nodes rejected.", (*_JOB, "reason"), registry=REGISTRY
)
TABLE_ROWS: Final = Gauge(
    "edge_etl_table_rows", "Rows of the published table.", _JOB, registry=REGISTRY
)
LAST_SUCCESS: Final = Gauge(
    "edge_etl_last_success_timestamp_seconds",
    "When the last run that succeeded ended.",
    _JOB,
    registry=REGISTRY,
)
NEXT_RUN: Final = Gauge(
    "edge_etl_next_run_timestamp_seconds",
    "When the next run is due, of jobs with a schedule.",
    _JOB,
    registry=REGISTRY,
)
REJECTED_RATIO: Final = Gauge(
    "edge_etl_rejected_ratio",
    "Share of the rows that the last run which read any has rejected.",
    _JOB,
    registry=REGISTRY,
)
MISSED_RUNS: Final = Gauge(
    "edge_etl_node_missed_runs",
    "Of nodes that the last run did without: how many runs in a row.",
    (*_JOB, "node"),
    registry=REGISTRY,
)
RECONCILE_SECONDS: Final = Histogram(
    "edge_etl_reconcile_seconds",
    "How long a reconcile took.",
    buckets=_RECONCILE_SECONDS,
    registry=REGISTRY,
)
RECONCILE_ERRORS: Final = Counter(
    "edge_etl_reconcile_errors", "Reconciles that failed.", ("reason",), registry=REGISTRY
)
QUEUE_DEPTH: Final = Gauge(
    "edge_etl_queue_depth", "Jobs that wait for a reconcile.", registry=REGISTRY
)
API_REQUESTS: Final = Counter(
    "edge_etl_api_requests", "Requests to the API server.", ("method", "code"), registry=REGISTRY
)
API_SECONDS: Final = Counter(
    "edge_etl_api_seconds", "Time spent in requests.", ("method",), registry=REGISTRY
)
WATCH_RESTARTS: Final = Counter(
    "edge_etl_watch_restarts",
    "Watches that ended with an error or fell silent.",
    ("kind", "reason"),
    registry=REGISTRY,
)
LEADING: Final = Gauge(
    "edge_etl_leading", "1 while this operator holds the lease.", registry=REGISTRY
)

_OF_A_JOB: Final = (NODES, TABLE_ROWS, LAST_SUCCESS, NEXT_RUN, REJECTED_RATIO, MISSED_RUNS)
_RESULTS: Final = (*sorted(history.GOOD), "Failed")


def page() -> bytes:
    """Return all figures in Prometheus' text format."""
    return generate_latest(REGISTRY)


def note(job: Metadata, known: Status, told: Status) -> None:
    """Count what the change from one status to the next says.

    Gauges follow from the status alone, and so are right again after the operator's restart.
    """
    name = (job.namespace, job.name)
    for result in _RESULTS:
        # A counter that appears only with its first event seems never to have risen.
        RUNS.labels(*name, result)
    for phase in {*known.node_counts, *told.node_counts}:
        NODES.labels(*name, phase).set(told.node_counts.get(phase, 0))
    if told.rows is not None:
        TABLE_ROWS.labels(*name).set(told.rows)
    _set_time(NEXT_RUN, name, told.next_run_time)
    _set_time(LAST_SUCCESS, name, history.last_success(told.runs))
    if (ratio := history.rejected_ratio(told.runs)) is not None:
        REJECTED_RATIO.labels(*name).set(ratio)
    missed = history.missed(told.runs)
    for node in history.missed(known.runs).keys() - missed.keys():
        MISSED_RUNS.remove(*name, node)
    for node, runs in missed.items():
        MISSED_RUNS.labels(*name, node).set(runs)
    ended = told.run is not None and told.run.completion_time is not None
    if not ended or (known.run == told.run and not known.going):
        return
    _count_run(name, told)


def forget(namespace: str, job: str) -> None:
    """Stop telling of a job that is gone; what was counted stays."""
    for gauge in _OF_A_JOB:
        gauge.remove_by_labels({"namespace": namespace, "job": job})


def _set_time(gauge: Gauge, name: tuple[str, str], time: datetime | None) -> None:
    if time is None:
        gauge.remove(*name)
    else:
        gauge.labels(*name).set(time.timestamp())


def _count_run(name: tuple[str, str], told: Status) -> None:
    run = told.run
    if run is None or run.completion_time is None:
        return
    RUNS.labels(*name, told.phase).inc()
    STAGE_SECONDS.labels("run").observe((run.completion_time - run.start_time).total_seconds())
    edge = told.condition(conditions.EDGE_COMPLETE)
    if edge is not None and edge.status == "True":
        cleaned = edge.last_transition_time
        STAGE_SECONDS.labels("edge").observe((cleaned - run.start_time).total_seconds())
        STAGE_SECONDS.labels("aggregate").observe((run.completion_time - cleaned).total_seconds())
    for node in told.nodes:
        ROWS_READ.labels(*name).inc(node.rows_read or 0)
        for reason, rows in node.rejected_by_reason.items():
            ROWS_REJECTED.labels(*name, reason).inc(rows)
